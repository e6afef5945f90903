--- From ready to ended: probes, SIGTERM, what is in flight, what is refused.
local build = require "build"
local client = require "client"
local processes = require "processes"
local program = require "program"
local rawsocket = require "rawsocket"
local socket = require "socket"
local stage = require "stage"
local uv = require "luv"

local LIST <const> = "/raycluster/list"
local SERVICE_THREADS <const> = 128
local ADMIN_THREADS <const> = 16

local function probe(service, path) return client.request(service.admin_port, { path = path }) end

--- How many milliseconds of twenty probes all but two took at most: a busy machine may hold up one or the other.
local function probe_ms(service, path)
  local took = {}
  for i = 1, 20 do
    local started = uv.hrtime()
    assert.equal(200, probe(service, path).status, path)
    took[i] = (uv.hrtime() - started) / 1e6
  end
  table.sort(took)
  return took[#took - 2]
end

local function refuses(port)
  local tcp = socket.tcp()
  tcp:settimeout(5)
  local connected = tcp:connect("127.0.0.1", port)
  tcp:close()
  return not connected
end

--- A connection that asked for the list and stays open.
local function kept(service)
  local connection = rawsocket.connect(service.port)
  function connection:ask()
    assert(self:send(("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"):format(LIST, stage.uma.token)))
    return assert(self:response())
  end
  return connection
end

--- A request to scale whose last byte has not been sent.
local function unfinished(service)
  local connection = rawsocket.connect(service.port)
  local body = ('{"cluster_name": "%s", "replicas": 2}'):format(stage.clusters.umas)
  assert(connection:send(("POST /raycluster/scale HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n" ..
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(stage.uma.token, #body, body:sub(1, -2))))
  function connection:finish()
    assert(self:send "}")
    return assert(self:response())
  end
  return connection
end

local function in_flight(service)
  return tonumber(probe(service, "/metrics").body:match "\nrayclusterscaler_requests_in_flight (%d+)")
end

local function await_in_flight(service, count)
  program.eventually(function() return in_flight(service) == count end, 10, count .. " requests in flight")
end

describe("life cycle", function()
  local here

  setup(function() here = stage.open { DRAIN_SECONDS = "0" } end)

  teardown(function() here:close() end)

  after_each(function() here:fault() end)

  --- A service that the stage does not expect to end well.
  local function serve(settings)
    local service = here:serve(settings)
    table.remove(here.processes)
    stage.await_ready(service)
    finally(function()
      if service:running() then
        uv.kill(service.pid, "sigkill")
        service:wait()
      end
    end)
    return service
  end

  local function slow_domino(ms)
    here:fault { match = { kind = "principal" }, fault = { delay_ms = ms } }
  end

  describe("a probe", function()
    it("finds the service alive when Domino and Kubernetes are not", function()
      local nobody = processes.free_port()
      local kubeconfig = here.directory .. "/nobody"
      program.write(kubeconfig, (program.read(here.directory .. "/kubeconfig"):gsub("127%.0%.0%.1:%d+",
        "127.0.0.1:" .. nobody)))
      local service = here:serve { DOMINO_NUCLEUS_URI = "http://127.0.0.1:" .. nobody, KUBECONFIG = kubeconfig,
        DRAIN_SECONDS = "0" }
      for _, port in ipairs { service.port, service.admin_port } do
        local response = client.request(port, { path = "/healthz" })
        assert.equal(200, response.status)
        assert.equal('{"status":"Healthy"}', response.body)
      end
    end)

    it("finds the service alive, and not ready, without valid rules", function()
      local service = here:serve { POLICIES_DIR = { ["scaling.lua"] = "return" }, DRAIN_SECONDS = "0" }
      assert.equal(200, probe(service, "/healthz").status)
      local response = probe(service, "/readyz")
      assert.equal(503, response.status)
      assert.equal("not ready", response.json.status)
      assert.is_true(#response.json.reasons > 0)
    end)

    it("is answered while every request thread is busy", function()
      local service = here:serve { DRAIN_SECONDS = "0", REQUEST_TIMEOUT_SECONDS = "60" }
      slow_domino(4000)
      local held = {}
      for i = 1, SERVICE_THREADS do held[i] = client.send(service.port, { path = LIST, token = "held-" .. i }) end
      await_in_flight(service, SERVICE_THREADS)
      local waiting = client.send(service.port, { path = LIST })
      for _, path in ipairs { "/healthz", "/readyz" } do
        local ms = probe_ms(service, path)
        assert(ms < 100, ("%s took %.0f ms"):format(path, ms))
      end
      for _, path in ipairs { "/metrics", "/policy" } do assert.equal(200, probe(service, path).status, path) end
      assert.equal(SERVICE_THREADS, in_flight(service))
      local response = client.receive(waiting)
      assert.same({ 503, "1" }, { response.status, response.headers["retry-after"] })
      for i = 1, SERVICE_THREADS do assert.equal(401, client.receive(held[i]).status) end
    end)

    it("is answered while others hold their connections to the admin listener", function()
      local silent = {}
      for i = 1, ADMIN_THREADS - 1 do silent[i] = rawsocket.connect(here.service.admin_port) end
      for _ = 1, 20 do
        local asked = rawsocket.connect(here.service.admin_port)
        silent[#silent + 1] = asked
        assert(asked:send "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        local response = assert(asked:response())
        assert.equal(200, response.status)
        assert.equal("close", response.headers.connection)
      end
      for i = 1, ADMIN_THREADS - 1 do
        assert.same({ "", "timeout" }, { silent[i]:rest(0) })
      end
      for _, connection in ipairs(silent) do connection:close() end
    end)
  end)

  describe("SIGTERM", function()
    it("takes readiness away at once and serves on for DRAIN_SECONDS", function()
      local service = serve { DRAIN_SECONDS = "2" }
      local idle, active = kept(service), kept(service)
      assert.equal("keep-alive", active:ask().headers.connection)
      assert.equal("keep-alive", idle:ask().headers.connection)
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return probe(service, "/readyz").status == 503 end)
      assert.same({ "the service is ending" }, probe(service, "/readyz").json.reasons)
      assert.equal(200, probe(service, "/healthz").status)
      assert.equal(200, here:request(stage.uma, { path = LIST, port = service.port }).status)
      local last = active:ask()
      assert.equal(200, last.status)
      assert.equal("close", last.headers.connection)
      assert.same({ "", "closed" }, { active:rest() })
      assert.same({ 0, 0 }, { service:wait() })
      assert.same({ "", "closed" }, { idle:rest() })
    end)

    it("refuses new connections and finishes what is in flight", function()
      local service = serve { DRAIN_SECONDS = "0" }
      local idle = kept(service)
      idle:ask()
      local half = unfinished(service)
      slow_domino(1500)
      local slow = client.send(service.port, { path = LIST, token = "nobody's" })
      await_in_flight(service, 2)
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return refuses(service.port) end)
      assert.equal(503, probe(service, "/readyz").status)
      assert.equal(200, probe(service, "/healthz").status)
      assert.equal(200, half:finish().status)
      local response = client.receive(slow)
      assert.equal(401, response.status)
      assert.equal("close", response.headers.connection)
      assert.same({ 0, 0 }, { service:wait() })
      assert.same({ "", "closed" }, { idle:rest() })
      assert.is_true(refuses(service.admin_port))
    end)

    it("answers those who still wait for a thread", function()
      local service = serve { DRAIN_SECONDS = "0", REQUEST_TIMEOUT_SECONDS = "60" }
      local held, waiting = {}, {}
      for i = 1, SERVICE_THREADS do held[i] = unfinished(service) end
      await_in_flight(service, SERVICE_THREADS)
      for i = 1, 20 do waiting[i] = client.send(service.port, { path = LIST, token = stage.urs.token }) end
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return refuses(service.port) end)
      for i = 1, SERVICE_THREADS do assert.equal("close", held[i]:finish().headers.connection) end
      for i = 1, 20 do assert.equal(200, client.receive(waiting[i]).status) end
      assert.same({ 0, 0 }, { service:wait() })
    end)

    it("does not wait for a client that stopped in the middle of its request beyond the request's time", function()
      local service = serve { DRAIN_SECONDS = "0", REQUEST_TIMEOUT_SECONDS = "1" }
      local half = unfinished(service)
      await_in_flight(service, 1)
      uv.kill(service.pid, "sigterm")
      assert.equal(408, assert(half:response()).status)
      assert.same({ 0, 0 }, { service:wait(10) })
    end)

    it("drains to its end also when the process was stopped meanwhile", function()
      local service = serve { DRAIN_SECONDS = "60" }
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return probe(service, "/readyz").status == 503 end)
      uv.kill(service.pid, "sigstop")
      uv.kill(service.pid, "sigcont")
      uv.sleep(300)
      assert.is_true(service:running())
      assert.equal(200, here:request(stage.uma, { path = LIST, port = service.port }).status)
    end)

    it("given again ends the drain now", function()
      local service = serve { DRAIN_SECONDS = "60" }
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return probe(service, "/readyz").status == 503 end)
      uv.kill(service.pid, "sigterm")
      assert.same({ 143, 0 }, { service:wait(10) })
    end)

    it("given again ends requests in flight now", function()
      local service = serve { DRAIN_SECONDS = "0", REQUEST_TIMEOUT_SECONDS = "60" }
      unfinished(service)
      await_in_flight(service, 1)
      uv.kill(service.pid, "sigterm")
      program.eventually(function() return refuses(service.port) end)
      uv.kill(service.pid, "sigint")
      assert.same({ 130, 0 }, { service:wait(10) })
    end)
  end)

  -- Nothing that a script can write is known to get past all limits, so a library is preloaded that does. Sanitizers
  -- want to be the first to be loaded themselves.
  if not build.sanitized then
    it("ends when a script cannot be stopped: fails its liveness, says so and why, and exits", function()
      local service = serve {
        LD_PRELOAD = ("./%s/stuck.so"):format(build.directory), STUCK = "never compared",
        scripts = { ["list.lua"] = [[
          return function(ctx) return { status = (ctx.caller.id and "never compared" or "") < "other" and 200 } end]] },
      }
      for _, port in ipairs { service.port, service.admin_port } do
        assert.equal(200, client.request(port, { path = "/healthz" }).status)
      end
      local held = client.send(service.port, { path = LIST, token = stage.uma.token })
      local response = program.eventually(function()
        local answer = probe(service, "/healthz")
        return answer.status == 503 and answer
      end, 30, "a liveness that fails")
      assert.equal('{"status":"a script cannot be stopped"}', response.body)
      assert.equal(503, client.request(service.port, { path = "/healthz" }).status)
      assert.same({ 70, 0 }, { service:wait() })
      held:close()
      local line = service:log("run is stuck: nothing ends it")[1]
      assert.same({ "error", "scripts.app" }, { line.level, line.run })
      assert.is_true(line.cpu_ms >= 2250)
      assert.equal("", service:stderr())
    end)
  end

  it("ends by SIGINT as by SIGTERM", function()
    local service = serve { DRAIN_SECONDS = "0" }
    uv.kill(service.pid, "sigint")
    assert.same({ 0, 0 }, { service:wait() })
  end)
end)
