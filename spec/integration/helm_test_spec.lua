--- What `helm test` runs: the containers of the chart's test pod, on what the chart mounts and on the service; and the
--- call that its notes show.
local chart = require "chart"
local processes = require "processes"
local program = require "program"
local stage = require "stage"

describe("helm test", function()
  local here

  setup(function() here = stage.open { DRAIN_SECONDS = "0" } end)

  teardown(function() here:close() end)

  --- The test pod's container of that name, and what the chart would mount into it as settings.
  local function container(name, arguments)
    local objects = chart.render { arguments = arguments }
    local settings = {}
    for _, kind in ipairs { "scripts", "policies" } do
      settings[kind:upper() .. "_DIR"] = here:folder(objects["ConfigMap rayclusterscaler-" .. kind].data)
    end
    for _, each in ipairs(chart.only(objects, "Pod").spec.containers) do
      if each.name == name then return each, settings end
    end
    error("no container " .. name)
  end

  it("passes the rules of the chart, and no others that fail their proof", function()
    for arguments, expected in pairs { [""] = 0, ["--set-string 'policies.files.scaling\\.lua=return {}'"] = 1 } do
      local proof, settings = container("proof", arguments)
      for name, value in pairs(chart.environment(proof)) do settings[name] = settings[name] or value end
      local code, out = program.run { arguments = proof.args, environment = settings, directory = here.directory }
      assert.equal(expected, code, out)
    end
  end)

  it("passes a service that is ready, and none that is not, or not there", function()
    local service = container "service"
    assert.same({ "/bin/bash", "-c" }, { service.command[1], service.command[2] })
    local function ask(port)
      local script, count = service.command[3]:gsub('/80"', ('/%d"'):format(port))
      assert.equal(1, count)
      return processes.run { "env", "-i", "HOME=/nowhere", "HOST=127.0.0.1", "/bin/bash", "-c", script }
    end
    local said, code = ask(here.service.port)
    assert.same({ "127.0.0.1/readyz: 200\n", 0 }, { said, code })
    local without_rules = here:serve { POLICIES_DIR = { ["scaling.lua"] = "return" }, DRAIN_SECONDS = "0" }
    said, code = ask(without_rules.port)
    assert.same({ "127.0.0.1/readyz: 503\n", 1 }, { said, code })
    assert.equal(1, select(2, ask(processes.free_port())))
  end)

  it("is followed by a call that lists the caller's clusters", function()
    local notes = chart.run_well "build/tools/helm install --dry-run=client ours helm/rayclusterscaler"
    local command = notes:match "\n +(curl [^\n]+/raycluster/list)"
      :gsub("http://localhost:8899/", ("http://127.0.0.1:%d/"):format(here.simulator_port))
      :gsub("http://rayclusterscaler%-svc%.domino%-field/", ("http://127.0.0.1:%d/"):format(here.service.port))
    local said, code = processes.run { "sh", "-c", (command:gsub("^curl", "curl -sSf")) }
    assert.equal(0, code)
    assert.matches('^{"ray_clusters":%[{', said)
  end)
end)
