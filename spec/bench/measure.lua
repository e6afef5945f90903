--- Measuring: wrk and what it says, turns, medians, and how busy the machine is without us.
local uv = require "luv"

local measure = {}

local SCALE <const> = { us = 1e-6, ms = 1e-3, s = 1, m = 60 }
local BYTES <const> = { B = 1, KB = 1 << 10, MB = 1 << 20, GB = 1 << 30 }

function measure.shell(command)
  local pipe = assert(io.popen(command .. " 2>&1", "r"))
  local text = pipe:read "a"
  assert(pipe:close(), command .. "\n" .. text)
  return text
end

--- What a run of wrk says. Raises when it was not all answers of success, or there was none.
---@return { rate: number, p99: number, bytes: number } requests a second; seconds; of an answer on the wire
function measure.statistics(text)
  assert(not text:find "Non%-2xx" and not text:find "Socket errors", text)
  local rate = assert(tonumber(text:match "Requests/sec:%s+([%d.]+)"), text)
  local p99, unit = text:match "99%%%s+([%d.]+)(%a+)"
  local requests, read, size = text:match "(%d+) requests in [^,]+, ([%d.]+)(%a+) read"
  assert(tonumber(requests) > 0, text)
  return { rate = rate, p99 = p99 * SCALE[unit], bytes = read * BYTES[size] / requests }
end

---@param url string
---@param options { seconds: integer, token: string, close: boolean?, script: string?, connections: integer? }
function measure.wrk(url, options)
  local command = "wrk -t1 -c%d -d%ds --timeout 30s --latency -H 'Authorization: Bearer %s' %s %s '%s'"
  return measure.statistics(measure.shell(command:format(options.connections or 32, options.seconds, options.token,
    options.close and "-H 'Connection: close'" or "", options.script and "-s " .. options.script or "", url)))
end

function measure.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  return #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
end

--- Runs both in turn, so that whatever else the machine does slows both sides, and who is first changes; once each
--- beforehand, to warm up.
---@return table[] ours
---@return table[] theirs
function measure.in_turn(rounds, ours, theirs)
  local results = { {}, {} }
  ours()
  theirs()
  for round = 1, rounds do
    local first = round % 2 == 1
    results[1][round] = first and ours() or nil
    results[2][round] = theirs()
    results[1][round] = results[1][round] or ours()
  end
  return results[1], results[2]
end

--- One field of each result.
function measure.column(results, field)
  local values = {}
  for index, result in ipairs(results) do values[index] = result[field] end
  return values
end

--- The quotients of two lists.
function measure.ratios(a, b)
  local values = {}
  for index, value in ipairs(a) do values[index] = value / b[index] end
  return values
end

local function processor_times()
  local file = assert(io.open "/proc/stat")
  local line = file:read "l"
  file:close()
  local all, idle, index = 0, 0, 0
  for ticks in line:gmatch "%d+" do
    index = index + 1
    if index <= 8 then all = all + tonumber(ticks) end -- guests are counted as users already
    if index == 4 or index == 5 then idle = idle + tonumber(ticks) end
  end
  return all, idle
end

--- Share of the processors' time that is in use, 0 to 1, while we do nothing.
function measure.load(seconds)
  local all, idle = processor_times()
  uv.sleep(math.floor(seconds * 1000))
  local all_later, idle_later = processor_times()
  return 1 - (idle_later - idle) / math.max(1, all_later - all)
end

return measure
