---@meta metrics
--- Prometheus metrics. Declare while the bundle loads, count while it serves. Never use a user or a cluster as a label.
local metrics = {}

---@class metrics.counter
local counter = {}

--- Values of the labels, in the order of their declaration.
---@param amount number not negative
---@param ... string
function counter:add(amount, ...) end

---@class metrics.histogram
local histogram = {}

---@param seconds number
---@param ... string
function histogram:observe(seconds, ...) end

---@param name string `[a-z_]+`; ends in `_total`
---@param help string
---@param labels string[]?
---@return metrics.counter
function metrics.counter(name, help, labels) end

---@param name string `[a-z_]+`; ends in `_seconds`
---@param help string
---@param labels string[]?
---@return metrics.histogram
function metrics.histogram(name, help, labels) end

return metrics
