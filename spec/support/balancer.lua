--- A TCP balancer that treats its backends as a Service of Kubernetes does its pods: new connections go in turn to
--- those whose /readyz answers 200; connections that there are stay where they are.
---
--- `lua5.4 spec/support/balancer.lua` prints its port. Lines on standard input: `add PORT ADMIN_PORT`. It says
--- `in PORT` and `out PORT` when a backend comes and goes. Ends with its input.
local uv = require "luv"

local PROBE_EVERY_MS <const> = 100
local PROBE_TIMEOUT_MS <const> = 2000

local backends, turn = {}, 0

local function say(text)
  print(text)
  io.stdout:flush()
end

local function close(handle)
  if not handle:is_closing() then handle:close() end
end

--- Bytes of one go to the other, and so does the end; both are closed once both have ended.
local function join(one, other)
  local open = 2
  local function pass(from, to)
    from:read_start(function(failure, bytes)
      if bytes then
        if not to:is_closing() then to:write(bytes) end
        return
      end
      open = open - 1
      if failure or open == 0 then
        close(one)
        close(other)
      else
        to:shutdown()
      end
    end)
  end
  pass(one, other)
  pass(other, one)
end

local function next_backend()
  for _ = 1, #backends do
    turn = turn % #backends + 1
    if backends[turn].ready then return backends[turn] end
  end
end

local function accept(server)
  local caller, backend = uv.new_tcp(), next_backend()
  server:accept(caller)
  if not backend then return caller:close() end
  local socket = uv.new_tcp()
  socket:nodelay(true)
  caller:nodelay(true)
  socket:connect("127.0.0.1", backend.port, function(failure)
    if failure then
      close(caller)
      close(socket)
    else
      join(caller, socket)
    end
  end)
end

local function probe(backend, done)
  local socket, timer, answer = uv.new_tcp(), uv.new_timer(), ""
  local function finish()
    if socket:is_closing() then return end
    socket:close()
    timer:close()
    done(answer:find "^HTTP/1%.1 200 " ~= nil)
  end
  timer:start(PROBE_TIMEOUT_MS, 0, finish)
  socket:connect("127.0.0.1", backend.admin_port, function(failure)
    if failure then return finish() end
    socket:write "GET /readyz HTTP/1.1\r\nHost: probe\r\n\r\n"
    socket:read_start(function(_, bytes)
      answer = answer .. (bytes or "")
      if not bytes or answer:find "\r\n\r\n" then finish() end
    end)
  end)
end

local function watch(backend)
  probe(backend, function(ready)
    if ready ~= backend.ready then
      backend.ready = ready
      say((ready and "in " or "out ") .. backend.port)
    end
    local timer = uv.new_timer()
    timer:start(PROBE_EVERY_MS, 0, function()
      timer:close()
      watch(backend)
    end)
  end)
end

local function command(line)
  local port, admin_port = line:match "^add (%d+) (%d+)$"
  local backend = { port = tonumber(port), admin_port = tonumber(admin_port), ready = false }
  backends[#backends + 1] = backend
  watch(backend)
end

local broken_pipe = uv.new_signal() -- callers that leave are a matter of course
broken_pipe:start("sigpipe", function() end)

local input, pending = uv.new_pipe(false), ""
input:open(0)
input:read_start(function(_, bytes)
  if not bytes then os.exit(0) end
  pending = (pending .. bytes):gsub("([^\n]*)\n", function(line)
    command(line)
    return ""
  end)
end)

local server = uv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(256, function() accept(server) end)
say(server:getsockname().port)
uv.run()
