--- The log: one line a request and a change, each field as the guide says, one JSON object a line whatever is sent.
local cjson = require "cjson"
local client = require "client"
local processes = require "processes"
local program = require "program"
local rawsocket = require "rawsocket"
local stage = require "stage"

local LIST <const> = "/raycluster/list"
local TRACE <const> = "4bf92f3577b34da6a3ce929d0e0e4736"
local GUIDE <const> = "helm/rayclusterscaler/README.md"

--- The rows of the guide's table: messages, or how they begin, and the fields that it names for them.
local function guide_rows()
  local rows = {}
  local section = program.read(GUIDE):match "\n## Read the logs\n(.-)\n## "
  for messages, names in section:gmatch "\n| (`[^|]*) |[^|]*| ([^\n]*)|" do
    if messages ~= "`message`" then
      local row = { messages = {}, fields = {} }
      for message in messages:gmatch "`([^`]*)`" do row.messages[#row.messages + 1] = message end
      for field in names:gmatch "`([%w_]+)`" do row.fields[field] = true end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- The fields that the guide names for a message.
local function documented(message)
  for _, row in ipairs(guide_rows()) do
    if row.messages[1] == message then return row.fields end
  end
  error(message .. " is not in the guide")
end

describe("the log", function()
  local here

  setup(function() here = stage.open { DRAIN_SECONDS = "0" } end)

  teardown(function() here:close() end)

  after_each(function() here:fault() end)

  local made = 0

  --- The lines of the request that ask makes with the headers it is given; they are written a little later.
  local function lines_of(ask, message, service)
    made = made + 1
    local id = "spec-" .. made
    ask { ["X-Request-Id"] = id }
    local found = {}
    program.eventually(function()
      found = {}
      for _, line in ipairs((service or here.service):log()) do
        if line.request_id == id then found[#found + 1] = line end
      end
      return found[1] and found[#found].message == "request"
    end, 10, "the request's line")
    local wanted = {}
    for _, line in ipairs(found) do
      if line.message == message then wanted[#wanted + 1] = line end
    end
    return wanted
  end

  local function access_line(ask)
    local lines = lines_of(ask, "request")
    assert.equal(1, #lines)
    return lines[1]
  end

  describe("of a request", function()
    it("has the fields that the guide names, and no others", function()
      local seen = {}
      for _, line in ipairs { access_line(function(headers)
        headers.traceparent = "00-" .. TRACE .. "-00f067aa0ba902b7-01"
        here:get(stage.urs, "/raycluster/" .. stage.clusters.umas, headers)
      end) } do
        for field in pairs(line) do seen[field] = true end
      end
      for _, common in ipairs { "time", "level", "message" } do
        assert.is_true(seen[common])
        seen[common] = nil
      end
      assert.same(seen, documented "request")
    end)

    it("says what was asked, how it ended and what it cost", function()
      local person = here:person()
      local bytes
      local line = access_line(function(headers) bytes = #here:get(person, LIST, headers).body end)
      assert.equal("GET", line.method)
      assert.equal(LIST, line.route)
      assert.equal(200, line.code)
      assert.equal(person.id, line.caller)
      assert.equal(bytes, line.bytes)
      assert.equal(1, line.upstream_calls)
      assert.is_true(line.upstream_ms > 0 and line.upstream_ms <= line.duration_ms)
      assert.equal("info", line.level)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", line.time)
      assert.equal(client.request(here.service.admin_port, { path = "/policy" }).json.active.revision, line.revision)
      assert.is_nil(line.error)
      assert.is_nil(line.trace_id)
    end)

    it("has the route's template and the error", function()
      local line = access_line(function(headers)
        here:get(stage.urs, "/rayclusterscaler/" .. stage.clusters.umas, headers)
      end)
      assert.equal("/rayclusterscaler/{name}", line.route)
      assert.equal(403, line.code)
      assert.equal("unauthorized", line.error)
      assert.equal(stage.urs.id, line.caller)
    end)

    it("names no caller, route or path when there is none", function()
      local line = access_line(function(headers) here:get(nil, "/made/up?and=more", headers) end)
      assert.equal("other", line.route)
      assert.equal("", line.caller)
      assert.equal(404, line.code)
      assert.is_nil(here:written():find("made/up", 1, true))
      assert.is_nil(here:written():find("and=more", 1, true))
    end)

    it("is written for what is refused before it is one, too", function()
      local response
      local line = access_line(function(headers)
        response = here:request(nil, { method = "POST", path = LIST, body = ("x"):rep(65537), headers = headers })
      end)
      assert.equal(413, line.code)
      assert.equal("refused", line.route)
      assert.equal(response.json.error, line.error)

      local connection = rawsocket.connect(here.service.port)
      connection:send "GET / HTTP/1.1\r\nBroken\r\n\r\n"
      local id = cjson.decode(connection:response().body).requestId
      connection:close()
      program.eventually(function()
        for _, each in ipairs(here.service:log "request") do
          if each.request_id == id then return each.code == 400 end
        end
      end)
    end)

    it("adds up the calls that it made", function()
      here:fault { match = { kind = "patch", times = 2 }, fault = { status = 409 } }
      local person = here:person { isAdmin = true, canonicalId = "adding-admin" }
      local line = access_line(function(headers) here:scale(person, stage.clusters.umas, 2, headers) end)
      assert.equal(200, line.code)
      assert.equal(1 + 3 + 2, line.upstream_calls) -- who; three patches; two fresh reads between them
    end)
  end)

  describe("of a change", function()
    local function audit_line(who, name, replicas, headers)
      local lines = lines_of(function(more)
        for key, value in pairs(headers or {}) do more[key] = value end
        here:scale(who, name, replicas, more)
      end, "audit")
      assert.is_true(#lines <= 1)
      return lines[1]
    end

    it("has the fields that the guide names, and no others", function()
      local seen = {}
      for field in pairs(audit_line(stage.uma, stage.clusters.umas, 3)) do seen[field] = true end
      seen.time, seen.level, seen.message = nil, nil, nil
      assert.same(seen, documented "audit")
    end)

    it("says who, which cluster, from how many to how many, and what became of it", function()
      local name = here:cluster()
      audit_line(stage.uma, name, 3)
      local line = audit_line(stage.admin, name, 5)
      assert.equal(stage.admin.id, line.caller)
      assert.equal(name, line.cluster)
      assert.equal(3, line.from)
      assert.equal(5, line.to)
      assert.equal("scaled", line.result)
      assert.equal("scale", line.action)
      assert.equal("info", line.level)
    end)

    it("tells of failures, too", function()
      assert.equal("not_scalable", audit_line(stage.uma, stage.clusters.umas_fixed, 2).result)
      assert.equal("precondition_failed",
        audit_line(stage.uma, stage.clusters.umas, 2, { ["If-Match"] = '"1"' }).result)
      for status, result in pairs { [409] = "conflict", [422] = "rejected_by_cluster", [500] = "upstream_failed" } do
        here:fault { match = { kind = "patch" }, fault = { status = status } }
        local line = audit_line(stage.uma, stage.clusters.umas, 2)
        assert.equal(result, line.result)
        assert.equal(2, line.to)
      end
    end)

    it("is written for a script that does not write it, or ends before", function()
      for change, expected in pairs {
        ['log.audit {'] = "if ctx.body.replicas == 2 then while true do end end\n  log.audit {",
        ['local log = require "log"'] = 'local log = { audit = function() end }',
      } do
        local text, count = program.read("scripts/scale.lua"):gsub(change, (expected:gsub("%%", "%%%%")))
        assert.equal(1, count)
        local service = here:serve { DRAIN_SECONDS = "0", scripts = { ["scale.lua"] = text } }
        stage.await_ready(service)
        local name = here:cluster({}, service)
        local answer
        local lines = lines_of(function(headers)
          answer = here:request(stage.uma, { method = "POST", path = "/raycluster/scale", port = service.port,
            headers = headers, body = { cluster_name = name, replicas = 2 } })
        end, "audit", service)
        assert.equal(2, here:object(name).spec.worker.replicas)
        assert.equal(1, #lines)
        local failed = answer.status == 500
        assert.equal(failed, answer.body:find("failed when the cluster may have been changed", 1, true) ~= nil)
        assert.same({ name, failed and "policy_error" or "changed", failed and "" or stage.uma.id },
          { lines[1].cluster, lines[1].result, lines[1].caller })
      end
    end)

    it("is not written for what was not allowed, which has its decision", function()
      assert.is_nil(audit_line(stage.urs, stage.clusters.umas, 2))
      local lines = lines_of(function(headers) here:scale(stage.urs, stage.clusters.umas, 2, headers) end, "decision")
      assert.equal("deny", lines[1].verdict)
    end)
  end)

  it("has the messages that the guide names, with the fields that it names", function()
    local policies = here:folder({}, "policies")
    local scaling = program.read "policies/scaling.lua"
    program.write(policies .. "/scaling.lua", (scaling:gsub("local n = wish.replicas",
      "%0\n  if n == 12 then while true do end end", 1)))
    local service = here:serve { POLICIES_DIR = policies, DECISION_SAMPLE_RATE = "1" }
    stage.await_ready(service)
    local function scale(who, replicas)
      return here:request(who, { method = "POST", path = "/raycluster/scale", port = service.port,
        body = { cluster_name = stage.clusters.umas, replicas = replicas } }).status
    end
    assert.same({ 403, 500, 200 }, { scale(stage.urs, 2), scale(stage.uma, 12), scale(stage.uma, 2) })
    here:fault({ match = { kind = "patch" }, fault = { status = 500 } },
      { match = { kind = "list" }, fault = { status = 403 } }, { match = { kind = "watch" }, fault = { status = 403 } })
    assert.equal(502, scale(stage.uma, 3))
    program.write(policies .. "/scaling.lua", "return nil")
    here:control("POST", "restart")

    --- What of the guide is not in the log.
    local function missing()
      local list, lines = {}, service:log()
      for _, row in ipairs(guide_rows()) do
        for _, message in ipairs(row.messages) do
          local start, seen = message:match "^(.*)…$" or message, {}
          for _, line in ipairs(lines) do
            if line.message == message or start ~= message and line.message:sub(1, #start) == start then
              for field in pairs(line) do seen[field] = true end
            end
          end
          if not seen.message then list[#list + 1] = message end
          for field in pairs(row.fields) do
            if seen.message and field ~= "trace_id" and not seen[field] then
              list[#list + 1] = message .. ": " .. field
            end
          end
        end
      end
      table.sort(list)
      return list
    end
    -- life_cycle_spec and log_spec come to see these two; the watch does not list while it only is forbidden to watch.
    local elsewhere = { "cannot list …", "log lines were lost", "run is stuck: nothing ends it" }
    pcall(program.eventually, function() return #missing() <= #elsewhere end)
    assert.same(elsewhere, missing())
  end)

  it("keeps to one JSON object a line whatever callers and Domino say", function()
    local forged = '","level":"error","message":"audit","caller":"boss"}\n{"time":"0","caller":"boss"}\n'
    local ids = { forged, "\27[2J\r\n\0", "\xff\xfe\xc0\x80", ("\xf0\x9f\x90\x8d"):rep(100), "\u{2028}\u{85}" }
    for i, id in ipairs(ids) do
      local token = "forger-" .. i
      here:control("POST", "identities", { token = token, answer =
        ('{"isAnonymous":false,"isAdmin":true,"canonicalId":%s}'):format(cjson.encode(id)) })
      here:request(nil, { path = LIST, token = token })
      here:request(nil, { method = "POST", path = "/raycluster/scale", token = token,
        body = { cluster_name = forged, replicas = 1 } })
    end
    for _, bytes in ipairs { "GET /%0a%22,%22message%22:%22audit%22 HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /raycluster/%22%7d%20audit HTTP/1.1\r\nHost: x\r\n\r\n", "G\27T / HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\"\\,\x80\r\n\r\n", "\0\1\2\3\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\ntraceparent: \"}\r\n\r\n" } do
      local connection = rawsocket.connect(here.service.port)
      connection:send(bytes)
      connection:shutdown()
      connection:rest()
      connection:close()
    end
    access_line(function(headers) here:get(stage.uma, LIST, headers) end)
    for text in here.service:stdout():gmatch "[^\n]+" do
      assert.is_nil(text:find "[%z\1-\31\127]", text)
      assert.is_true(utf8.len(text) ~= nil, text)
      local line = cjson.decode(text)
      assert.not_equal("boss", line.caller)
      assert.not_equal("0", line.time)
    end
  end)

  describe("at level", function()
    --- The lines of a service that act made requests to, whose port it is given.
    local function lines(level, domino_port, act)
      local port, admin_port = processes.free_port(), processes.free_port()
      local service = program.start { arguments = { "serve" }, directory = here.directory, environment = {
        LISTEN = "127.0.0.1:" .. port, ADMIN_LISTEN = "127.0.0.1:" .. admin_port, LOG_LEVEL = level,
        KUBECONFIG = here.directory .. "/kubeconfig", DRAIN_SECONDS = "0",
        DOMINO_NUCLEUS_URI = "http://127.0.0.1:" .. domino_port,
      } }
      assert.is_true(processes.wait_for_port(port))
      stage.await_ready { admin_port = admin_port }
      act(port)
      service:stop()
      return service:log()
    end

    --- The levels of the lines of a service that was asked, and could not ask Domino.
    local function levels(level)
      local seen = {}
      for _, line in ipairs(lines(level, processes.free_port(), function(port)
        assert.equal(502, here:request(stage.uma, { path = LIST, port = port }).status)
      end)) do seen[line.level] = true end
      return seen
    end

    for level, expected in pairs {
      debug = { info = true, warning = true }, info = { info = true, warning = true },
      warning = { warning = true }, error = {},
    } do
      it(level .. ", says no more than that", function()
        assert.same(expected, levels(level))
      end)
    end

    it("error, loses no change", function()
      local written = lines("error", here.simulator_port, function(port)
        for replicas = 2, 3 do
          assert.equal(200, here:request(stage.uma, { method = "POST", path = "/raycluster/scale", port = port,
            body = { cluster_name = stage.clusters.umas, replicas = replicas } }).status)
        end
      end)
      assert.equal(2, #written)
      for i, line in ipairs(written) do
        assert.same({ "audit", i + 1, "scaled", stage.uma.id }, { line.message, line.to, line.result, line.caller })
      end
    end)
  end)
end)
