local rules = require "scripts.rules"

describe("scripts/rules", function()
  local verdict, plan = rules.contracts["policies.authorization"], rules.contracts["policies.scaling"]

  it("holds a verdict to true or false, and text for a reason", function()
    assert.is_nil(verdict(true))
    assert.is_nil(verdict(true, "admin"))
    assert.is_nil(verdict(false))
    assert.is_nil(verdict(false, "not_owner"))
    for _, bad in ipairs { 1, 0, "true", "", {} } do
      assert.truthy(verdict(bad))
    end
    assert.truthy(verdict(nil))
    assert.truthy(verdict(nil, "reason"))
    assert.truthy(verdict(false, 7))
  end)

  it("holds a plan to what the operator and an int32 take", function()
    local function planned(replicas, min, max)
      return plan { replicas = replicas, min_replicas = min, max_replicas = max }
    end
    assert.is_nil(planned(5, 5, 6))
    assert.is_nil(planned(0, 1, 1))
    assert.is_nil(planned(5.0, 5.0, 6.0), "10 / 2 is 5.0")
    assert.is_nil(planned(2147483647, 2147483647, 2147483647))
    assert.equal("replicas is no integer but 2.5", planned(2.5, 1, 2))
    assert.equal("replicas is no integer but 5", planned("5", 1, 2))
    assert.equal("max_replicas is no integer but nil", planned(5, 1, nil))
    assert.equal("replicas is no integer but inf", planned(1 / 0, 1, 2))
    assert.equal("replicas is no int32 of at least 0: -1", planned(-1, 1, 2))
    assert.equal("max_replicas is no int32 of at least 0: 2147483648", planned(1, 1, 2147483648))
    assert.equal("min_replicas is below 1", planned(0, 0, 1))
    assert.equal("max_replicas is below min_replicas", planned(3, 3, 2))
  end)

  it("holds a refusal to a reason", function()
    assert.is_nil(plan(nil, "not_scalable"))
    assert.truthy(plan(nil))
    assert.truthy(plan(nil, ""))
    assert.truthy(plan(nil, 7))
    assert.truthy(plan(true))
    assert.truthy(plan "yes")
  end)
end)
