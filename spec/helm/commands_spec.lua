local chart = require "chart"

local guide = chart.directory .. "/README.md"

--- A cluster that nobody answers for: a command that is right gets as far as to ask it.
local nowhere = [[
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {token: none}}]
]]

--- What is shown to be typed for a tool: lines of shell blocks, and whole commands in the midst of a text.
local function commands_of(text, tool)
  local list = {}
  for command in text:gmatch("[\n`] *(" .. tool .. " %l+ [^\n`]+)") do
    list[#list + 1] = command:gsub(" |.*$", ""):gsub(" &$", ""):gsub("<name>", "x")
  end
  return list
end

describe("what is shown to be typed", function()
  local kubeconfig

  setup(function()
    kubeconfig = os.tmpname()
    chart.write(kubeconfig, nowhere)
  end)

  teardown(function() os.remove(kubeconfig) end)

  local function assert_understood(text, least)
    for tool, count in pairs(least) do
      local commands = commands_of(text, tool)
      assert.is_true(#commands >= count, ("only %d commands of %s"):format(#commands, tool))
      for _, command in ipairs(commands) do
        if not command:find("^helm package") then
          local ok, _, messages = chart.run(("KUBECONFIG=%s build/tools/%s </dev/null"):format(kubeconfig, command))
          assert.is_false(ok)
          assert.matches("127.0.0.1:1", messages, 1, true)
        end
      end
    end
  end

  it("in the guide is what helm and kubectl understand", function()
    assert_understood(chart.read(guide), { helm = 5, kubectl = 10 })
  end)

  it("in the README, too", function()
    assert_understood(chart.read("README.md"), { helm = 1 })
  end)

  it("after an installation, too", function()
    local text = chart.run_well("build/tools/helm install --dry-run=client -f spec/helm/values/everything.yaml " ..
      "ours helm/rayclusterscaler -n field")
    assert_understood(text:match("NOTES:.*"), { helm = 1, kubectl = 1 })
  end)

  it("to bring in a file does bring it in", function()
    local path = os.tmpname()
    chart.write(path, "return 'ours'\n")
    local argument = chart.read(guide):match("`(%-%-set%-file [^`]+)`"):gsub("my%-policies/scaling%.lua", path)
    local objects = chart.render({ arguments = argument })
    assert.equal("return 'ours'\n", objects["ConfigMap rayclusterscaler-policies"].data["scaling.lua"])
    os.remove(path)
  end)
end)
