--- Callers that ask without a pause worth the name: `lua5.4 spec/support/load.lua PORT CALLERS TOKEN CLUSTER`. Every
--- other one keeps its connection as long as it may. When its standard input ends it prints, as JSON, how many requests
--- there were and which failed: not answered whole, or not as they should be.
local cjson = require "cjson"
local uv = require "luv"

local PORT <const>, CALLERS <const>, TOKEN <const>, CLUSTER <const> =
  tonumber(arg[1]), tonumber(arg[2]), arg[3], arg[4]
local PAUSE_MS <const> = 8
local TIMEOUT_MS <const> = 20000

local result = { requests = 0, failed = 0, connections = 0, failures = {} }
local ending, left = false, CALLERS

local function head(line, more, keep)
  return ("%s HTTP/1.1\r\nHost: load\r\nAuthorization: Bearer %s\r\n%s%s\r\n"):format(line, TOKEN, more or "",
    keep and "" or "Connection: close\r\n")
end

--- Requests in turn: what is sent, and which codes are well. A conflict with another caller is an answer, too.
local function request(number, keep)
  if number % 10 == 0 then
    local body = ('{"cluster_name": "%s", "replicas": %d}'):format(CLUSTER, number // 10 % 4)
    return head("POST /raycluster/scale", ("Content-Type: application/json\r\nContent-Length: %d\r\n"):format(#body),
      keep) .. body, { [200] = true, [409] = true }
  end
  return head("GET " .. (number % 2 == 0 and "/raycluster/list" or "/raycluster/" .. CLUSTER), nil, keep),
    { [200] = true }
end

--- The code of a complete answer, and whether its connection goes on; nil while it is not complete.
local function parse(bytes)
  local top, body = bytes:match "^(.-\r\n\r\n)(.*)$"
  local length = top and tonumber(top:match "\r\nContent%-Length: (%d+)")
  if not length or #body < length then return nil end
  assert(#body == length, "more than an answer")
  return tonumber(top:match "^HTTP/1%.1 (%d+)"), not top:find "\r\nConnection: close"
end

local Caller = {}
Caller.__index = Caller

function Caller:drop()
  if self.socket and not self.socket:is_closing() then self.socket:close() end
  self.socket = nil
end

function Caller:finish(why)
  if not self.well then return end
  self.well, self.answer = nil, ""
  self.deadline:stop()
  result.requests = result.requests + 1
  if why then
    result.failed = result.failed + 1
    result.failures[#result.failures + 1] = why
    self:drop()
  end
  if ending then
    left = left - 1
    if left == 0 then
      print(cjson.encode(result))
      os.exit(0)
    end
    return
  end
  self.pause:start(PAUSE_MS, 0, function() self:ask() end)
end

function Caller:read(socket, failure, bytes)
  if socket ~= self.socket then return end
  if not bytes then
    self:drop()
    return self:finish(("the connection ended, %s, after %d bytes of %s"):format(failure or "well", #self.answer,
      self.asked))
  end
  self.answer = self.answer .. bytes
  local code, open = parse(self.answer)
  if not code then return end
  local well = self.well and self.well[code]
  if not (open and self.keep) then self:drop() end
  self:finish(not well and ("%s: %s"):format(self.asked, self.answer) or nil)
end

function Caller:ask()
  self.number = self.number + 1
  local bytes
  bytes, self.well = request(self.number, self.keep)
  self.asked = bytes:match "^[^\r]*"
  self.deadline:start(TIMEOUT_MS, 0, function() self:finish(self.asked .. ": no answer in time") end)
  if self.socket then return self.socket:write(bytes) end
  local socket = uv.new_tcp()
  self.socket = socket
  result.connections = result.connections + 1
  socket:nodelay(true)
  socket:connect("127.0.0.1", PORT, function(failure)
    if failure then return self:finish("cannot connect: " .. failure) end
    socket:read_start(function(...) self:read(socket, ...) end)
    socket:write(bytes)
  end)
end

local broken_pipe = uv.new_signal() -- it fails the request, not the load
broken_pipe:start("sigpipe", function() end)

for i = 1, CALLERS do
  local caller = setmetatable({ keep = i % 2 == 0, number = i * 3, answer = "", pause = uv.new_timer(),
    deadline = uv.new_timer() }, Caller)
  caller:ask()
end

local input = uv.new_pipe(false)
input:open(0)
input:read_start(function(_, bytes)
  if not bytes then ending = true end
end)
uv.run()
