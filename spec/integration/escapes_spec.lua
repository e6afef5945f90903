--- Every escape of the library, in a rule that is to be proven and in requests that are being served, by the program
--- itself: what comes of it, how long it takes, and that nobody after it notices. In service it runs in a rule, and in
--- an endpoint, too, unless a limit is all that ends it, which is the same there.
local bundle = require "native.bundle"
local cjson = require "cjson"
local client = require "client"
local disk = require "disk"
local escapes = require "escapes"
local program = require "program"
local socket = require "socket"
local uv = require "luv"

local sanitized = os.getenv "BUILD_DIR" ~= nil

--- Of CPU time: the limit, a tick of the watchdog, the time until a run is torn out of Lua's own code, and the rest of
--- the process.
local LIMIT_MS <const> = 250 + 250 * (sanitized and 6 or 1)
--- Processes at work at the same time.
local LANES <const> = 2
local VERDICT_TIMEOUT_S <const> = 20

local KUBECONFIG <const> = [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters: [{name: spec, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: spec, user: {token: token}}]
]]

--- Answers, and says whether all that requests share is as it was when the first of them came.
local APP <const> = [[
local answer = require "scripts.answer"
local actions = require "scripts.actions"
local rule = require "policies.rule"
local shared = { "_G", "string", "table", "math", "utf8", "coroutine" }
local functions = { "assert", "error", "getmetatable", "ipairs", "next", "pairs", "pcall", "rawset", "require",
  "setmetatable", "tostring", "type", "xpcall" }
local modules = { json = "encode decode array null", http = "request", kube = "get list patch", cache = "fetch",
  log = "info warn error", metrics = "counter", clock = "utc", decisions = "write wanted",
  ["scripts.answer"] = "text zero" }

local function look()
  local seen = {}
  local function note(...)
    for i = 1, select("#", ...) do seen[#seen + 1] = (select(i, ...)) or "none" end
  end
  for _, name in ipairs(shared) do note(_G[name], getmetatable(_G[name])) end
  for _, name in ipairs(functions) do note(_G[name]) end
  for name, fields in pairs(modules) do
    for field in fields:gmatch "%a+" do note(require(name)[field]) end
    note(require(name).more, require(name).shout)
  end
  note(("").upper, ("").rep, ("").format, ("").shout, string.format, table.insert, table.concat, math.floor)
  note(require("config").compute_namespace, require("clock").utc().hour < 24, rule.decide, getmetatable(rule))
  return seen
end

local first = look()

local function is_clean()
  for i, value in ipairs(look()) do
    if value ~= first[i] then return "changed: " .. i end
  end
  return "clean " .. rule.decide "count" .. " " .. rule.decide "count"
end

return function(request)
  local where, number = request.path:match "^/(%a+)/?(%d*)$"
  if where == "action" then return answer.text(actions[tonumber(number)]()) end
  if where == "rule" then return answer.text(rule.decide(tonumber(number))) end
  return answer.text(is_clean())
end]]

local ANSWER <const> = [[
local answer = { zero = 0 }
function answer.text(value)
  return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = tostring(value) }
end
return answer]]

--- Counts its requests, which it must not be able to.
local RULE <const> = [[
local escapes, count = %s, 0
return {
  decide = function(what)
    if what == "fine" then return "fine" end
    if what == "count" then
      count = count + 1
      return tostring(count)
    end
    return escapes[what]()
  end,
  examples = { { name = "it", given = { "fine" }, expect = { "fine" } } },
}]]

local RULE_ALONE <const> = [[
local function escape() %s
end
local result = tostring(escape())
return { decide = function() return result end, examples = { { name = "it", given = {}, expect = { %q } } } }]]

--- The functions of all escapes that are any, in one table. By way of a local _ENV: what globals a function names is
--- found before it ever runs, and here it has to run.
local function functions_of()
  local text = { "(function() local _ENV = _G return {" }
  for i, escape in ipairs(escapes) do
    if not escape.text then text[#text + 1] = ("[%d] = function() %s\nend,"):format(i, escape[2]) end
  end
  text[#text + 1] = "} end)()"
  return table.concat(text, "\n")
end

--- A rule that meets its escape while it loads.
local function rule_with(escape)
  if escape.text then return escape[2] end
  return RULE_ALONE:format(escape[2], escape.result or "none")
end

local function start(root, name, files)
  local directory = disk.mkdir(("%s/%s"):format(root, name))
  disk.fill(directory .. "/scripts", { ["app.lua"] = APP, ["answer.lua"] = ANSWER, ["actions.lua"] = files.actions })
  disk.fill(directory .. "/policies", { ["rule.lua"] = files.rule })
  local process = program.start { arguments = { "serve" }, directory = root, environment = {
    LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0", KUBECONFIG = root .. "/kubeconfig",
    SCRIPTS_DIR = directory .. "/scripts", POLICIES_DIR = directory .. "/policies", DRAIN_SECONDS = "0",
  } }
  process.folder = directory
  local function port(pattern)
    return tonumber(program.eventually(function()
      if not process:running() then error(process:stderr() .. process:stdout(), 0) end
      return process:stdout():match(pattern)
    end, 30, pattern))
  end
  process.port, process.admin_port = port "listening on port (%d+)", port "admin on port (%d+)"
  return process
end

local function cpu_ms(process)
  local text = client.request(process.admin_port, { path = "/metrics" }).body
  return 1000 * tonumber(text:match "\nprocess_cpu_seconds_total (%S+)")
end

local function policy(process)
  return client.request(process.admin_port, { path = "/policy" }).json
end

describe("an escape", function()
  local root

  setup(function()
    root = disk.directory()
    disk.write(root .. "/kubeconfig", KUBECONFIG)
  end)

  teardown(function() disk.remove_all(root) end)

  --- Runs work for every escape, each lane with a process of its own; what it returns stands in the list at the
  --- escape's index. work yields while it waits.
  local function run_all(processes, work)
    local records, running = {}, 0
    local lanes = {}
    for lane, process in ipairs(processes) do
      running = running + 1
      lanes[lane] = coroutine.create(function()
        for i = lane, #escapes, #processes do
          records[i] = work(process, escapes[i], i)
        end
        running = running - 1
      end)
    end
    while running > 0 do
      for _, lane in ipairs(lanes) do
        if coroutine.status(lane) ~= "dead" then
          local ok, message = coroutine.resume(lane)
          if not ok then error(message, 0) end
        end
      end
      uv.sleep(1)
    end
    for _, process in ipairs(processes) do
      assert(client.request(process.admin_port, { path = "/healthz" }).status == 200)
      assert(not process:stdout():find("stuck", 1, true))
      process:stop()
    end
    return records
  end

  --- What work does, and what it costs the process.
  local function cost(process, work)
    local before = cpu_ms(process)
    local record = work()
    record.cpu_ms = cpu_ms(process) - before
    record.alive = process:running()
    return record
  end

  --- Asks, and yields until the answer comes.
  local function ask(process, path)
    local connection = client.send(process.port, { path = path })
    while not socket.select({ connection.tcp }, nil, 0)[1] do
      coroutine.yield()
    end
    return client.receive(connection)
  end

  local LIMITS <const> = {
    time = "cpu time limit exceeded",
    memory = sanitized and "limit exceeded" or "memory limit exceeded",
    any = "limit exceeded",
    ["false"] = "not enough memory",
  }

  --- An escape's error or limit, as pattern.
  local function pattern_of(outcome)
    return outcome.error or LIMITS[outcome.limit]
  end

  local function check_cost(record)
    assert.is_true(record.alive)
    if record.cpu_ms > LIMIT_MS then error(("%.0f ms"):format(record.cpu_ms)) end
  end

  describe("in a rule that is to be proven:", function()
    local records

    setup(function()
      local processes = {}
      for lane = 1, LANES do
        processes[lane] = start(root, "proof" .. lane, { actions = "return {}",
          rule = RULE:format "{}" })
      end

      local function await_verdict(process, revision)
        local deadline = uv.hrtime() + VERDICT_TIMEOUT_S * 1e9
        repeat
          coroutine.yield()
          local document = policy(process)
          if document.active.revision == revision then return document, true end
          if document.refused ~= cjson.null and document.refused.revision == revision then return document, false end
        until uv.hrtime() > deadline
        error("no verdict: " .. process:stdout():sub(-2000))
      end

      records = run_all(processes, function(process, escape)
        local serving = policy(process).active.revision
        disk.replace(process.folder .. "/policies/rule.lua", rule_with(escape))
        local there = assert(bundle.read { { "scripts", process.folder .. "/scripts" },
          { "policies", process.folder .. "/policies" } }).revision
        return cost(process, function()
          local document, active = await_verdict(process, there)
          local answer = ask(process, "/")
          return { active = active, reason = not active and document.refused.reasons[1],
            served = answer.status == 200 and answer.headers["x-policy-revision"],
            serving = active and there or serving }
        end)
      end)
    end)

    for i, escape in ipairs(escapes) do
      it(escape[1], function()
        local record, outcome = records[i], escape.load or escape.rule or escape
        check_cost(record)
        assert.equal(outcome.result ~= nil, record.active, record.reason)
        if not outcome.result then
          local place, reason = record.reason:match "^(%S+:%d+): (.*)$"
          assert.matches(outcome.limit == "false" and "^scripts/app%.lua:1$" or "^policies/rule%.lua:%d+$", place)
          assert.matches(pattern_of(outcome), reason .. "\n")
        end
        assert.equal(record.serving, record.served)
      end)
    end
  end)

  describe("in a request:", function()
    local records

    setup(function()
      local functions = functions_of()
      local processes = {}
      for lane = 1, LANES do
        processes[lane] = start(root, "request" .. lane, { actions = "return " .. functions,
          rule = RULE:format(functions) })
      end

      local function try(process, where, i)
        return cost(process, function()
          return { answer = ask(process, ("/%s/%d"):format(where, i)), after = ask(process, "/").body }
        end)
      end

      records = run_all(processes, function(process, escape, i)
        return not escape.text and { rule = try(process, "rule", i),
          action = not escape.limit and try(process, "action", i) or nil }
      end)
      local details = {}
      for _, process in ipairs(processes) do
        for _, line in ipairs(process:log "a script failed; the request was denied") do
          details[line.request_id] = line.detail
        end
      end
      for _, record in ipairs(records) do
        for _, one in pairs(record or {}) do
          one.detail = details[one.answer.headers["x-request-id"]]
        end
      end
    end)

    local function check_answer(record, outcome)
      local answer = record.answer
      if outcome.result then
        assert.same({ 200, outcome.result }, { answer.status, answer.body })
      else
        assert.same({ 500, "policy_error" }, { answer.status, answer.json and answer.json.error })
        assert.matches(pattern_of(outcome), record.detail)
      end
      assert.equal("clean 1 2", record.after)
      check_cost(record)
    end

    for i, escape in ipairs(escapes) do
      if not escape.text then
        it(escape[1], function()
          check_answer(records[i].rule, escape.rule or escape)
          if records[i].action then check_answer(records[i].action, escape) end
        end)
      end
    end
  end)

  it("has a name that no other has, and company", function()
    local seen = {}
    for _, escape in ipairs(escapes) do
      assert.is_nil(seen[escape[1]], escape[1])
      seen[escape[1]] = true
    end
    assert.is_true(#escapes >= 60)
  end)
end)
