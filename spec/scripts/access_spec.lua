local access = require "scripts.access"
local kube = require "kube"

describe("scripts/access", function()
  before_each(function()
    kube.reset()
  end)

  it("asks the rule also where a route is about no cluster: nothing is open by forgetting", function()
    local function admit(admin)
      return access.admit {
        request = { id = "r" }, route = { action = "list" }, caller = { id = "u1", admin = admin }, parameters = {},
      }
    end
    assert.is_nil(admit(true))
    assert.equal(403, admit(false).status)
    assert.equal("unauthorized", admit(false).error)
  end)

  it("leaves no cluster in the context of who is refused", function()
    kube.put("ray-1", { owner = "u2" })
    local ctx = {
      request = { id = "r" }, route = { action = "get", source = "path", field = "name" },
      caller = { id = "u1", admin = false }, parameters = { name = "ray-1" },
    }
    assert.equal(403, access.admit(ctx).status)
    assert.is_nil(ctx.object)
    assert.is_nil(ctx.cluster)
  end)
end)
