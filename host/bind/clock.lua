---@meta clock
--- What time it is. Rules do not ask; scripts/rules.lua tells them.
local clock = {}

--- The time as rules see it (policies/authorization.lua): one request has one time; the same table for as long as a
--- second lasts, never changed once it is given out.
---@return now
function clock.utc() end

--- Milliseconds since some moment, which no clock that is set can move.
---@return integer
function clock.monotonic_ms() end

--- "2026-11-22T21:05:20Z"
---@return string
function clock.rfc3339() end

return clock
