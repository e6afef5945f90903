--- A rolling update as Kubernetes does it: new pods come behind the balancer when they are ready, old ones get SIGTERM
--- and leave it when they are not. Callers that ask all the while notice nothing.
local cjson = require "cjson"
local client = require "client"
local exposition = require "exposition"
local processes = require "processes"
local program = require "program"
local stage = require "stage"

local CALLERS <const> = 12
--- Long enough for the balancer to learn that a pod is not ready, which it asks ten times a second.
local SETTINGS <const> = { DRAIN_SECONDS = "2" }

describe("a rolling update", function()
  local here, balancer, load

  setup(function()
    here = stage.open(SETTINGS)
    balancer = processes.start({ "lua5.4", "spec/support/balancer.lua" }, { line = true, input = true })
  end)

  teardown(function()
    if load then load.stop() end
    balancer.stop()
    here:close()
  end)

  --- Puts a pod behind the balancer, and waits until it is asked.
  local function add(service)
    balancer.write(("add %d %d\n"):format(service.port, service.admin_port))
    program.eventually(function() return balancer.text():find("\nin " .. service.port .. "\n", 1, true) end)
    return service
  end

  local function served(service)
    local text = client.request(service.admin_port, { path = "/metrics" }).body
    return exposition.sum(exposition.read(text), "rayclusterscaler_requests_total")
  end

  it("under load fails no request", function()
    local old = { add(here.service), add(here:serve(SETTINGS)) }
    load = processes.start({ "lua5.4", "spec/support/load.lua", balancer.line, tostring(CALLERS), stage.uma.token,
      stage.clusters.umas }, { input = true })
    for _, service in ipairs(old) do
      program.eventually(function() return served(service) > 50 end, 20, "old pods to be asked")
    end
    local new = {}
    for i, service in ipairs(old) do
      new[i] = add(here:serve { DRAIN_SECONDS = "0" })
      service:stop()
      assert.truthy(balancer.text():find("\nout " .. service.port .. "\n", 1, true))
    end
    for _, service in ipairs(new) do
      program.eventually(function() return served(service) > 50 end, 20, "new pods to be asked")
    end
    local result = cjson.decode(load.finish(30000))
    assert.same({}, result.failures)
    assert.equal(0, result.failed)
    assert.is_true(result.requests > 200, result.requests)
    assert.is_true(result.connections > CALLERS)
    for _, service in ipairs(old) do
      for _, line in ipairs(service:log "request") do assert.is_true(line.code == 200 or line.code == 409) end
    end
  end)
end)
