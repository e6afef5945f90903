--- The host's metrics module for specs without the host: `metrics.count("name", label…)` reads a counter.
local metrics = {}

local values

local function key(name, ...)
  return table.concat({ name, ... }, "\0")
end

function metrics.reset()
  values = {}
end

function metrics.counter(name, _, labels)
  local counter = {}
  function counter:add(amount, ...) -- luacheck: ignore 212/self
    assert(select("#", ...) == #(labels or {}), "a value for each label")
    values[key(name, ...)] = (values[key(name, ...)] or 0) + amount
  end
  return counter
end

function metrics.count(name, ...)
  return values[key(name, ...)] or 0
end

metrics.reset()
return metrics
