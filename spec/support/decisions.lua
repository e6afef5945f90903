--- The host's decisions module for specs without the host: keeps the decisions. `decisions.views`: are allowed views
--- wanted?
local decisions = {}

function decisions.reset()
  decisions.written = {}
  decisions.views = false
end

function decisions.wanted(allowed_view)
  return not allowed_view or decisions.views
end

--- As the host does, with the time of the specs' clock behind the arguments of a rule.
function decisions.write(decision)
  if decision.given then
    local time = {}
    for key, value in pairs(require "clock".utc()) do time[key] = value end
    decision.given[#decision.given + 1] = time
  end
  decisions.written[#decisions.written + 1] = decision
end

decisions.reset()
return decisions
