--- The host's log module for specs without the host: keeps the lines.
local log = {}

function log.reset()
  log.lines = {}
end

for _, level in ipairs { "debug", "info", "warn", "error" } do
  log[level] = function(message, fields)
    log.lines[#log.lines + 1] = { level = level, message = message, fields = fields or {} }
  end
end

function log.audit(fields)
  log.info("audit", fields)
end

--- The fields of the lines with a message.
function log.find(message)
  local found = {}
  for _, line in ipairs(log.lines) do
    if line.message == message then found[#found + 1] = line.fields end
  end
  return found
end

log.reset()
return log
