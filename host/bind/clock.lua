---@meta clock
--- What time it is. Rules do not ask; scripts/rules.lua tells them.
local clock = {}

--- The time in UTC.
---@class now
---@field hour integer 0 to 23
---@field minute integer
---@field weekday integer 1 is Monday, 7 is Sunday
---@field utc string "2026-11-22T21:05:20Z"

--- The same table for as long as a second lasts; never changed once it is given out.
---@return now
function clock.utc() end

--- Milliseconds since some moment, which no clock that is set can move.
---@return integer
function clock.monotonic_ms() end

--- "2026-11-22T21:05:20Z"
---@return string
function clock.rfc3339() end

return clock
