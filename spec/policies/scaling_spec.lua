local rules = require "scripts.rules"

describe("policies/scaling", function()
  it("makes a plan that the operator takes, for every wish that the service lets through", function()
    local cluster = { name = "ray-1", autoscaling = { min_replicas = 1, max_replicas = 2 } }
    for _, n in ipairs { 0, 1, 2, 10, 1000, 2147483645, 2147483646 } do
      local plan = rules.plan({ replicas = n }, cluster, { id = "u1", admin = false })
      assert.equal(n, plan.replicas)
      assert.is_true(plan.min_replicas >= 1 and plan.max_replicas >= plan.min_replicas)
    end
  end)
end)
