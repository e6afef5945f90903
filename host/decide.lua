--- Decides offline: one decision for `decide`, those of a decision log for `replay`. The host gives `trace(decide, …)`,
--- which returns where the answer was returned ("policies/x.lua:7", or nil) and the answer, and `restore()`, which puts
--- the rules back to what they were when they were loaded.
local json = require "json"
local rules = require "scripts.rules"

local trace, restore = ...

local offline = {}

local MAX_SHOWN = 120 -- bytes of foreign text

--- Text of a log or a rule for a terminal.
local function shown(value)
  local text = tostring(value):gsub("[^ -~]", "?")
  return #text <= MAX_SHOWN and text or text:sub(1, MAX_SHOWN) .. "..."
end

-- Deciding ----------------------------------------------------------------------------------------------------------

--- As a rule takes it: null is nil.
local function without_null(value)
  if type(value) ~= "table" then return value end
  for key, item in pairs(value) do
    if item == json.null then
      value[key] = nil
    else
      without_null(item)
    end
  end
  return value
end

--- The arguments of a JSON array; nil when the text is none.
---@return table? arguments with `n`
---@return string? fault
local function read_arguments(list)
  if type(list) ~= "table" or next(list) ~= nil and #list == 0 then return nil end
  local arguments = { n = #list }
  for i = 1, arguments.n do
    if list[i] ~= json.null then arguments[i] = without_null(list[i]) end
  end
  return arguments
end

---@class outcome
---@field verdict "allow"|"deny"|"plan"|"refuse"|"answer"|"error"
---@field reason string?
---@field plan plan?
---@field answer any what a rule answered that has no contract
---@field line string? "policies/authorization.lua:36", where it was returned

local function plan_of(value)
  return {
    replicas = math.tointeger(value.replicas),
    min_replicas = math.tointeger(value.min_replicas),
    max_replicas = math.tointeger(value.max_replicas),
  }
end

---@return outcome
local function decide(name, arguments)
  local module = "policies." .. name
  restore()
  local found, rule = pcall(require, module)
  if not found or type(rule) ~= "table" or type(rule.decide) ~= "function" then
    return { verdict = "error", reason = found and module .. " has no function decide" or shown(rule) }
  end
  local ok, line, answer, reason = pcall(trace, rule.decide, table.unpack(arguments, 1, arguments.n))
  if not ok then return { verdict = "error", reason = shown(line) } end
  local contract = rules.contracts[module]
  local fault = contract and contract(answer, reason)
  if fault then return { verdict = "error", reason = fault, line = line } end
  if not contract then return { verdict = "answer", answer = answer, reason = reason, line = line } end
  if name == "scaling" then
    if not answer then return { verdict = "refuse", reason = reason, line = line } end
    return { verdict = "plan", plan = plan_of(answer), reason = reason, line = line }
  end
  return { verdict = answer and "allow" or "deny", reason = reason, line = line }
end

local function show_plan(plan)
  return ("%s workers, autoscaling from %s to %s"):format(plan.replicas, plan.min_replicas, plan.max_replicas)
end

-- decide ------------------------------------------------------------------------------------------------------------

local exit_codes = { allow = 0, plan = 0, answer = 0, deny = 1, refuse = 1, error = 2 }

--- `decide --policy name --given text`.
---@return integer exit code
---@return string output
function offline.decide(name, text)
  local given, message = json.decode(text)
  local arguments = text:find("^%s*%[") and read_arguments(given)
  if not arguments then
    return 2, "--given must be the JSON array of the rule's arguments" .. (message and ": " .. message or "") .. "\n"
  end
  local outcome = decide(name, arguments)
  local lines = { "verdict: " .. outcome.verdict }
  if outcome.plan then lines[#lines + 1] = "plan: " .. show_plan(outcome.plan) end
  if outcome.verdict == "answer" then
    local encoded, answer = pcall(json.encode, outcome.answer == nil and json.null or outcome.answer)
    lines[#lines + 1] = "answer: " .. (encoded and answer or tostring(outcome.answer))
  end
  if outcome.reason ~= nil then lines[#lines + 1] = "reason: " .. tostring(outcome.reason) end
  if outcome.line then lines[#lines + 1] = "line: " .. outcome.line end
  return exit_codes[outcome.verdict], table.concat(lines, "\n") .. "\n"
end

-- replay ------------------------------------------------------------------------------------------------------------

local yes = { allow = true, plan = true }
local known = { allow = true, deny = true, plan = true, refuse = true, error = true }

local record -- what offline.read found, for offline.judge

--- Reads a line of a decision log.
---@return "decision"|"other"|"bad"
---@return string? fault
function offline.read(line)
  record = nil
  local value, message = json.decode(line)
  if type(value) ~= "table" then return "bad", message and shown(message) or "not a JSON object" end
  if value.message ~= "decision" or value.verdict == "list" then return "other" end
  if type(value.policy) ~= "string" or not value.policy:find("^[%w_-]+$") then return "bad", "names no policy" end
  if not known[value.verdict] then return "bad", "has no verdict" end
  local plan = value.plan
  if value.verdict == "plan" and type(plan) ~= "table" then return "bad", "has no plan" end
  local arguments = read_arguments(value.given)
  if not arguments then return "bad", "has no list of what was given" end
  value.arguments = arguments
  record = value
  return "decision"
end

local function same_plan(a, b)
  return a.replicas == b.replicas and a.min_replicas == b.min_replicas and a.max_replicas == b.max_replicas
end

---@param outcome outcome
---@return "same"|"reason"|"widens"|"narrows"|"errors"|"plan"
local function compare(outcome)
  local was, is = record.verdict, outcome.verdict
  if is == "error" or is == "answer" then return was == "error" and "same" or "errors" end
  if not yes[was] and yes[is] then return "widens" end
  if yes[was] and not yes[is] then return "narrows" end
  if is == "plan" then return same_plan(record.plan, outcome.plan) and "same" or "plan" end
  if is ~= was or (record.reason or "") ~= (outcome.reason or "") then return "reason" end
  return "same"
end

local function describe(verdict, plan, reason)
  if verdict == "plan" then return show_plan(plan) end
  return reason and reason ~= "" and ("%s (%s)"):format(verdict, shown(reason)) or verdict
end

--- Decides again what was read last.
---@return string category
---@return string? description
function offline.judge()
  local outcome = decide(record.policy, record.arguments)
  local category = compare(outcome)
  if category == "same" then return category end
  return category, ("%s %s%s by %s: %s -> %s%s"):format(
    shown(record.policy), shown(record.action or "?"), record.cluster and " " .. shown(record.cluster) or "",
    shown(record.caller or "nobody"), describe(record.verdict, record.plan, record.reason),
    describe(outcome.verdict, outcome.plan, outcome.reason), outcome.line and ", at " .. outcome.line or "")
end

return offline
