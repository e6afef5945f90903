--- Many clients at once, each with one connection, asking again as soon as they are answered.
local uv = require "luv"

local crowd = {}
crowd.__index = crowd

--- The first whole answer in bytes: status, head, body, and the bytes behind it.
local function parse(bytes)
  local head_end = bytes:find("\r\n\r\n", 1, true)
  if not head_end then return nil end
  local head = bytes:sub(1, head_end + 1)
  local length = tonumber(head:match "\r\nContent%-Length: (%d+)\r\n")
  local last = head_end + 3 + length
  if #bytes < last then return nil end
  return tonumber(head:match "^HTTP/1%.1 (%d+)"), head, bytes:sub(head_end + 4, last), bytes:sub(last + 1)
end

local function ask(self, member)
  self.asked = self.asked + 1
  member.start = uv.hrtime()
  member.socket:write(self.requests[self.asked % #self.requests + 1])
end

local function answered(self, member, status, head, body)
  local took_ms = (uv.hrtime() - member.start) / 1e6
  self.count = self.count + 1
  if took_ms > self.slowest_ms then self.slowest_ms = took_ms end
  self.on_answer(status, head, body, took_ms)
  if self.stopping then
    member.socket:close()
    self.open = self.open - 1
  elseif self.pause_ms then
    self.resting[#self.resting + 1] = member
  else
    ask(self, member)
  end
end

--- Those that were answered since the last time ask again.
local function wake(self)
  local resting = self.resting
  self.resting = {}
  for _, member in ipairs(resting) do
    if self.stopping then
      member.socket:close()
      self.open = self.open - 1
    else
      ask(self, member)
    end
  end
end

local function lost(self, member, why)
  self.failures[#self.failures + 1] = tostring(why)
  member.socket:close()
  self.open = self.open - 1
end

local function join(self, port)
  local member = { socket = uv.new_tcp(), bytes = "" }
  self.open = self.open + 1
  member.socket:connect("127.0.0.1", port, function(failure)
    if failure then return lost(self, member, failure) end
    member.socket:nodelay(true)
    member.socket:read_start(function(problem, data)
      if not data then return lost(self, member, problem or "closed") end
      member.bytes = member.bytes .. data
      local status, head, body, rest = parse(member.bytes)
      if not status then return end
      member.bytes = rest
      answered(self, member, status, head, body)
    end)
    ask(self, member)
  end)
end

---@param requests string[] sent in turn
---@param on_answer fun(status: integer, head: string, body: string, took_ms: number)
---@param pause_ms integer? until who was answered asks again; without, they leave nothing of the machine to others
function crowd.start(port, size, requests, on_answer, pause_ms)
  local self = setmetatable({ requests = requests, on_answer = on_answer, asked = 0, count = 0, slowest_ms = 0,
    open = 0, failures = {}, pause_ms = pause_ms, resting = {} }, crowd)
  if pause_ms then
    self.alarm = uv.new_timer()
    self.alarm:start(pause_ms, pause_ms, function() wake(self) end)
  end
  for _ = 1, size do
    join(self, port)
  end
  return self
end

--- Lets the clients go on until condition is true; false when it is not within so many seconds.
function crowd.run_until(condition, timeout_s)
  local deadline = uv.hrtime() + timeout_s * 1e9
  local timer = uv.new_timer() -- so that the loop turns also when nothing is answered
  timer:start(5, 5, function() end)
  local met = condition()
  while not met and uv.hrtime() < deadline do
    uv.run "once"
    met = condition()
  end
  timer:close()
  return met
end

--- Every client waits for its last answer and leaves.
function crowd:stop()
  self.stopping = true
  assert(crowd.run_until(function() return self.open == 0 end, 20), "answers are missing")
  if self.alarm then self.alarm:close() end
end

return crowd
