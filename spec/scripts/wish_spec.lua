local json = require "json"
local wish = require "scripts.wish"

describe("scripts/wish", function()
  local function replicas_message(replicas)
    local read, errors = wish { cluster_name = "ray-1", replicas = replicas }
    assert.is_nil(read)
    assert.equal(1, #errors)
    assert.equal("replicas", errors[1].field)
    return errors[1].message
  end

  it("reads a wish, and leaves alone what it does not know", function()
    assert.same({ cluster_name = "ray-1", replicas = 5 },
      (wish { cluster_name = "ray-1", replicas = 5, worker_hw_tier_name = "small", head = json.null }))
    for _, n in ipairs { 0, 1, 2147483646 } do
      assert.equal(n, wish({ cluster_name = "ray-1", replicas = n }).replicas)
    end
    assert.equal("integer", math.type(wish({ cluster_name = "ray-1", replicas = 5.0 }).replicas))
  end)

  it("names what it found instead of a number of workers", function()
    local cases = {
      [true] = "found true", [false] = "found false", ["5"] = 'found the string "5"', [2.5] = "found 2.5",
      [json.null] = "found null", [-0.5] = "found -0.5",
    }
    for value, expected in pairs(cases) do
      assert.equal("must be a whole number, " .. expected, replicas_message(value))
    end
    assert.equal("must be a whole number, found an object or array", replicas_message {})
    assert.truthy(replicas_message(nil):find("^is missing"))
    assert.equal("must be 0 or more, found -1", replicas_message(-1))
    assert.equal("must be 0 or more, found -1e+99", replicas_message(-1e99))
    assert.equal("must be at most 2147483646, found 2147483647", replicas_message(2147483647))
    assert.equal("must be at most 2147483646, found 9007199254740993", replicas_message(9007199254740993))
    assert.equal("must be at most 2147483646, found 1e+99", replicas_message(1e99))
  end)

  it("gives no long or strange text back", function()
    for _, value in ipairs { ("x"):rep(41), "\27[31m", "5\n", "fünf", "\xff" } do
      assert.equal("must be a whole number, found a string", replicas_message(value))
    end
  end)

  it("takes only a name that a cluster can have", function()
    for _, name in ipairs { "Ray-1", "ray_1", "", "-ray", "ray-", "a..b", "../secrets", "a/b", "ray-1 ", ("a"):rep(254),
      1, true, json.null, {} } do
      local read, errors = wish { cluster_name = name, replicas = 1 }
      assert.is_nil(read)
      assert.equal("cluster_name", errors[1].field)
    end
    local _, errors = wish { replicas = 1 }
    assert.truthy(errors[1].message:find("^is missing"))
  end)
end)
