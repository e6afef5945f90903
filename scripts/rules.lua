--- The rules as endpoints use them, and the only place that asks them. A policy is held to its contract: what it does
--- not promise is an error, which ends the request with policy_error, and never a yes. What was decided goes to the
--- decision log with everything the policy saw, so that it can be decided again.
local clock = require "clock"
local decisions = require "decisions"
local json = require "json"
local authorization = require "policies.authorization"
local scaling = require "policies.scaling"
local read_only = require "scripts.read_only"

local rules = {}

local NOBODY = {}
local MAX_INT32 = 2147483647
local MAX_DETAILS = 10 -- decisions that are written of a list, evenly spread over it
local MAX_REASONS = 16 -- that are told apart in a list's line

local views = { list = true, get = true } -- actions that change nothing

---@return string? fault
local function verdict_fault(allowed, reason)
  if allowed ~= true and allowed ~= false then
    return "the verdict is neither true nor false but " .. tostring(allowed)
  end
  if reason ~= nil and type(reason) ~= "string" then return "the reason is not text but a " .. type(reason) end
  return nil
end

---@return string? fault
local function plan_fault(plan, reason)
  if plan == nil or plan == false then
    if type(reason) ~= "string" or reason == "" then return "a refusal without a reason" end
    return nil
  end
  if type(plan) ~= "table" then return "the plan is no table but " .. tostring(plan) end
  for _, field in ipairs { "replicas", "min_replicas", "max_replicas" } do
    local value = plan[field]
    if type(value) ~= "number" or not math.tointeger(value) then
      return ("%s is no integer but %s"):format(field, tostring(value))
    end
    if value < 0 or value > MAX_INT32 then return ("%s is no int32 of at least 0: %d"):format(field, value) end
  end
  if plan.min_replicas < 1 then return "min_replicas is below 1" end
  if plan.max_replicas < plan.min_replicas then return "max_replicas is below min_replicas" end
  return nil
end

-- What rules see besides --------------------------------------------------------------------------------------------

--- The time of the request. It is looked up only when a rule reads it: an answer that no clock went into can be
--- remembered (host/trace.h).
---@type now
local now = setmetatable({}, {
  __index = function(_, key)
    return clock.utc()[key]
  end,
  __newindex = function(_, key)
    error(("a rule may not change the time (%s)"):format(tostring(key)), 2)
  end,
  __pairs = function(self)
    local step, utc = pairs(clock.utc())
    return function(_, key)
      return step(utc, key)
    end, self, nil
  end,
  __metatable = "time",
  __name = "time",
})

-- The decision log --------------------------------------------------------------------------------------------------

--- As JSON holds it: nil as null, and of what can only be read a copy.
local function plain(value)
  if value == nil then return json.null end
  if type(value) ~= "table" and type(value) ~= "userdata" then return value end
  local copy = {}
  for key, item in pairs(value) do
    copy[key] = plain(item)
  end
  return copy
end

local function write_verdict(caller, action, cluster, verdict, reason)
  decisions.write {
    policy = "authorization",
    action = action,
    caller = caller.id or caller.name,
    cluster = cluster and cluster.name,
    verdict = verdict,
    reason = reason,
    given = { plain(caller), action, plain(cluster) },
  }
end

local function write_plan(wish, cluster, caller, verdict, plan, reason)
  decisions.write {
    policy = "scaling",
    action = "scale",
    caller = caller.id or caller.name,
    cluster = cluster.name,
    verdict = verdict,
    reason = reason,
    plan = plan,
    given = { plain(wish), plain(cluster), plain(caller) },
  }
end

-- Authorization -----------------------------------------------------------------------------------------------------

---@return boolean
---@return string? reason
local function ask(caller, action, cluster)
  local allowed, reason = authorization.decide(caller, action, cluster, now)
  if allowed == true and reason == nil then return true end
  local fault = verdict_fault(allowed, reason)
  if fault then
    if decisions.wanted() then write_verdict(caller, action, cluster, "error", fault) end
    error("policies.authorization: " .. fault, 0)
  end
  return allowed, reason
end

--- May the caller do this?
---@param caller caller
---@param action action
---@param cluster cluster?
---@return boolean
---@return string? reason
function rules.allows(caller, action, cluster)
  local allowed, reason = ask(caller, action, cluster)
  if decisions.wanted(allowed and views[action]) then
    write_verdict(caller, action, cluster, allowed and "allow" or "deny", reason)
  end
  return allowed, reason
end

--- What is written of a list: a line that counts, and before it some of its decisions, evenly spread.
---@param asked integer how many decisions there are
---@return fun(object: kube.object, allowed: boolean, reason: string?, count: integer) decided of so many clusters
---@return fun() written at the end
local function open_list(caller, action, clusters, asked)
  local step, number, reason_count = math.max(1, asked // MAX_DETAILS), 0, 0
  local line = { policy = "authorization", action = action, caller = caller.id or caller.name, verdict = "list",
                 clusters = 0, allowed = 0, reasons = {} }
  local reasons = line.reasons
  return function(object, allowed, reason, count)
    number = number + 1
    if number % step == 0 and number // step <= MAX_DETAILS then
      write_verdict(caller, action, clusters.view(object), allowed and "allow" or "deny", reason)
    end
    line.clusters = line.clusters + count
    if allowed then
      line.allowed = line.allowed + count
      return
    end
    reason = reason or "none"
    if not reasons[reason] then
      if reason_count == MAX_REASONS then reason = "other" else reason_count = reason_count + 1 end
    end
    reasons[reason] = (reasons[reason] or 0) + count
  end, function()
    decisions.write(line)
  end
end

--- A rule that read nothing of a cluster but its owner says the same of all that the owner has: it is asked about one
--- cluster an owner, and what others own costs nothing. nil when the rule read more.
---@return kube.object[]? objects
---@return table? failure
local function visible_by_owner(caller, action, clusters, logged)
  local samples, counts = clusters.samples(logged)
  if not samples then return nil end
  local shown, verdicts = {}, {}
  for i = 1, #samples do
    local seen = {}
    local allowed, reason = ask(caller, action, clusters.watch(samples[i], seen))
    if seen.more then return nil end
    if allowed then shown[#shown + 1] = samples[i] end
    verdicts[i] = { allowed, reason }
  end
  if logged then
    local decided, written = open_list(caller, action, clusters, #samples)
    for i = 1, #samples do
      decided(samples[i], verdicts[i][1], verdicts[i][2], counts[i])
    end
    written()
  end
  if #shown == 0 then return shown end
  return clusters.list(#shown < #samples and shown or nil)
end

--- Asks about each cluster, or once an owner as long as the rule reads nothing else.
---@return kube.object[]? objects
---@return table? failure
local function visible_each(caller, action, clusters, logged)
  local objects, failure = clusters.list()
  if not objects then return nil, failure end
  local decided, written
  if logged then decided, written = open_list(caller, action, clusters, #objects) end
  local visible, count, verdicts = {}, 0, {}
  for i = 1, #objects do
    local object = objects[i]
    local owner = clusters.owner(object) or NOBODY
    local verdict = verdicts[owner]
    if not verdict then
      local seen = {}
      verdict = { ask(caller, action, clusters.watch(object, seen)) }
      if not seen.more then verdicts[owner] = verdict end
    end
    if verdict[1] then
      count = count + 1
      visible[count] = object
    end
    if logged then decided(object, verdict[1], verdict[2], 1) end
  end
  if logged then written() end
  return visible
end

--- The clusters that the caller may see, or nil and Kubernetes' failure. What is not in a list was denied to nobody, so
--- a list is one allowed view: when it is logged, it is one line that counts, and some of its decisions.
---@param caller caller
---@param action action
---@param clusters table scripts.clusters
---@return kube.object[]? objects
---@return table? failure
function rules.visible(caller, action, clusters)
  local logged = decisions.wanted(true)
  local objects, failure = visible_by_owner(caller, action, clusters, logged)
  if objects or failure then return objects, failure end
  return visible_each(caller, action, clusters, logged)
end

-- Scaling -----------------------------------------------------------------------------------------------------------

---@param wish wish
---@param cluster cluster
---@param caller caller
---@return plan?
---@return string? reason
function rules.plan(wish, cluster, caller)
  local plan, reason = scaling.decide(read_only(wish, "wish"), cluster, caller, now)
  if type(plan) == "table" then -- what is checked is what is written, whatever a second look would give
    plan = { replicas = plan.replicas, min_replicas = plan.min_replicas, max_replicas = plan.max_replicas }
  end
  local fault = plan_fault(plan, reason)
  if decisions.wanted() then
    local verdict = fault and "error" or plan and "plan" or "refuse"
    write_plan(wish, cluster, caller, verdict, not fault and plan or nil, fault or reason)
  end
  if fault then error("policies.scaling: " .. fault, 0) end
  return plan or nil, reason
end

--- For the proof: what is wrong with results that an example expects.
rules.contracts = {
  ["policies.authorization"] = verdict_fault,
  ["policies.scaling"] = plan_fault,
}

return rules
