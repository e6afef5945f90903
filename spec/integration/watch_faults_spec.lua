--- What callers see while Kubernetes misbehaves, and that the copy recovers by itself: right answers or a clear failure
--- in time; never a wrong one, never a hang.
local build = require "build"
local client = require "client"
local program = require "program"
local socket = require "socket"
local stage = require "stage"
local watched = require "watched"

local SANITIZED <const> = build.sanitized
local STALE_S <const> = 1
local DEADLINE_S <const> = 2
local GRACE_S <const> = SANITIZED and 3 or 1.5

local SETTINGS <const> = { KUBE_MAX_STALE_SECONDS = STALE_S, REQUEST_TIMEOUT_SECONDS = DEADLINE_S,
  IDENTITY_TTL_SECONDS = "60", DRAIN_SECONDS = "0" }

describe("while Kubernetes misbehaves, the copy of the clusters", function()
  local here, deaf

  --- Its watch has died without a word when the specs begin; the last one looks how it is then.
  setup(function()
    local settings = { LOG_LEVEL = "debug" }
    for name, value in pairs(SETTINGS) do settings[name] = value end
    deaf = stage.open(settings)
    local streams = watched.state(deaf).streams
    deaf:fault { match = { kind = "watch", times = 1 }, fault = { silent = 0 } }
    deaf:control("POST", "restart")
    watched.eventually(function() return watched.state(deaf).streams > streams end, "a stream")
    deaf:control("POST", "touch", { name = stage.clusters.umas })
    deaf.since = os.time()
  end)

  teardown(function()
    deaf:close()
  end)

  before_each(function() -- a service that has seen no trouble, and so does not hesitate
    here = stage.open(SETTINGS)
  end)

  after_each(function()
    here:close()
  end)

  local function cluster(name, who) return watched.cluster(here, name, who) end
  local function watch_state() return watched.state(here) end
  local function await_up() watched.await_up(here) end
  local function assert_equals_truth() watched.assert_equals_truth(here) end
  local eventually <const> = watched.eventually

  it("is not read once the watch has been down for too long", function()
    await_up()
    here:fault({ match = { kind = "watch" }, fault = { status = 500 } },
      { match = { kind = "list", times = 1 }, fault = { status = 500 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().read == false end, "the copy is too old")
    here:control("DELETE", "requests")
    here:control("POST", "touch", { name = stage.clusters.umas })
    assert.equal(here:bytes(stage.clusters.umas), cluster(stage.clusters.umas).body)
    assert.equal(200, client.request(here.service.admin_port, { path = "/readyz" }).status)
    here:fault({ fault = { status = 500 }, match = { resource = "rayclusters" } })
    local response = cluster(stage.clusters.umas)
    assert.same({ 502, "upstream_failed" }, { response.status, response.error })
    here:fault()
    await_up()
    assert_equals_truth()
  end)

  it("says which right is missing, and is not ready without it", function()
    here:fault({ match = { kind = "list" }, fault = { status = 403 } })
    local other = here:serve { DRAIN_SECONDS = "0" }
    local reason = eventually(function()
      local response = client.request(other.admin_port, { path = "/readyz" })
      return response.status == 503 and response.json.reasons[1]:find "list rayclusters" and response.json.reasons[1]
    end, "the reason")
    assert.matches("missing the right to list rayclusters%.distributed%-compute%.dominodatalab%.com in", reason)
    here:fault()
    stage.await_ready(other)
  end)

  local EVENT <const> = 300 -- bytes into an event

  for what, rule in pairs {
    ["a stream cut in the middle of an event"] = { cut = EVENT },
    ["a stream that ends at once"] = { answer = "" },
    ["an expired watch"] = { expired = true },
    ["410 as status"] = { status = 410 },
    ["an ERROR event"] = { event = { type = "ERROR", object = { kind = "Status", code = 500, message = "boom" } },
      ending = "end" },
    ["an event of an unknown type"] = { event = { type = "RESIZED", object = { metadata = { name = "x" } } } },
    ["an event that is no JSON"] = { event = "{]\n" },
    ["429 with Retry-After"] = { status = 429, retry_after = 1 },
    ["503"] = { status = 503 },
    ["503 with Retry-After"] = { status = 503, retry_after = 1 },
    ["a redirect"] = { redirect = "http://127.0.0.1:1/" },
    ["something that is not HTTP"] = { raw = "nonsense\r\n\r\n" },
  } do
    it("recovers from " .. what, function()
      await_up()
      here:fault({ match = { kind = "watch", times = 2 }, fault = rule })
      here:control("POST", "restart")
      for i = 1, 20 do
        here:control("POST", "touch", { name = stage.clusters.umas })
        if i % 5 == 0 then here:cluster() end
        assert.equal(200, cluster(stage.clusters.umas, stage.uma).status)
      end
      here:fault()
      await_up()
      assert_equals_truth()
    end)
  end

  it("recovers from a continue token that has expired", function()
    here:control("POST", "seed", { clusters = 1200, bytes = 1000 })
    here:fault({ match = { kind = "list", nth = 2 }, fault = { status = 410 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().objects > 1200 and watch_state().up end, "listed again")
    assert.equal(#here.kubernetes:names(), watch_state().objects)
  end)

  --- For so long somebody changes a cluster, again and again. No read shows what was replaced longer ago than the copy
  --- may lag, and what fails does so clearly and in time. Returns how many answered with the cluster.
  local function assert_right_for(seconds)
    local changes, answered, last = {}, 0, socket.gettime() + seconds
    local function least_version(at)
      local version = 0
      for _, change in ipairs(changes) do
        if change.at < at then version = change.version end
      end
      return version
    end
    local function read(path, object_of)
      local started = socket.gettime()
      local response = here:get(stage.uma, path)
      assert.is_true(socket.gettime() - started < DEADLINE_S + GRACE_S, path)
      if response.status ~= 200 then
        assert.is_true(response.status >= 502 and response.status <= 504, response.body)
        return
      end
      answered = answered + 1
      local version = tonumber(object_of(response.json).metadata.resourceVersion)
      local least = least_version(started - STALE_S - GRACE_S)
      assert.is_true(version >= least, ("%s shows %d, where %d was there"):format(path, version, least))
    end
    local function the_first(json) return json.ray_clusters[1] end
    local function itself(json) return json end
    repeat
      changes[#changes + 1] = { version = here.kubernetes:touch(stage.clusters.umas), at = socket.gettime() }
      read("/raycluster/" .. stage.clusters.umas, itself)
      read("/raycluster/list", the_first)
      socket.sleep(0.01)
    until socket.gettime() > last
    return answered
  end

  for title, rule in pairs {
    ["nothing answers its watch"] = { hang = true },
    ["its watch drips"] = { slow = 30 },
    ["an event has no end"] = { endless = 100000000 },
  } do
    it("is not read when " .. title .. ", and the API server is", function()
      await_up()
      here:fault { match = { kind = "watch" }, fault = rule }
      here:control("POST", "restart")
      local answered = assert_right_for(STALE_S + GRACE_S + 2)
      assert.is_true(answered > 10, answered .. " answers")
    end)
  end

  for title, rule in pairs {
    ["hangs"] = { hang = true },
    ["drips"] = { slow = 1000 },
    ["has no end"] = { endless = SANITIZED and 1000000 or 10000000 }, -- slow builds need their scripts' time for more
  } do
    it("lets callers have single clusters, and fails clearly for all, when its list " .. title, function()
      await_up()
      here:fault({ match = { kind = "list" }, fault = rule }, { match = { kind = "watch" }, fault = { status = 410 } })
      here:control("POST", "restart")
      assert.is_true(assert_right_for(STALE_S + GRACE_S + DEADLINE_S) > 0)
      eventually(function() return watch_state().read == false end, "the copy is too old")
      assert.equal(200, cluster(stage.clusters.umas).status)
      local response = here:get(stage.uma, "/raycluster/list")
      assert.is_true(response.status == 502 or response.status == 504, response.body)
    end)
  end

  it("is asked for less and less often while it fails", function()
    await_up()
    here:fault({ match = { kind = "watch" }, fault = { status = 500 } },
      { match = { kind = "list" }, fault = { status = 500 } })
    here:control("DELETE", "requests")
    here:control("POST", "restart")
    socket.sleep(8) -- pauses of up to 0.8, 1.6, 3.2, 6.4 s: half of that on average
    local tries = here:count "watch" + here:count "list"
    assert.is_true(tries >= 2 and tries <= 20, tries .. " attempts")
    here:fault()
    await_up()
    assert_equals_truth()
  end)

  it("takes an object of 1 MB", function()
    await_up()
    local name = here:cluster { owners = { stage.uma.id }, bytes = 1000000 }
    here.kubernetes:touch(name)
    await_up()
    assert.is_true(#cluster(name, stage.uma).body > 1000000)
    assert_equals_truth()
  end)

  it("survives an API server that goes away and comes back", function()
    await_up()
    assert.equal(200, cluster(stage.clusters.umas).status)
    assert.equal(200, cluster(stage.clusters.umas, stage.uma).status)
    local revision = here:control("GET", "requests").revision
    here.processes[1]:stop()
    eventually(function() return watch_state().read == false end, "the copy is too old")
    assert.equal(200, client.request(here.service.admin_port, { path = "/readyz" }).status)
    for _ = 1, 3 do
      local response = cluster(stage.clusters.umas)
      assert.same({ 502, "upstream_failed" }, { response.status, response.error })
    end
    here.processes[1] = program.start { directory = here.directory,
      arguments = { "simulate", "127.0.0.1:" .. here.simulator_port } }
    eventually(function()
      return pcall(client.request, here.simulator_port, { path = "/_simulator/demo" })
    end, "the API server")
    here:control("POST", "reset", { revision = revision + 1000 })
    await_up()
    assert_equals_truth()
  end)

  it("does not care about a clock that jumps", SANITIZED and pending or function()
    local path = here.directory .. "/jump"
    local function jump(seconds)
      local file = assert(io.open(path, "r+"))
      file:write(string.pack("<i8", seconds))
      file:close()
    end
    program.write(path, string.pack("<i8", 0))
    local settings = { LD_PRELOAD = ("./%s/jump.so"):format(build.directory), JUMP = path }
    for name, value in pairs(SETTINGS) do settings[name] = value end
    here.service:stop()
    here.service = here:serve(settings)
    stage.await_ready(here.service)
    await_up()
    local streams = watch_state().streams
    for _, seconds in ipairs { 3600, -3600, 10 * 365 * 86400, -20 * 365 * 86400, 0 } do
      jump(seconds)
      local begun = socket.gettime()
      await_up()
      assert_equals_truth()
      assert.equal(200, here:scale(stage.uma, stage.clusters.umas, math.random(5)).status)
      assert.is_true(socket.gettime() - begun < 5, "it takes as long as ever")
    end
    assert.equal(streams, watch_state().streams, "nothing was cut")
    here:fault({ match = { kind = "watch", times = 2 }, fault = { status = 500 } },
      { match = { kind = "list", times = 2 }, fault = { status = 500 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().error ~= nil end, "trouble")
    jump(-3600)
    await_up()
    assert_equals_truth()
  end)

  it("notices within a minute that its connection died without a word", function()
    local noticed = eventually(function()
      for _, line in ipairs(deaf.service:log()) do
        if line.message:find "^the watch of rayclusters ended: .*: not a byte for" then return line.time end
      end
    end, "the end of the dead stream")
    local hour, minute, second = noticed:match "T(%d+):(%d+):(%d+)"
    local since = os.date("!*t", deaf.since)
    local took = (hour * 3600 + minute * 60 + second - since.hour * 3600 - since.min * 60 - since.sec) % 86400
    assert.is_true(took <= 60, took .. " seconds")
    watched.await_up(deaf)
    watched.assert_equals_truth(deaf)
  end)
end)
