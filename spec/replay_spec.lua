--- The recordings of a real API server, asked of the simulator again.
local clock = require "clock"
local dkjson = require "dkjson"
local http = require "socket.http"
local ltn12 = require "ltn12"
local client = require "simulator_client"
local processes = require "processes"

local FIXTURES <const> = "spec/simulator/fixtures/"
local INHERENT <const> = { ["Audit-Id"] = true, Date = true, ["Transfer-Encoding"] = true }

local names <const> = {
  "delete-forbidden", "get", "get-not-found", "list", "list-continue-expired", "list-field-selector-name",
  "list-forbidden", "list-label-selector", "list-page-1", "list-page-2", "list-unauthorized", "patch-bad-json",
  "patch-conflict", "patch-float", "patch-int32-overflow", "patch-missing-required", "patch-no-change",
  "patch-not-found", "patch-scale", "patch-uid-mismatch", "patch-unknown-field-dry-run", "patch-wrong-content-type",
  "patch-wrong-type", "watch", "watch-expired",
}

local function read(name)
  local file = assert(io.open(FIXTURES .. name .. ".http"))
  local text = file:read "a"
  file:close()
  return text
end

--- A recording: request (method, target, headers, body), status, headers, body.
local function parse(name)
  local question, head, body = read(name):match "^(.-)\n\nHTTP/1.1 (.-)\n\n(.*)$"
  local recording = { headers = {}, sent = {}, request_body = "", body = body, status = tonumber(head:match "^%d+") }
  for line in question:gmatch "> ([^\n]*)" do
    if not recording.method then
      recording.method, recording.target = line:match "^(%u+) (.*)$"
    elseif line:match "^[%w-]+: " then
      local field, value = line:match "^([%w-]+): (.*)$"
      recording.sent[field] = value
    else
      recording.request_body = line
    end
  end
  for field, value in head:gmatch "\n([%w-]+): ([^\n]*)" do recording.headers[field] = value end
  return recording
end

local function start(simulator)
  simulator = simulator or client.new()
  clock.time = "2026-11-22T21:05:21Z"
  simulator:call("POST", "reset", { revision = 244, clusters = "none" })
  simulator:call("POST", "options", { operator = false, webhook = false })
  assert.equal(200, simulator:send("POST", "/_simulator/objects", parse("list").body).status)
  return simulator
end

local function replay(simulator, recording)
  if recording.status == 401 then simulator.token = nil end
  return simulator:send(recording.method, recording.target, recording.request_body, recording.sent)
end

local function assert_same_head(recording, answer)
  assert.equal(recording.status, answer.status)
  local expected = {}
  for field, value in pairs(recording.headers) do
    if not INHERENT[field] and field ~= "Content-Length" then expected[field] = value end
  end
  assert.same(expected, answer.headers)
end

describe("the simulator, asked what a real API server was asked", function()
  it("knows every recording", function()
    local found = {}
    for file in io.popen("ls " .. FIXTURES):lines() do found[#found + 1] = file:match "^(.*)%.http$" end
    table.sort(found)
    assert.same(names, found)
  end)

  for _, name in ipairs(names) do
    if not name:find "^watch" then
      it("answers the same to " .. name, function()
        local recording = parse(name)
        local simulator = start()
        if name == "list-page-2" then replay(simulator, parse "list-page-1") end
        local answer = replay(simulator, recording)
        assert_same_head(recording, answer)
        assert.equal(recording.body, answer.body)
        if recording.headers["Content-Length"] then
          assert.equal(recording.headers["Content-Length"], tostring(#answer.body))
        end
      end)
    end
  end

  it("streams the same events to watch", function()
    local recording = parse "watch"
    local simulator = start()
    local answer = replay(simulator, recording)
    assert_same_head(recording, answer)
    assert.same({ "", "open" }, { client.read(answer) })
    assert.equal(200, replay(simulator, parse "patch-scale").status)
    simulator.token = client.ADMIN
    simulator:send("DELETE", client.RAYCLUSTERS .. "/ray-655cb2de368ad4624b1e7d7e")
    local events = client.read(answer)
    clock.advance(3000)
    local bookmark = client.read(answer)
    clock.advance(2000)
    local rest, ending = client.read(answer)
    assert.equal(recording.body, events .. bookmark)
    assert.same({ "", "end" }, { rest, ending })
  end)

  it("ends an expired watch with the same event", function()
    local recording = parse "watch-expired"
    local answer = replay(start(), recording)
    assert_same_head(recording, answer)
    assert.same({ recording.body, "end" }, { client.read(answer) })
  end)

  it("keeps integers exact and arrays arrays through a patch", function()
    local simulator = start()
    assert.equal(200, simulator:patch("ray-655cb2de368ad4624b1e7d7b", '{"spec":{"worker":{"replicas":4}}}').status)
    local body = simulator:get(client.RAYCLUSTERS .. "/ray-655cb2de368ad4624b1e7d7b").body
    assert.truthy(body:find('"objectStoreMemoryBytes":9007199254740993', 1, true))
    assert.truthy(body:find('"tolerations":[],"volumes":[]', 1, true))
    assert.truthy(body:find('"nodeSelector":{}', 1, true))
    assert.equal(4, dkjson.decode(body).spec.worker.replicas)
  end)
end)

--- The simulator in a process of its own, as simulator_client's app: an answer with lower-case header names.
local function over_http(port)
  return setmetatable({ token = client.SERVICE, app = function(request)
    local chunks = {}
    local _, code, headers = http.request {
      method = request.method, redirect = false, sink = ltn12.sink.table(chunks),
      url = ("http://127.0.0.1:%d%s%s"):format(port, request.path, request.query ~= "" and "?" .. request.query or ""),
      source = #request.body > 0 and ltn12.source.string(request.body) or nil,
      headers = { authorization = request:header "Authorization", ["content-type"] = request:header "Content-Type",
        ["content-length"] = #request.body > 0 and #request.body or nil },
    }
    return { status = code, headers = headers, body = table.concat(chunks) }
  end }, { __index = client })
end

describe("the simulator, run by the host and asked the same", function()
  local process, port
  setup(function()
    local program = ("./%s/rayclusterscaler"):format(require("build").directory)
    process = processes.start({ program, "simulate", "127.0.0.1:0" }, { line = true })
    port = assert(tonumber(process.line:match ":(%d+)$"), process.line)
  end)
  teardown(function() process.stop() end)

  --- The host's clock goes on, so a new entry of managedFields has a time of its own.
  local function timeless(body) return (body:gsub('("rayclusterscaler","operation":"Update","time":")[^"]*', "%1")) end

  for _, name in ipairs(names) do
    if name ~= "watch" then
      it("answers the same to " .. name, function()
        local recording = parse(name)
        local simulator = start(over_http(port))
        if name == "list-page-2" then replay(simulator, parse "list-page-1") end
        local answer = replay(simulator, recording)
        assert.equal(recording.status, answer.status)
        for field, value in pairs(recording.headers) do
          if not INHERENT[field] then assert.equal(value, answer.headers[field:lower()], field) end
        end
        assert.equal(timeless(recording.body), timeless(answer.body))
      end)
    end
  end
end)
