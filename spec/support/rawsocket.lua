--- A connection on which a spec sends any bytes it likes, and reads what comes back.
local socket = require "socket"

local rawsocket = {}
rawsocket.__index = rawsocket

local TIMEOUT_S <const> = 20

---@param port integer on 127.0.0.1
function rawsocket.connect(port)
  local tcp = assert(socket.tcp())
  tcp:settimeout(TIMEOUT_S)
  assert(tcp:connect("127.0.0.1", port))
  tcp:setoption("tcp-nodelay", true)
  tcp:settimeout(0)
  return setmetatable({ tcp = tcp, buffer = "", closed = false }, rawsocket)
end

function rawsocket:close()
  self.tcp:close()
end

--- Ends our half; the peer sees the end of what it reads.
function rawsocket:shutdown()
  self.tcp:shutdown "send"
end

--- Returns nil and "closed" when the peer is gone.
function rawsocket:send(bytes)
  local sent = 0
  local deadline = socket.gettime() + TIMEOUT_S
  while sent < #bytes do
    local last, message, partial = self.tcp:send(bytes, sent + 1)
    sent = last or partial
    if message == "closed" then return nil, message end
    if message == "timeout" then
      if socket.gettime() > deadline then return nil, message end
      socket.select(nil, { self.tcp }, 0.1)
    end
  end
  return true
end

--- Reads once what there is. nil with "closed" or "timeout" when nothing comes until the deadline.
local function fill(self, deadline)
  if self.closed then return nil, "closed" end
  local data, message, partial = self.tcp:receive(65536)
  data = data or partial
  if data == "" and message == "timeout" then
    local left = deadline - socket.gettime()
    if left <= 0 then return nil, "timeout" end
    socket.select({ self.tcp }, nil, left)
    data, message, partial = self.tcp:receive(65536)
    data = data or partial
  end
  self.buffer = self.buffer .. data
  if message and message ~= "timeout" then self.closed = true end
  if data ~= "" then return true end
  return nil, self.closed and "closed" or "timeout"
end

--- Takes length bytes, or up to and with the text that ends them.
local function take(self, wanted, deadline)
  while true do
    local last
    if type(wanted) == "number" then
      last = #self.buffer >= wanted and wanted
    else
      last = select(2, self.buffer:find(wanted, 1, true))
    end
    if last then
      local bytes = self.buffer:sub(1, last)
      self.buffer = self.buffer:sub(last + 1)
      return bytes
    end
    local more, why = fill(self, deadline)
    if not more and not (why == "timeout" and socket.gettime() < deadline) then return nil, why end
  end
end

local function take_chunks(self, deadline)
  local chunks = {}
  while true do
    local line, why = take(self, "\r\n", deadline)
    if not line then return nil, why end
    local length = assert(tonumber(line:match "^(%x+)", 16), "malformed chunk")
    local chunk
    chunk, why = take(self, length + 2, deadline)
    if not chunk then return nil, why end
    if length == 0 then return table.concat(chunks) end
    chunks[#chunks + 1] = chunk:sub(1, -3)
  end
end

local function parse_head(head)
  local version, status = head:match "^HTTP/(1%.[01]) (%d%d%d) [^\r\n]*\r\n"
  assert(status, ("no status line: %q"):format(head:sub(1, 200)))
  local response = { version = version, status = tonumber(status), head = head, headers = {} }
  for name, value in head:gsub("^[^\n]*\n", ""):gmatch "([^:\r\n]+):[ \t]*([^\r\n]*)\r\n" do
    name = name:lower()
    assert(not response.headers[name], "twice in one answer: " .. name)
    response.headers[name] = value
  end
  return response
end

--- The next response: { status, headers (by name in lower case), body, head }; nil and why when none comes whole.
---@param method string? that it answers: what answers HEAD has no body
---@param timeout_s number?
function rawsocket:response(method, timeout_s)
  local deadline = socket.gettime() + (timeout_s or TIMEOUT_S)
  local head, why = take(self, "\r\n\r\n", deadline)
  if not head then return nil, why end
  local response = parse_head(head)
  local headers, status = response.headers, response.status
  if method == "HEAD" or status == 204 or status == 304 or status < 200 then
    response.body = ""
  elseif headers["transfer-encoding"] then
    response.body, why = take_chunks(self, deadline)
  else
    local length = assert(tonumber(headers["content-length"]), "an answer without a length")
    response.body, why = take(self, length, deadline)
  end
  if not response.body then return nil, why end
  return response
end

--- Everything that still comes: the bytes, and "closed" or "timeout".
---@param timeout_s number? how long to wait for the end
function rawsocket:rest(timeout_s)
  local deadline = socket.gettime() + (timeout_s or TIMEOUT_S)
  local more, why
  repeat
    more, why = fill(self, deadline)
  until not more and (why == "closed" or socket.gettime() >= deadline)
  local bytes = self.buffer
  self.buffer = ""
  return bytes, why
end

return rawsocket
