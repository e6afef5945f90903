---@meta log
--- Structured log lines. Never pass a credential.
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

return log
