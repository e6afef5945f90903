--- Connections that do harm, many of them, in a process of their own: `lua5.4 hostile.lua PORT KIND COUNT TOKEN`.
--- Prints "ready" once all are made and have done what they do first; lives until it is ended.
local uv = require "luv"

local port, kind, count, token = tonumber(arg[1]), arg[2], tonumber(arg[3]), arg[4]
local BATCH <const> = 100

local HEAD <const> = ("Host: x\r\nAuthorization: Bearer %s\r\n"):format(token)
local LIST <const> = "GET /raycluster/list HTTP/1.1\r\n" .. HEAD .. "\r\n"

--- What is sent at first, what is sent each second after that, and whether answers are read.
local KINDS <const> = {
  idle = {},
  half_closed = { half = true },
  kept_alive = { first = LIST, reads = true },
  slow_header = { first = "GET /raycluster/list HTTP/1.1\r\nX: ", again = "x" },
  slow_body = { first = "POST /raycluster/scale HTTP/1.1\r\n" .. HEAD .. "Content-Length: 1000\r\n\r\n{", again = " " },
  slow_large_body = { first = "POST /raycluster/scale HTTP/1.1\r\n" .. HEAD
    .. "Expect: 100-continue\r\nContent-Length: 60000\r\n\r\n{", again = " " },
  second_header = { first = LIST .. "GET /raycluster/list HTTP/1.1\r\nX: ", again = "x" },
  deaf = { first = LIST .. LIST },
}

local what = KINDS[kind]
local open, made = {}, 0

local function connect()
  local tcp = uv.new_tcp()
  if kind == "deaf" then tcp:recv_buffer_size(4096) end
  tcp:connect("127.0.0.1", port, function(failure)
    made = made + 1
    if failure then return tcp:close() end
    open[tcp] = true
    if what.first then tcp:write(what.first) end
    if what.half then tcp:shutdown() end
    if kind == "deaf" then return end
    tcp:read_start(function(_, data)
      if not data and not tcp:is_closing() then
        open[tcp] = nil
        tcp:close()
      end
    end)
  end)
end

local started = 0
local starter = uv.new_timer()
starter:start(0, 5, function()
  if made < started then return end -- no more than the backlog takes
  for _ = 1, math.min(BATCH, count - started) do
    started = started + 1
    connect()
  end
  if made == count then
    starter:stop()
    print "ready"
    io.stdout:flush()
  end
end)

if what.again then
  uv.new_timer():start(1000, 1000, function()
    for tcp in pairs(open) do
      if not tcp:is_closing() then tcp:write(what.again) end
    end
  end)
end

uv.run()
