--- An HTTP/1.1 server that answers well or badly, by path: `lua5.4 spec/support/origin.lua`. Prints its port and serves
--- until it is killed. A query of `name=value` pairs tells numbers to those paths that want some.
local uv = require "luv"

local count = { connections = 0, requests = 0, last = "" }

local function respond(connection, status, headers, body)
  connection.write(("HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s"):format(status, headers, #body, body))
end

--- Runs step every ms until it returns false.
local function every(connection, ms, step)
  local timer = uv.new_timer()
  timer:start(ms, ms, function()
    if connection.closed or step() == false then
      timer:close()
    end
  end)
end

local paths = {}

--- What came, as it came.
function paths.echo(connection, request)
  local headers = "Content-Type: text/plain\r\nX-Twice: a\r\nx-twice:  b \r\nX-Empty:\r\n"
  respond(connection, "200 OK", headers, request.head .. request.body)
end

function paths.stats(connection)
  respond(connection, "200 OK", "", ("connections=%d requests=%d"):format(count.connections, count.requests))
end

--- The last request but this one.
function paths.last(connection)
  respond(connection, "200 OK", "", count.last)
end

function paths.status(connection, _, query)
  respond(connection, query.code .. " Whatever", "", "body of " .. query.code)
end

function paths.delay(connection, _, query)
  every(connection, tonumber(query.ms), function()
    respond(connection, "200 OK", "", "late")
    return false
  end)
end

function paths.never() end

--- One byte at a time, for ever.
function paths.drip(connection)
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
  every(connection, 20, function()
    connection.write(".")
  end)
end

--- Header lines for ever.
function paths.headers(connection)
  connection.write("HTTP/1.1 200 OK\r\n")
  every(connection, 1, function()
    connection.write(("X-More: " .. ("x"):rep(1000) .. "\r\n"):rep(8))
  end)
end

--- Interim answers for ever.
function paths.hints(connection)
  every(connection, 1, function()
    connection.write(("HTTP/1.1 103 Early Hints\r\nLink: %s\r\n\r\n"):format(("x"):rep(1000)):rep(8))
  end)
end

function paths.short(connection)
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
  connection.close()
end

function paths.long(connection)
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and then some")
end

function paths.badlength(connection)
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nhello")
  connection.close()
end

function paths.big(connection, _, query)
  respond(connection, "200 OK", "", ("x"):rep(tonumber(query.bytes)))
end

--- Announces bytes that never come.
function paths.announce(connection, _, query)
  connection.write(("HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\nx"):format(query.bytes))
end

--- Chunks of 64 KiB for ever.
function paths.endless(connection)
  connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  every(connection, 1, function()
    connection.write("10000\r\n" .. ("x"):rep(0x10000) .. "\r\n")
  end)
end

function paths.trailers(connection)
  connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: no\r\n\r\n")
end

function paths.badchunk(connection)
  connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n")
  connection.close()
end

function paths.redirect(connection, request)
  respond(connection, "302 Found", "Location: http://" .. request.host .. "/redirected\r\n", "")
end

function paths.interim(connection)
  connection.write("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
  respond(connection, "200 OK", "X-Final: yes\r\n", "final")
end

function paths.switch(connection)
  connection.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbytes")
  connection.close()
end

function paths.folded(connection)
  respond(connection, "200 OK", "X-Long: one\r\n  two\r\nX-Next: three\r\n", "")
end

function paths.garbage(connection)
  connection.write("this is not HTTP\r\n\r\n")
  connection.close()
end

function paths.close(connection)
  connection.close()
end

--- Answers and then closes without having said so: the next request meets a dead connection.
function paths.stale(connection)
  respond(connection, "200 OK", "", "and gone")
  connection.close()
end

--- Closes a connection that already served, answers on a fresh one.
function paths.fresh(connection)
  if connection.served > 1 then
    connection.close()
  else
    respond(connection, "200 OK", "", "fresh")
  end
end

--- So many lines, one each ms milliseconds; then ends, is cut, or falls silent.
function paths.stream(connection, _, query)
  local left = tonumber(query.lines)
  connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  every(connection, tonumber(query.ms or 10), function()
    if left > 0 then
      left = left - 1
      connection.write("5\r\nline\n\r\n")
      return
    elseif query["end"] == "cut" then
      connection.write("5\r\nli")
      connection.close()
    elseif query["end"] == "clean" then
      connection.write("0\r\n\r\n")
    end
    return false
  end)
end

--- 200 for "Bearer <good>", else 401.
function paths.token(connection, request, query)
  local good = request.head:find("\r\nAuthorization: Bearer " .. query.good .. "\r\n", 1, true)
  respond(connection, good and "200 OK" or "401 Unauthorized", "", good and "welcome\n" or "who are you")
end

local function serve(connection, request)
  count.requests = count.requests + 1
  local name, text = request.head:match("^%u+ [^?%s]*/([^/?%s]+)%??(%S*) HTTP/1")
  local query = {}
  for key, value in (text or ""):gmatch("([^&=]+)=([^&]*)") do
    query[key] = value
  end
  request.host = request.head:match("\r\nHost: ([^\r]*)")
  connection.served = connection.served + 1
  local path = paths[name]
  if path then
    path(connection, request, query)
  else
    respond(connection, "404 Not Found", "", "")
  end
  if name ~= "last" then
    count.last = request.head .. request.body
  end
end

local function accept(server)
  local socket = uv.new_tcp()
  server:accept(socket)
  count.connections = count.connections + 1
  local connection = { served = 0 }
  function connection.write(bytes)
    if not connection.closed then
      socket:write(bytes)
    end
  end
  function connection.close()
    if not connection.closed then
      connection.closed = true
      socket:shutdown(function()
        socket:close()
      end)
    end
  end
  local pending = ""
  socket:read_start(function(_, bytes)
    if not bytes then
      return connection.close()
    end
    pending = pending .. bytes
    if pending:sub(1, 1) == "\22" then -- TLS
      connection.write("HTTP/1.1 400 Bad Request\r\n\r\n")
      return connection.close()
    end
    while true do
      local head, rest = pending:match("^(.-\r\n\r\n)(.*)$")
      local length = head and tonumber(head:lower():match("\r\ncontent%-length: (%d+)")) or 0
      if not head or #rest < length then
        return
      end
      pending = rest:sub(length + 1)
      serve(connection, { head = head, body = rest:sub(1, length) })
    end
  end)
end

local broken_pipe = uv.new_signal() -- clients that leave early are a matter of course
broken_pipe:start("sigpipe", function() end)

local server = uv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(128, function()
  accept(server)
end)
print(server:getsockname().port)
io.stdout:flush()
uv.run()
