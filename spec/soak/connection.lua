--- HTTP/1.1 over luv for coroutines: many connections in one loop. Answers end by their Content-Length.
local uv = require "luv"

local connection = {}
connection.__index = connection

--- Runs a function as a coroutine; what it raises ends the program.
function connection.spawn(run, ...)
  local thread = coroutine.create(run)
  local started, message = coroutine.resume(thread, ...)
  if not started then error(debug.traceback(thread, message)) end
end

local function resume(thread, ...)
  local resumed, message = coroutine.resume(thread, ...)
  if not resumed then error(debug.traceback(thread, message), 0) end
end

--- Suspends the running coroutine until begin's callback is called, at most so long: then nil, "timeout".
local function await(ms, begin)
  local thread, timer, over = coroutine.running(), uv.new_timer(), false
  local function done(...)
    if over then return end
    over = true
    timer:close()
    resume(thread, ...)
  end
  timer:start(ms, 0, function() done(nil, "timeout") end)
  begin(done)
  return coroutine.yield()
end

function connection.sleep(ms)
  await(ms, function() end)
end

--- nil and why when nobody listens.
function connection.open(port, timeout_ms)
  local tcp = uv.new_tcp()
  local self = setmetatable({ tcp = tcp, buffer = "", ended = false }, connection)
  local connected, message = await(timeout_ms or 5000, function(done)
    tcp:connect("127.0.0.1", port, function(failure) done(not failure, failure) end)
  end)
  if not connected then
    tcp:close()
    return nil, message
  end
  tcp:nodelay(true)
  return self
end

function connection:close()
  if not self.tcp:is_closing() then self.tcp:close() end
end

--- From now on what comes is read.
function connection:start_reading()
  self.tcp:read_start(function(_, bytes)
    if bytes then self.buffer = self.buffer .. bytes else self.ended = true end
    local notify = self.notify
    self.notify = nil
    if notify then notify(true) end
  end)
end

--- Sends without waiting for it to be sent.
function connection:send(bytes)
  if not self.tcp:is_closing() then pcall(self.tcp.write, self.tcp, bytes) end
end

function connection:shutdown()
  pcall(self.tcp.shutdown, self.tcp)
end

--- Waits for more bytes. nil and why when none come.
function connection:more(deadline_ms)
  if self.ended then return nil, "closed" end
  local left = deadline_ms - uv.now()
  if left <= 0 then return nil, "timeout" end
  return await(left, function(done) self.notify = done end)
end

--- The next answer: { status, headers, body }; nil and why.
function connection:response(timeout_ms)
  uv.update_time()
  local deadline = uv.now() + timeout_ms
  local head_end
  repeat
    head_end = select(2, self.buffer:find("\r\n\r\n", 1, true))
    if not head_end then
      local more, why = self:more(deadline)
      if not more then return nil, why end
    end
  until head_end
  local head = self.buffer:sub(1, head_end)
  local status = tonumber(head:match "^HTTP/1%.1 (%d%d%d) ")
  local length = tonumber(head:match "\r\nContent%-Length: (%d+)\r\n" or (status == 304 and 0))
  if not status or not length then return nil, "no HTTP: " .. head:sub(1, 200) end
  while #self.buffer < head_end + length do
    local more, why = self:more(deadline)
    if not more then return nil, why end
  end
  local body = self.buffer:sub(head_end + 1, head_end + length)
  self.buffer = self.buffer:sub(head_end + length + 1)
  return { status = status, head = head, body = body }
end

return connection
