--- Streams of bytes for answers that misbehave. A source is a function that returns a chunk, false for nothing yet, or
--- nil for the end, with "abort" for an end without farewell.
local streams = {}

function streams.silence() return false end

function streams.once(text)
  return function()
    local chunk = text
    text = nil
    return chunk
  end
end

local function body_of(response)
  local body = response.body or ""
  return type(body) == "table" and table.concat(body) or body
end

--- Makes the response a stream of transform(source).
function streams.wrap(response, transform)
  response.stream = transform(response.stream or streams.once(body_of(response)))
  response.body = nil
  return response
end

--- Splits what a source sends into lines, each with its newline; the rest is the last one.
local function lines_of(source)
  local pending = {}
  local first = 1
  return function()
    if not pending[first] then
      local chunk, abort = source()
      if not chunk then return chunk, abort end
      pending, first = {}, 1
      for text in chunk:gmatch "[^\n]*\n?" do
        if text ~= "" then pending[#pending + 1] = text end
      end
    end
    first = first + 1
    return pending[first - 1] or false
  end
end

local endings <const> = {
  cut = function() return nil, "abort" end,
  silent = streams.silence,
  ["end"] = function() return nil end,
}

--- Passes events lines and then bytes of the next one, and ends so.
function streams.stop_after(events, bytes, ending)
  events, bytes = events or 0, type(bytes) == "number" and bytes or 0
  return function(source)
    local lines, seen, stopped = lines_of(source), 0, false
    return function()
      if stopped then return endings[ending]() end
      if seen >= events and bytes == 0 then
        stopped = true
        return false
      end
      local line, abort = lines()
      if not line then return line, abort end
      seen = seen + 1
      if seen <= events then return line end
      stopped = true
      return line:sub(1, bytes)
    end
  end
end

--- Passes events lines, then text, then ends as told or goes on.
function streams.inject(events, text, ending)
  events = events or 0
  return function(source)
    local lines, seen, injected = lines_of(source), 0, false
    return function()
      if injected then
        if ending then return endings[ending]() end
        return lines()
      end
      if seen >= events then
        injected = true
        return text
      end
      local line, abort = lines()
      if line then seen = seen + 1 end
      return line, abort
    end
  end
end

--- The source's bytes, so many a second.
function streams.slow(bytes_per_second, now_ms)
  return function(source)
    local started_ms, sent, buffer, ended = now_ms(), 0, "", false
    return function()
      local due = (now_ms() - started_ms) * bytes_per_second // 1000 - sent
      if due <= 0 then return false end
      if #buffer == 0 and not ended then
        local chunk, abort = source()
        if chunk == nil then
          if abort then return nil, abort end
          ended = true
        else
          buffer = chunk or ""
        end
      end
      if #buffer == 0 then
        if ended then return nil end
        return false
      end
      local part = buffer:sub(1, due)
      buffer, sent = buffer:sub(#part + 1), sent + #part
      return part
    end
  end
end

local ENDLESS_CHUNK <const> = ("a"):rep(65536)

--- The beginning of a JSON object whose one string never ends, so many bytes of it.
function streams.endless(total)
  local sent = 0
  return function()
    if sent >= total then return nil end
    local chunk = sent == 0 and '{"isAnonymous":false,"canonicalName":"' or ENDLESS_CHUNK
    chunk = chunk:sub(1, total - sent)
    sent = sent + #chunk
    return chunk
  end
end

--- The whole HTTP message by hand, with a Content-Length that is wrong by difference, then the end of the connection.
function streams.claim(response, difference)
  local body = body_of(response)
  local head = { ("HTTP/1.1 %d Status\r\nContent-Length: %d\r\nConnection: close\r\n"):format(response.status,
    #body + difference) }
  for name, value in pairs(response.headers or {}) do head[#head + 1] = ("%s: %s\r\n"):format(name, value) end
  head[#head + 1] = "\r\n"
  return { status = response.status, raw = true, stream = streams.once(table.concat(head) .. body) }
end

return streams
