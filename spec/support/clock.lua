--- The host's clock, for specs: it stands still until it is told to go on.
local clock = { now_ms = 0, time = "2026-11-22T21:05:21Z" }

local utc = { hour = 21, minute = 5, weekday = 7, utc = "2026-11-22T21:05:21Z" }

--- Sunday evening, unless a spec says otherwise.
function clock.utc() return clock.now or utc end

function clock.monotonic_ms() return clock.now_ms end

function clock.rfc3339() return clock.time end

function clock.advance(milliseconds) clock.now_ms = clock.now_ms + milliseconds end

return clock
