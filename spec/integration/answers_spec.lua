--- Answers that the host remembers: right whatever changes, and never another's.
local client = require "client"
local program = require "program"
local stage = require "stage"

local SANITIZED <const> = require("build").sanitized -- a run takes longer than others wait for it

describe("remembered answers", function()
  local on

  setup(function()
    on = stage.open { DECISION_SAMPLE_RATE = "0" }
  end)
  teardown(function()
    if on then on:close() end
  end)

  --- How many answers were given without running a script.
  local function remembered(service)
    local metrics = client.request((service or on.service).admin_port, { path = "/metrics" }).body
    return tonumber(metrics:match "\nrayclusterscaler_remembered_answers_total (%d+)")
  end

  --- Asks until the answer comes from memory, so that what follows is about that.
  local function remember(who, path, headers, service)
    program.eventually(function()
      local before = remembered(service)
      on:request(who, { path = path, headers = headers, port = service and service.port })
      return remembered(service) > before
    end, 10, "a remembered answer")
  end

  local function eventually_status(who, path, status)
    program.eventually(function() return on:get(who, path).status == status end, 10, path .. " " .. status)
  end

  it("are the answers that a script gives", function()
    local name = on:cluster()
    local path = "/raycluster/" .. name
    local first = on:get(stage.uma, path)
    remember(stage.uma, path)
    local again = on:get(stage.uma, path)
    assert.equal(first.status, again.status)
    assert.equal(first.body, again.body)
    for _, header in ipairs { "etag", "content-type", "cache-control", "x-policy-revision" } do
      assert.equal(first.headers[header], again.headers[header], header)
    end
    assert.not_equal(first.headers["x-request-id"], again.headers["x-request-id"])
    assert.equal(on:bytes(name), again.body)
  end)

  it("serve HEAD, If-None-Match and lists by what each of them asks", function()
    local path = "/raycluster/" .. on:cluster()
    local etag = on:get(stage.uma, path).headers.etag
    remember(stage.uma, path)
    for _ = 1, 3 do
      assert.equal(304, on:get(stage.uma, path, { ["If-None-Match"] = etag }).status)
      assert.equal(200, on:get(stage.uma, path, { ["If-None-Match"] = '"0"' }).status)
      assert.equal("", on:request(stage.uma, { method = "HEAD", path = path }).body)
      assert.equal(200, on:get(stage.uma, path).status)
    end
    remember(stage.uma, "/raycluster/list")
    remember(stage.admin, "/raycluster/list")
    local mine, all = on:get(stage.uma, "/raycluster/list"), on:get(stage.admin, "/raycluster/list")
    assert.is_true(#mine.json.ray_clusters < #all.json.ray_clusters)
  end)

  it("are whole, also of many clusters and asked for again and again", function()
    local person, names = on:person(), {}
    for index = 1, 40 do names[index] = on:cluster { owners = { person.id } } end
    local function compare()
      local first = on:get(person, "/raycluster/list").body
      for _ = 1, 4 do
        remember(person, "/raycluster/list")
        assert.equal(first, on:get(person, "/raycluster/list").body)
      end
      for _, name in ipairs(names) do
        assert.truthy(first:find(on:bytes(name), 1, true), name)
      end
      return first
    end
    local before = compare()
    on.kubernetes:touch(names[40])
    program.eventually(function() return on:get(person, "/raycluster/list").body ~= before end, 10, "the change")
    compare()
  end)

  it("are nobody else's", function()
    local path = "/raycluster/" .. on:cluster()
    remember(stage.uma, path)
    for _ = 1, 3 do
      assert.equal(403, on:get(stage.urs, path).status)
      assert.equal(401, on:get(nil, path).status)
      assert.equal(401, on:get({ token = stage.uma.token .. "x" }, path).status)
      assert.equal(200, on:get(stage.uma, path).status)
    end
    -- The same bytes as another header's value are another credential.
    assert.equal(401, on:get(nil, path, { ["X-Domino-Api-Key"] = "Bearer " .. stage.uma.token }).status)
  end)

  it("end with the object that they show", function()
    local name = on:cluster()
    local path = "/raycluster/" .. name
    remember(stage.uma, path)
    assert.equal(200, on:scale(stage.uma, name, 4).status)
    local after = on:get(stage.uma, path)
    assert.equal(4, after.json.spec.autoscaling.minReplicas, "our own patch is seen at once")
    remember(stage.uma, path)
    on.kubernetes:touch(name)
    program.eventually(function() return on:get(stage.uma, path).body == on:bytes(name) end, 10, "the change")
  end)

  it("end with the right to see it", function()
    local name = on:cluster()
    local path = "/raycluster/" .. name
    remember(stage.uma, path)
    remember(stage.uma, "/raycluster/list")
    on.kubernetes:set_owner(name, stage.urs.id)
    eventually_status(stage.uma, path, 403)
    eventually_status(stage.urs, path, 200)
    local listed = on:get(stage.uma, "/raycluster/list").body
    assert.is_nil(listed:find(name, 1, true))
  end)

  it("end with the object", function()
    local name = on:cluster()
    remember(stage.uma, "/raycluster/" .. name)
    remember(stage.uma, "/raycluster/list")
    on.kubernetes:delete(name)
    eventually_status(stage.uma, "/raycluster/" .. name, 404)
    assert.is_nil(on:get(stage.uma, "/raycluster/list").body:find(name, 1, true))
  end)

  it("end with what Domino said of the caller", function()
    local service = on:serve { IDENTITY_TTL_SECONDS = "1", DECISION_SAMPLE_RATE = "0" }
    stage.await_ready(service)
    local person = on:person { isAdmin = true, canonicalId = "5d1f1622fdfe52c4e2aaaaaa" }
    local path = "/raycluster/" .. stage.clusters.nobodys
    remember(person, path, nil, service)
    on:control("POST", "identities",
      { token = person.token, isAdmin = false, canonicalId = "5d1f1622fdfe52c4e2aaaaaa" })
    program.eventually(function()
      return on:request(person, { path = path, port = service.port }).status == 403
    end, 10, "the end of the right")
  end)

  it("are not made where identities are not", function()
    local service = on:serve { IDENTITY_TTL_SECONDS = "0", DECISION_SAMPLE_RATE = "0" }
    stage.await_ready(service)
    for _ = 1, 5 do
      on:request(stage.uma, { path = "/raycluster/list", port = service.port })
    end
    assert.equal(0, remembered(service))
  end)

  it("are not made where a rule reads the time", function()
    local service = on:serve {
      DECISION_SAMPLE_RATE = "0",
      policies = { ["authorization.lua"] = [[
        local function decide(caller, action, cluster, now)
          return now.hour >= 0 and caller.admin
        end
        return { decide = decide, examples = {
          { name = "an admin", given = { { admin = true }, "get", {}, { hour = 1 } }, expect = { true } } } }
      ]] },
    }
    stage.await_ready(service)
    for _ = 1, 5 do
      assert.equal(200, on:request(stage.admin, { path = "/raycluster/list", port = service.port }).status)
    end
    assert.equal(0, remembered(service))
  end)

  it("are made by one run for all who ask the same at one time", function()
    on:fault { match = { kind = "principal" }, fault = { delay_ms = 10 } }
    finally(function() on:fault() end)
    local path = "/raycluster/" .. stage.clusters.umas
    -- Whoever comes when the run has ended, or waits too long for it on a busy machine, needs another attempt.
    program.eventually(function()
      local someone, connections = on:person { isAdmin = true }, {}
      local before = remembered()
      for i = 1, 20 do connections[i] = client.send(on.service.port, { path = path, token = someone.token }) end
      for i = 1, 20 do assert.equal(200, client.receive(connections[i]).status) end
      return remembered() - before >= (SANITIZED and 1 or 19)
    end, 20, "one run for twenty requests")
  end)

  it("are logged as often as the decision log wants, each as of its own request", function()
    local service = on:serve { DECISION_SAMPLE_RATE = "1", IDENTITY_TTL_SECONDS = "60" }
    stage.await_ready(service)
    for _, path in ipairs { "/raycluster/" .. stage.clusters.umas, "/raycluster/list" } do
      local before, earlier = remembered(service), service:log "decision"
      local ids = {}
      for i = 1, 10 do
        if i == 10 then require "socket".sleep(1.1) end
        ids[i] = on:request(stage.uma, { path = path, port = service.port }).headers["x-request-id"]
      end
      local lines = program.eventually(function()
        local all = service:log "decision"
        return (#all - #earlier) % 10 == 0 and #all > #earlier and all
      end, 5, "the decisions of ten requests")
      local each = (#lines - #earlier) // 10
      local function written(request)
        local line = lines[#earlier + request * each]
        local given = (line.given or lines[#earlier + request * each - 1].given)
        local time = table.remove(given)
        assert.equal(ids[request], line.request_id)
        assert(time.utc:sub(1, 19) <= line.time:sub(1, 19), time.utc)
        line.request_id, line.time = nil, nil
        return line, given, time.utc
      end
      local first, first_given, first_time = written(1)
      local last, last_given, last_time = written(10)
      assert.same(first, last)
      assert.same(first_given, last_given)
      assert(first_time < last_time, last_time)
      assert(remembered(service) - before >= 5, "they were decided again")
    end
  end)

  it("end with the rules", function()
    local folder = on:folder({}, "policies")
    local service = on:serve { POLICIES_DIR = folder, DECISION_SAMPLE_RATE = "0" }
    stage.await_ready(service)
    local path = "/raycluster/" .. stage.clusters.umas
    remember(stage.uma, path, nil, service)
    program.write(folder .. "/authorization.lua", [[
      return {
        decide = function(caller) return caller.admin end,
        examples = { { name = "an admin", given = { { admin = true } }, expect = { true } } },
      }
    ]])
    program.eventually(function()
      return on:request(stage.uma, { path = path, port = service.port }).status == 403
    end, 10, "the new rule")
  end)
end)
