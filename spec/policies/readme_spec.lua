local proof = require "host.proof"
local rules = require "scripts.rules"

describe("policies/README.md", function()
  local file = assert(io.open "policies/README.md")
  local text = file:read "a"
  file:close()

  local count = 0
  for code in text:gmatch "```lua\n(.-)```" do
    count = count + 1
    local module = "policies." .. code:match "^%-%- (%l+)%.lua\n"

    it("shows a rule that passes its examples: " .. module .. " " .. count, function()
      local value = assert(load(code, "=README.md", "t"))()
      assert.same({}, proof.policies({ { module = module, value = value } }, { contracts = rules.contracts }))
    end)
  end

  it("shows whole rules", function()
    assert.equal(2, count)
  end)
end)
