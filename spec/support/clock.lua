--- The host's clock, for specs: it stands still until it is told to go on.
local clock = { now_ms = 0, time = "2026-11-22T21:05:21Z" }

function clock.monotonic_ms() return clock.now_ms end

function clock.rfc3339() return clock.time end

function clock.advance(milliseconds) clock.now_ms = clock.now_ms + milliseconds end

return clock
