--- Misbehaviour on request. A rule is { match = {...}, fault = {...} }; the first rule that applies has its way.
--- match: kind (list, get, watch, patch, create, delete, principal, …), resource, name, method, path (a part of it);
---   after = n lets the first n pass, nth = n means just the nth, times = n ends the rule after n.
--- fault: one of the effects below, and with any of them, or alone, delay_ms.
local clock = require "clock"
local effects = require "spec.simulator.effects"

local faults = {}
faults.__index = faults

local match_fields <const> = { kind = true, resource = true, name = true, method = true, path = true, after = true,
  nth = true, times = true }

function faults.new() return setmetatable({ rules = {} }, faults) end

local function check(rule)
  if type(rule) ~= "table" or type(rule.fault) ~= "table" then return "a rule needs a fault" end
  for field in pairs(rule.match or {}) do
    if not match_fields[field] then return "unknown field in match: " .. tostring(field) end
  end
  local effect
  for field in pairs(rule.fault) do
    if effects.by_name[field] then
      if effect then return ("two effects in one fault: %s and %s"):format(effect, field) end
      effect = field
    elseif not effects.parameters[field] then
      return "unknown field in fault: " .. tostring(field)
    end
  end
  if not effect and not rule.fault.delay_ms then return "the fault has no effect" end
  return nil, effect
end

--- True, or nil and what is wrong with the rule.
function faults:add(rule)
  local problem, effect = check(rule)
  if problem then return nil, problem end
  local match = rule.match or {}
  local first = (match.after or 0) + (match.nth or 1)
  local times = match.times or (match.nth and 1)
  self.rules[#self.rules + 1] = { match = match, fault = rule.fault, effect = effect, seen = 0, applied = 0,
    first = first, last = times and first + times - 1 or math.huge }
  return true
end

local function matches(match, request, target)
  local resource = target.resource and target.resource.plural
  return (not match.kind or match.kind == target.kind) and (not match.resource or match.resource == resource)
    and (not match.name or match.name == target.name) and (not match.method or match.method == request.method)
    and (not match.path or request.path:find(match.path, 1, true) ~= nil)
end

--- The rule that applies to this request, or nil. Counts it.
function faults:take(request, target)
  local taken
  for _, rule in ipairs(self.rules) do
    if matches(rule.match, request, target) then
      rule.seen = rule.seen + 1
      if not taken and rule.seen >= rule.first and rule.seen <= rule.last then
        rule.applied = rule.applied + 1
        taken = rule
      end
    end
  end
  return taken
end

--- The answer under the rule. answer is the function that makes the honest one.
function faults.apply(rule, world, request, target, answer)
  local response
  if rule.effect then
    response = effects.by_name[rule.effect](rule.fault, { world = world, request = request, target = target,
      answer = answer, now_ms = clock.monotonic_ms })
  else
    response = answer()
  end
  response.delay_ms = rule.fault.delay_ms
  return response
end

return faults
