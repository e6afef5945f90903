local proof = require "host.proof"
local rules = require "scripts.rules"

describe("policies", function()
  for _, name in ipairs { "authorization", "scaling" } do
    local module = "policies." .. name

    it("hold their own examples: " .. name, function()
      local policies = { { module = module, value = require(module) } }
      assert.same({}, proof.policies(policies, { contracts = rules.contracts }))
    end)
  end
end)
