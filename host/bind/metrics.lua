---@meta metrics
--- Prometheus metrics. Declare while the bundle loads, count while it serves. Never use a user or a cluster as a label.
--- A metric lives as long as the process: declared again by a reload it goes on; with other labels it needs another
--- name. Scripts may make 64 of them.
local metrics = {}

---@class metrics.counter
local counter = {}

---@param amount number not negative
---@param ... string|number values of the labels, in the order of their declaration
function counter:add(amount, ...) end

---@class metrics.histogram
local histogram = {}

---@param seconds number not negative
---@param ... string|number values of the labels, in the order of their declaration
function histogram:observe(seconds, ...) end

---@param name string `[a-z][a-z0-9_]*`; ends in `_total`
---@param help string
---@param labels string[]? at most 6
---@return metrics.counter
function metrics.counter(name, help, labels) end

---@param name string `[a-z][a-z0-9_]*`; ends in `_seconds`
---@param help string
---@param labels string[]? at most 6
---@return metrics.histogram
function metrics.histogram(name, help, labels) end

return metrics
