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

function decisions.write(decision)
  decisions.written[#decisions.written + 1] = decision
end

decisions.reset()
return decisions
