---@meta json
--- JSON by a strict reader. Objects and arrays become tables; numbers are floats unless they are
--- integral (then integers, exact up to 2^53); `null` becomes `json.null`.
local json = {}

--- Stands for JSON null; truthy in Lua.
json.null = nil ---@type lightuserdata

--- Strict (RFC 8259): no NaN, no hex, no key twice in one object, at most 64 deep.
---@param text string
---@return any value nil with a message on bad text
---@return string? message what and where: "expected ':' at byte 12"
function json.decode(text) end

--- Integral floats are written as integers. An empty table is an object unless it went through `json.array`.
---@param value any
---@return string
function json.encode(value) end

--- Marks a table to be written as an array, also when empty; returns it.
---@generic T: table
---@param list T
---@return T
function json.array(list) end

return json
