--- Reads metrics as Prometheus does.
local exposition = {}

local function labels_of(text)
  local labels = {}
  for name, value in text:gmatch '([%w_]+)="([^"]*)"' do labels[name] = value end
  return labels
end

---@param text string
---@return { types: table<string, string>, samples: { name: string, labels: table, value: number }[] }
function exposition.read(text)
  local metrics = { types = {}, samples = {} }
  for line in text:gmatch "[^\n]+" do
    local name, type = line:match "^# TYPE (%S+) (%S+)$"
    if name then
      metrics.types[name] = type
    elseif line:sub(1, 1) ~= "#" then
      local series, labels, value = line:match "^([%w_:]+)(%b{}) (%S+)$"
      if not series then series, value = line:match "^([%w_:]+) (%S+)$" end
      assert(series, line)
      metrics.samples[#metrics.samples + 1] = { name = series, labels = labels_of(labels or ""),
        value = assert(tonumber(value), line) }
    end
  end
  return metrics
end

--- The sum of the samples of that name that have those labels, 0 when there is none; and how many there are.
function exposition.sum(metrics, name, labels)
  local sum, count = 0, 0
  for _, sample in ipairs(metrics.samples) do
    local fits = sample.name == name
    for label, value in pairs(labels or {}) do fits = fits and sample.labels[label] == value end
    if fits then sum, count = sum + sample.value, count + 1 end
  end
  return sum, count
end

return exposition
