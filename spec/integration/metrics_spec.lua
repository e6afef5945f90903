--- /metrics: what it counts, that Prometheus takes it, that nobody's name is in it, and that the guide names it all.
local client = require "client"
local exposition = require "exposition"
local processes = require "processes"
local program = require "program"
local rawsocket = require "rawsocket"
local stage = require "stage"

local LIST <const> = "/raycluster/list"
local GUIDE <const> = "helm/rayclusterscaler/README.md"
local ALERTS <const> = "helm/rayclusterscaler/files/alerts.yaml"

describe("metrics", function()
  local here

  setup(function() here = stage.open { DRAIN_SECONDS = "0" } end)

  teardown(function() here:close() end)

  after_each(function() here:fault() end)

  local function text(service)
    local response = client.request((service or here.service).admin_port, { path = "/metrics" })
    assert.equal(200, response.status)
    return response.body
  end

  local function read(service) return exposition.read(text(service)) end

  --- How much a metric grows by what act does; it is counted once the answer has been sent.
  local function growth(name, labels, act, expected)
    local before = exposition.sum(read(), name, labels)
    act()
    local grown
    pcall(program.eventually, function()
      grown = exposition.sum(read(), name, labels) - before
      return grown == expected
    end, 5)
    assert.equal(expected, grown, name)
  end

  it("count requests by route template, method and code", function()
    for _, case in ipairs {
      { { route = LIST, method = "GET", code = "200" }, function() here:get(stage.uma, LIST) end },
      { { route = LIST, method = "HEAD", code = "200" }, function()
        here:request(stage.uma, { method = "HEAD", path = LIST })
      end },
      { { route = "/raycluster/{name}", method = "GET", code = "403" }, function()
        here:get(stage.uma, "/raycluster/" .. stage.clusters.urss)
      end },
      { { route = "/rayclusterscaler/{name}", method = "GET", code = "404" }, function()
        here:get(stage.uma, "/rayclusterscaler/nowhere")
      end },
      { { route = "/raycluster/scale", method = "POST", code = "401" }, function()
        here:scale(nil, stage.clusters.umas, 2)
      end },
      { { route = "/healthz", method = "GET", code = "200" }, function() here:get(nil, "/healthz") end },
      { { route = "refused", method = "", code = "413" }, function()
        here:request(nil, { method = "POST", path = LIST, body = ("x"):rep(65537) })
      end },
    } do
      growth("rayclusterscaler_requests_total", case[1], case[2], 1)
    end
  end)

  it("keep what clients make up out of the labels", function()
    local _, before = exposition.sum(read(), "rayclusterscaler_requests_total")
    for i = 1, 40 do
      here:get(nil, ("/made-up-%d/%d"):format(i, i * 7919))
      here:request(nil, { method = i % 2 == 0 and "PROPFIND" or "DELETE", path = "/raycluster/made-up-" .. i })
      local connection = rawsocket.connect(here.service.port)
      connection:send(("MADEUP%d / HTTP/1.1\r\nHost: x\r\n\r\n"):format(i))
      connection:rest()
      connection:close()
    end
    local metrics = read()
    local _, after = exposition.sum(metrics, "rayclusterscaler_requests_total")
    assert.is_true(after - before <= 4, after - before)
    for _, sample in ipairs(metrics.samples) do
      for label, value in pairs(sample.labels) do
        assert.is_nil(value:lower():find "made%-?up", label)
        assert.is_nil(value:find "PROPFIND", label)
      end
    end
  end)

  it("name nobody and no cluster", function()
    for _, who in ipairs { stage.uma, stage.urs, stage.admin } do
      here:get(who, LIST)
      here:get(who, "/raycluster/" .. stage.clusters.umas)
      here:scale(who, stage.clusters.umas, 3)
    end
    local all = text()
    for _, who in ipairs { stage.uma, stage.urs, stage.admin } do assert.is_nil(all:find(who.id, 1, true)) end
    for _, name in pairs(stage.clusters) do assert.is_nil(all:find(name, 1, true)) end
  end)

  it("time requests", function()
    growth("rayclusterscaler_request_duration_seconds_count", { route = LIST },
      function() here:get(stage.uma, LIST) end, 1)
    local function slow()
      local metrics = read()
      return exposition.sum(metrics, "rayclusterscaler_request_duration_seconds_count", { route = LIST })
        - exposition.sum(metrics, "rayclusterscaler_request_duration_seconds_bucket", { route = LIST, le = "0.25" })
    end
    local before = slow()
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 300 } }
    here:get(here:person(), LIST)
    program.eventually(function() return slow() == before + 1 end)
    assert.is_true(exposition.sum(read(), "rayclusterscaler_request_duration_seconds_sum", { route = LIST }) >= 0.3)
  end)

  it("time calls to Domino and Kubernetes, by code", function()
    local name <const> = "rayclusterscaler_upstream_request_duration_seconds_count"
    growth(name, { target = "domino", code = "200" }, function() here:get(here:person(), LIST) end, 1)
    growth(name, { target = "kubernetes", code = "200" },
      function() here:scale(stage.uma, stage.clusters.umas, 2) end, 1)
    here:fault { match = { kind = "patch" }, fault = { status = 500 } }
    growth(name, { target = "kubernetes", code = "500" },
      function() here:scale(stage.uma, stage.clusters.umas, 2) end, 1)
    here:fault { match = { kind = "principal" }, fault = { hang = true } }
    local service = here:serve { DRAIN_SECONDS = "0", REQUEST_TIMEOUT_SECONDS = "1" }
    assert.equal(504, here:request(stage.uma, { path = LIST, port = service.port }).status)
    assert.equal(1, exposition.sum(read(service), name, { target = "domino", code = "timeout" }))
  end)

  it("count what became of requests to scale", function()
    local name <const> = "rayclusterscaler_scale_total"
    growth(name, { result = "scaled" }, function() here:scale(stage.uma, stage.clusters.umas, 2) end, 1)
    growth(name, { result = "not_scalable" }, function() here:scale(stage.uma, stage.clusters.umas_fixed, 2) end, 1)
    growth(name, nil, function() here:scale(stage.uma, stage.clusters.urss, 2) end, 0)
    here:fault { match = { kind = "patch" }, fault = { status = 409 } }
    growth(name, { result = "conflict" }, function() here:scale(stage.uma, stage.clusters.umas, 2) end, 1)
  end)

  it("tell how the cache does, and what Domino says", function()
    local person = here:person()
    local function ask() here:get(person, LIST) end
    growth("rayclusterscaler_cache_loads_total", nil, ask, 1)
    growth("rayclusterscaler_cache_hits_total", nil, ask, 1)
    growth("rayclusterscaler_identity_total", { result = "authenticated" },
      function() here:get(here:person(), LIST) end, 1)
    growth("rayclusterscaler_identity_total", { result = "anonymous" },
      function() here:request(nil, { path = LIST, token = "of nobody" }) end, 1)
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 500 } }
    growth("rayclusterscaler_cache_waits_total", nil, function()
      person = here:person()
      local sent = {}
      for i = 1, 3 do sent[i] = client.send(here.service.port, { path = LIST, token = person.token }) end
      for i = 1, 3 do assert.equal(200, client.receive(sent[i]).status) end
    end, 2)
    local metrics = read()
    assert.is_true(exposition.sum(metrics, "rayclusterscaler_cache_entries") > 0)
    assert.is_true(exposition.sum(metrics, "rayclusterscaler_cache_bytes") > 0)
    assert.equal(0, exposition.sum(metrics, "rayclusterscaler_cache_evictions_total"))
  end)

  it("tell how many threads are busy, and with how many requests", function()
    local function are(busy, requests)
      program.eventually(function()
        local metrics = read()
        return exposition.sum(metrics, "rayclusterscaler_threads_busy") == busy
          and exposition.sum(metrics, "rayclusterscaler_requests_in_flight") == requests
      end, 10, ("%d busy threads, %d requests"):format(busy, requests))
    end
    assert.equal(128, exposition.sum(read(), "rayclusterscaler_requests_max"))
    assert.is_true(exposition.sum(read(), "rayclusterscaler_threads") > 128)
    are(0, 0)
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 1000 } }
    local sent = {}
    for i = 1, 3 do sent[i] = client.send(here.service.port, { path = LIST, token = here:person().token }) end
    are(3, 3)
    for i = 1, 3 do assert.equal(200, client.receive(sent[i]).status) end
    are(0, 0)
  end)

  it("tell what runs, by which rules, in which states", function()
    local metrics = read()
    local policy = client.request(here.service.admin_port, { path = "/policy" }).json
    assert.equal(1, exposition.sum(metrics, "rayclusterscaler_policy_info", { revision = policy.active.revision }))
    assert.equal(1, select(2, exposition.sum(metrics, "rayclusterscaler_policy_info")))
    assert.equal(1, select(2, exposition.sum(metrics, "rayclusterscaler_build_info")))
    assert.equal(1, exposition.sum(metrics, "rayclusterscaler_policy_reloads_total"))
    assert.equal(0, exposition.sum(metrics, "rayclusterscaler_policy_refused_total"))
    assert.is_true(exposition.sum(metrics, "rayclusterscaler_lua_states") >= 1)
    assert.is_true(exposition.sum(metrics, "rayclusterscaler_lua_memory_bytes") > 10000)
    for _, limit in ipairs { "cpu", "memory" } do
      local hits, count = exposition.sum(metrics, "rayclusterscaler_limit_hits_total", { limit = limit })
      assert.same({ 0, 1 }, { hits, count }, limit)
    end
    assert.equal(1, select(2, exposition.sum(metrics, "rayclusterscaler_limit_hits_total", { limit = "cpu_soft" })))
    assert.is_true(exposition.sum(metrics, "process_resident_memory_bytes") > 1e6)
    assert.is_true(exposition.sum(metrics, "process_open_fds") > 3)
  end)

  it("tell of the watch", function()
    local rayclusters <const> = { resource = "rayclusters.distributed-compute.dominodatalab.com" }
    program.eventually(function()
      return exposition.sum(read(), "rayclusterscaler_kube_watch_up", rayclusters) == 1
    end)
    local metrics = read()
    assert.equal(4, exposition.sum(metrics, "rayclusterscaler_kube_watch_objects", rayclusters))
    assert.equal(0, exposition.sum(metrics, "rayclusterscaler_kube_watch_age_seconds", rayclusters))
    assert.is_true(exposition.sum(metrics, "rayclusterscaler_kube_watch_lists_total", rayclusters) >= 1)
    growth("rayclusterscaler_kube_watch_events_total", { type = "change" }, function()
      here:control("POST", "touch", { name = stage.clusters.urss })
    end, 1)
  end)

  it("tell of a watch that is down, and why", function()
    local service = here:serve { DRAIN_SECONDS = "0" }
    stage.await_ready(service)
    here:fault { match = { kind = "watch" }, fault = { status = 403 } }
    here:control("POST", "restart")
    local forbidden <const> = { verb = "watch", code = "forbidden", namespace = "domino-compute" }
    program.eventually(function()
      local metrics = read(service)
      return exposition.sum(metrics, "rayclusterscaler_kube_watch_troubles_total", forbidden) >= 1
        and exposition.sum(metrics, "rayclusterscaler_kube_watch_up") == 0
        and exposition.sum(metrics, "rayclusterscaler_kube_watch_age_seconds") > 0
    end)
    service:stop()
  end)

  describe("of a service that has had troubles", function()
    local service, all

    setup(function()
      here:fault { match = { kind = "list" }, fault = { status = 500 } }
      service = here:serve { DRAIN_SECONDS = "0" }
      program.eventually(function() return text(service):find "rayclusterscaler_kube_watch_troubles_total" end)
      here:fault()
      stage.await_ready(service)
      here:request(stage.uma, { path = LIST, port = service.port })
      here:request(stage.uma, { method = "POST", path = "/raycluster/scale", port = service.port,
        body = { cluster_name = stage.clusters.umas, replicas = 3 } })
      all = program.eventually(function()
        local now = text(service)
        return now:find 'requests_total{route="/raycluster/scale"' and now
      end)
    end)

    it("are what promtool accepts", function()
      local said, code = processes.run({ "build/tools/promtool", "check", "metrics" }, { input = all })
      assert.equal("", said)
      assert.equal(0, code)
    end)

    it("are in the guide, all of them and no others", function()
      local documented = {}
      for name in program.read(GUIDE):gmatch "\n| `(rayclusterscaler_[%w_]+)`" do documented[name] = true end
      local shown = {}
      for name in pairs(exposition.read(all).types) do
        if name:find "^rayclusterscaler_" then shown[name] = true end
      end
      assert.same(shown, documented)
    end)

    it("are all that the alerts ask for", function()
      local shown = exposition.read(all).types
      for name in program.read(ALERTS):gmatch "[%a_]+" do
        if name:find "^rayclusterscaler_" or name:find "^process_" then
          assert.truthy(shown[name] or shown[name:gsub("_bucket$", ""):gsub("_count$", "")], name)
        end
      end
    end)
  end)

  describe("and the admin listener", function()
    local function ask(method, path)
      return client.request(here.service.admin_port, { method = method, path = path })
    end

    it("answer HEAD as GET, without the body", function()
      for _, path in ipairs { "/healthz", "/readyz", "/metrics", "/policy" } do
        local response = ask("HEAD", path)
        assert.equal(200, response.status, path)
        assert.equal("", response.body)
        assert.is_true(tonumber(response.headers["content-length"]) > 0)
      end
    end)

    it("can only be read", function()
      for _, path in ipairs { "/healthz", "/readyz", "/metrics", "/policy" } do
        for _, method in ipairs { "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND" } do
          local response = ask(method, path)
          assert.equal(405, response.status, method .. " " .. path)
          assert.equal("GET, HEAD", response.headers.allow)
          assert.equal("method_not_allowed", response.json.error)
        end
      end
      local response = client.request(here.service.admin_port, { method = "POST", path = "/metrics", body = "x=1" })
      assert.equal(405, response.status)
    end)

    it("have nothing at other paths", function()
      for _, path in ipairs { "/", LIST, "/metrics/", "/metricsx", "/policy/x", "/healthz/", "/.." } do
        local response = ask("GET", path)
        assert.equal(404, response.status, path)
        assert.equal("application/problem+json", response.headers["content-type"])
        assert.equal("not_found", response.json.error)
        assert.equal(response.headers["x-request-id"], response.json.requestId)
      end
    end)
  end)
end)
