--- Upstreams are outside too: what they send is bounded, and no credential follows them to another host.
local client = require "client"
local proc = require "proc"
local socket = require "socket"
local stage = require "stage"

local GIGABYTE <const> = 1000000000
local MAX_GROWTH_KB <const> = 64 * 1024
local CALLERS <const> = 24
local SANITIZED <const> = require("build").sanitized

local LIST <const> = "/raycluster/list"

describe("hostile upstreams:", function()
  local here, thief, elsewhere

  setup(function()
    here = stage.open { REQUEST_TIMEOUT_SECONDS = "2", DRAIN_SECONDS = "0" }
    thief = assert(socket.bind("127.0.0.1", 0))
    thief:settimeout(0)
    elsewhere = ("http://127.0.0.1:%d"):format(select(2, thief:getsockname()))
  end)

  teardown(function()
    thief:close()
    here:close()
  end)

  after_each(function()
    here:fault()
  end)

  local function assert_nothing_stolen()
    socket.sleep(0.1)
    local connection = thief:accept()
    assert.is_nil(connection, "somebody came")
  end

  --- Sends all of them at once; their statuses are that one, within the deadline and a little.
  local function all_fail(statuses, port)
    local started, connections = socket.gettime(), {}
    for i = 1, CALLERS do
      connections[i] = client.send(port or here.service.port, { path = LIST, token = here:person().token })
    end
    for i = 1, CALLERS do
      local response = client.receive(connections[i])
      assert.is_true(statuses[response.status], response.head)
      assert.equal("application/problem+json", response.headers["content-type"])
    end
    return socket.gettime() - started
  end

  for title, fault in pairs {
    ["a gigabyte"] = { endless = GIGABYTE },
    ["a byte a second"] = { slow = 1 },
    ["a million arrays in each other"] = { deep_json = 1000000 },
    ["the promise of more than it sends"] = { content_length = GIGABYTE },
  } do
    it(("Domino sends everybody %s: bounded in memory and time"):format(title), function()
      here:fault { match = { kind = "principal" }, fault = fault }
      local before = proc.status(here.service.pid, "VmRSS")
      local took = all_fail { [502] = true, [504] = true }
      assert(took < (SANITIZED and 20 or 5), ("it took %.1f s"):format(took))
      local grown = proc.status(here.service.pid, "VmRSS") - before
      assert(SANITIZED or grown < MAX_GROWTH_KB, ("it grew by %d KB"):format(grown))
    end)

    it(("Kubernetes sends %s: bounded in memory and time"):format(title), function()
      here:fault({ match = { kind = "list" }, fault = fault }, { match = { kind = "watch" }, fault = fault },
        { match = { kind = "get" }, fault = fault })
      local fresh = here:serve { REQUEST_TIMEOUT_SECONDS = "2", DRAIN_SECONDS = "0" } -- has no copy yet
      local before = proc.status(fresh.pid, "VmRSS")
      local took = all_fail({ [502] = true, [504] = true }, fresh.port)
      assert(took < (SANITIZED and 20 or 5), ("it took %.1f s"):format(took))
      local grown = proc.status(fresh.pid, "VmRSS") - before
      assert(SANITIZED or grown < 4 * MAX_GROWTH_KB, ("it grew by %d KB"):format(grown))
      fresh:stop()
    end)
  end

  for _, code in ipairs { 301, 302, 303, 307, 308 } do
    it(("a redirect (%d) to another host gets no credential there"):format(code), function()
      here:fault { match = { kind = "principal" }, fault = { redirect = elsewhere .. "/v4/auth", code = code } }
      assert.equal(502, here:get(here:person(), LIST).status)
      here:fault({ match = { kind = "patch" }, fault = { redirect = elsewhere, code = code } })
      assert.equal(502, here:scale(stage.uma, stage.clusters.umas, 2).status)
      assert_nothing_stolen()
    end)
  end

  it("a proxy that the environment names gets nothing", function()
    local settings = { DRAIN_SECONDS = "0", no_proxy = "", NO_PROXY = "" }
    for _, name in ipairs { "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" } do
      settings[name] = elsewhere
    end
    local service = here:serve(settings)
    stage.await_ready(service)
    assert.equal(200, here:request(stage.uma, { path = LIST, port = service.port }).status)
    assert_nothing_stolen()
    service:stop()
  end)
end)
