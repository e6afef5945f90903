--- The rules as endpoints use them. A policy is held to its contract: what it does not promise is an error, which ends
--- the request with policy_error, and never a yes.
local authorization = require "policies.authorization"
local scaling = require "policies.scaling"

local rules = {}

local MAX_INT32 = 2147483647

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

--- May the caller do this?
---@param caller caller
---@param action action
---@param cluster cluster?
---@return boolean
---@return string? reason
function rules.allows(caller, action, cluster)
  local allowed, reason = authorization.decide(caller, action, cluster)
  if allowed == true and reason == nil then return true end
  local fault = verdict_fault(allowed, reason)
  if fault then error("policies.authorization: " .. fault, 0) end
  return allowed, reason
end

---@param wish wish
---@param cluster cluster
---@param caller caller
---@return plan?
---@return string? reason
function rules.plan(wish, cluster, caller)
  local plan, reason = scaling.decide(wish, cluster, caller)
  local fault = plan_fault(plan, reason)
  if fault then error("policies.scaling: " .. fault, 0) end
  return plan or nil, reason
end

--- For the proof: what is wrong with results that an example expects.
rules.contracts = {
  ["policies.authorization"] = verdict_fault,
  ["policies.scaling"] = plan_fault,
}

return rules
