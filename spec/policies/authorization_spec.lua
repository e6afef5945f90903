local authorization = require "policies.authorization"

describe("policies/authorization", function()
  local ids = { "u1", "u2", "", false }

  it("lets nobody but the owner and admins do anything, whatever is missing", function()
    for _, action in ipairs { "list", "get", "scale" } do
      for _, owner in ipairs(ids) do
        for _, id in ipairs(ids) do
          local cluster = { name = "ray-1", owner = owner or nil }
          local caller = { id = id or nil, admin = false }
          local expected = owner == id and owner ~= "" and owner ~= false
          assert.equal(expected, (authorization.decide(caller, action, cluster)))
          caller.admin = true
          assert.is_true((authorization.decide(caller, action, cluster)))
        end
      end
    end
  end)

  it("takes only true for an admin", function()
    for _, admin in ipairs { 1, "true", {}, "yes" } do
      assert.is_false((authorization.decide({ id = "u2", admin = admin }, "get", { owner = "u1" })))
    end
  end)

  it("denies an action that it does not know, also to admins and owners", function()
    for _, action in ipairs { "delete", "", "LIST", "get " } do
      assert.is_false((authorization.decide({ id = "u1", admin = true }, action, { owner = "u1" })))
    end
    assert.is_false((authorization.decide({ id = "u1", admin = true }, nil, { owner = "u1" })))
  end)
end)
