--- Clients that mean harm. Nobody judges what they are told; the honest ones must not notice them.
local uv = require "luv"
local connection = require "spec.soak.connection"
local program = require "program"

local hostile = {}
hostile.__index = hostile

local LIFE_MS <const> = 20000
local CORPUS <const> = "spec/fuzz/corpus/wire"

function hostile.new(port, admin)
  return setmetatable({ port = port, admin = admin, connections = 0 }, hostile)
end

local function head(method, path, token, lines)
  return ("%s %s HTTP/1.1\r\nHost: service\r\nAuthorization: Bearer %s\r\n%s\r\n"):format(method, path, token,
    lines or "")
end

--- Bytes at a pace, until the peer has enough or a life is over.
local function trickle(self, peer, bytes, pause_ms)
  peer:start_reading()
  local until_ms = uv.now() + LIFE_MS
  for index = 1, #bytes do
    if self.over or peer.ended or uv.now() > until_ms then return end
    peer:send(bytes:sub(index, index))
    connection.sleep(pause_ms)
  end
end

local KINDS = {}

KINDS["slow headers"] = { count = 20, run = function(self, peer)
  trickle(self, peer, head("GET", "/raycluster/list", "x", ("X-Slow: %s\r\n"):format(("x"):rep(200))), 200)
end }

KINDS["slow bodies"] = { count = 20, run = function(self, peer)
  peer:send(head("POST", "/raycluster/scale", "x", "Content-Length: 60000\r\n"))
  trickle(self, peer, ("x"):rep(100), 1000)
end }

KINDS["readers that never read"] = { count = 10, run = function(self, peer)
  peer:send(head("GET", "/raycluster/list", self.admin.token):rep(40))
  connection.sleep(LIFE_MS)
end }

KINDS["idle connections"] = { count = 200, run = function(_, peer)
  peer:start_reading()
  connection.sleep(LIFE_MS)
end }

KINDS["half-closed connections"] = { count = 5, run = function(_, peer)
  peer:start_reading()
  peer:send(head("GET", "/raycluster/list", "nobody"))
  peer:shutdown()
  connection.sleep(100)
end }

KINDS["aborted requests"] = { count = 5, run = function(_, peer)
  peer:send(head("GET", "/raycluster/list", "nobody"):rep(3))
  connection.sleep(math.random(0, 20))
end }

KINDS["ambiguous requests"] = { count = 5, run = function(self, peer)
  peer:start_reading()
  peer:send(self.inputs[math.random(#self.inputs)])
  peer:send(head("GET", "/smuggled", "nobody"))
  peer:more(uv.now() + 500)
end }

KINDS["random bytes"] = { count = 5, run = function(_, peer)
  local bytes = {}
  for index = 1, math.random(200) do bytes[index] = string.char(math.random(0, 255)) end
  peer:start_reading()
  peer:send(table.concat(bytes))
  peer:more(uv.now() + 500)
end }

KINDS["wrong credentials"] = { count = 5, run = function(_, peer)
  peer:start_reading()
  for _ = 1, 20 do
    peer:send(head("GET", "/raycluster/list", ("wrong-%d"):format(math.random(1000000))))
    if not peer:response(5000) then return end
    connection.sleep(100)
  end
end }

local function run(self, kind)
  while not self.over do
    local peer = connection.open(self.port)
    if peer then
      self.connections = self.connections + 1
      kind.run(self, peer)
      peer:close()
    end
    connection.sleep(50)
  end
end

function hostile:start()
  self.inputs = {}
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(CORPUS)) do
    self.inputs[#self.inputs + 1] = program.read(CORPUS .. "/" .. name)
  end
  for _, kind in pairs(KINDS) do
    for _ = 1, kind.count do connection.spawn(run, self, kind) end
  end
end

function hostile:stop() self.over = true end

return hostile
