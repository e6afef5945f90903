--- Every escape of the library, in a rule that is to be proven and in requests that are being served, by the program
--- itself: what comes of it, how long it takes, and that nobody after it notices. In service it runs in a rule, and in
--- an endpoint, too, unless a limit is all that ends it, which is the same there.
local bundle = require "native.bundle"
local cjson = require "cjson"
local client = require "client"
local disk = require "disk"
local escapes = require "escapes"
local rules_service = require "rules_service"
local uv = require "luv"

local sanitized = require("build").sanitized

--- Processes at work at the same time.
local LANES <const> = 2
local VERDICT_TIMEOUT_S <const> = 20

--- Whether an escape runs in a phase, 0 the proof or 1 requests. What takes all of the time that there is does so in
--- only one of them under sanitizers, which are there for the code that both share.
local function runs(i, phase)
  local escape = escapes[i]
  if escape.text then return phase == 0 end
  return not (sanitized and escape.limit) or i % 2 == phase
end

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

describe("an escape", function()
  local root

  setup(function() root = disk.directory() end)

  teardown(function() disk.remove_all(root) end)

  local function start(name, functions)
    return rules_service.start(root, name, { ["app.lua"] = APP, ["answer.lua"] = ANSWER,
      ["actions.lua"] = "return " .. functions }, { ["rule.lua"] = RULE:format(functions) })
  end

  --- Runs work for every escape, each lane with a process of its own; what it returns stands in the list at the
  --- escape's index. work yields while it waits.
  local function run_all(processes, phase, work)
    local records, running = {}, 0
    local lanes = {}
    for lane, process in ipairs(processes) do
      running = running + 1
      lanes[lane] = coroutine.create(function()
        for i = lane, #escapes, #processes do
          records[i] = runs(i, phase) and work(process, escapes[i], i)
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

  describe("in a rule that is to be proven:", function()
    local records

    setup(function()
      local processes = {}
      for lane = 1, LANES do
        processes[lane] = start("proof" .. lane, "{}")
      end

      local function await_verdict(process, revision)
        local deadline = uv.hrtime() + VERDICT_TIMEOUT_S * 1e9
        repeat
          coroutine.yield()
          local document = rules_service.policy(process)
          if document.active.revision == revision then return document, true end
          if document.refused ~= cjson.null and document.refused.revision == revision then return document, false end
        until uv.hrtime() > deadline
        error("no verdict: " .. process:stdout():sub(-2000))
      end

      records = run_all(processes, 0, function(process, escape)
        local serving = rules_service.policy(process).active.revision
        disk.replace(process.folder .. "/policies/rule.lua", rule_with(escape))
        local there = assert(bundle.read { { "scripts", process.folder .. "/scripts" },
          { "policies", process.folder .. "/policies" } }).revision
        return rules_service.cost(process, function()
          local document, active = await_verdict(process, there)
          local answer = rules_service.ask(process, "/")
          return { active = active, reason = not active and document.refused.reasons[1],
            served = answer.status == 200 and answer.headers["x-policy-revision"],
            serving = active and there or serving }
        end)
      end)
    end)

    for i, escape in ipairs(escapes) do
      if runs(i, 0) then
        it(escape[1], function()
          local record, outcome = records[i], escape.load or escape.rule or escape
          rules_service.check_cost(record)
          assert.equal(outcome.result ~= nil, record.active, record.reason)
          if not outcome.result then
            local place, reason = record.reason:match "^(%S+:%d+): (.*)$"
            assert.matches(outcome.limit == "false" and "^scripts/app%.lua:1$" or "^policies/rule%.lua:%d+$", place)
            assert.matches(pattern_of(outcome), reason .. "\n")
          end
          assert.equal(record.serving, record.served)
        end)
      end
    end
  end)

  describe("in a request:", function()
    local records

    setup(function()
      local functions, processes = functions_of(), {}
      for lane = 1, LANES do
        processes[lane] = start("request" .. lane, functions)
      end

      local function try(process, where, i)
        return rules_service.cost(process, function()
          local answer = rules_service.ask(process, ("/%s/%d"):format(where, i))
          return { answer = answer, after = rules_service.ask(process, "/").body }
        end)
      end

      records = run_all(processes, 1, function(process, escape, i)
        return { rule = try(process, "rule", i), action = not escape.limit and try(process, "action", i) or nil }
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
      rules_service.check_cost(record)
    end

    for i, escape in ipairs(escapes) do
      if runs(i, 1) then
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
