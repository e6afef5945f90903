---@meta log
--- Structured log lines. Never pass a credential. The host adds `request_id`; `time`, `level` and `message` are its own
--- too. The first 32 fields by name are written; texts are cut at 1024 bytes, the message at 4096. Of a value that is
--- no scalar only the type is written.
local log = {}

---@param message string
---@param fields table<string, string|number|boolean>?
function log.debug(message, fields) end

---@param message string
---@param fields table<string, string|number|boolean>?
function log.info(message, fields) end

---@param message string
---@param fields table<string, string|number|boolean>?
function log.warn(message, fields) end

---@param message string
---@param fields table<string, string|number|boolean>?
function log.error(message, fields) end

--- The line of a change, with the message `audit`. It is written at every LOG_LEVEL, as info.
---@param fields table<string, string|number|boolean>
function log.audit(fields) end

return log
