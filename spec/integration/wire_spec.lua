--- HTTP/1.1 byte by byte: what is ambiguous is refused before any script sees it, and the connection is closed.
local cjson = require "cjson"
local rawsocket = require "rawsocket"
local socket = require "socket"
local stage = require "stage"

--- Tells what reached the scripts.
local ECHO <const> = [[
local json = require "json"
return function(request)
  return { status = 200, body = json.encode {
    method = request.method, path = request.path, query = request.query, body = request.body,
    odd = request:header "X-Odd",
  } }
end
]]

local HOST <const> = "Host: service\r\n"
local SMUGGLED <const> = "GET /smuggled HTTP/1.1\r\nHost: service\r\n\r\n"

local function lines(count, line)
  local out = {}
  for i = 1, count do
    out[i] = line:format(i, i) .. "\r\n"
  end
  return table.concat(out)
end

--- name, the request's head and body as sent, the status that refuses it (or several)
local REFUSED <const> = {
  { "65 headers", "GET / HTTP/1.1\r\n" .. HOST .. lines(64, "X-%d: %d") .. "\r\n", 431 },
  { "200 headers", "GET / HTTP/1.1\r\n" .. HOST .. lines(199, "X-%d: %d") .. "\r\n", 431 },
  { "a Content-Length behind 64 headers", "POST / HTTP/1.1\r\n" .. HOST .. lines(63, "X-%d: %d")
    .. ("Content-Length: %d\r\n\r\n"):format(#SMUGGLED), 431 },
  { "a header of 20 KB", "GET / HTTP/1.1\r\n" .. HOST .. "X: " .. ("x"):rep(20000) .. "\r\n\r\n", { 400, 431 } },
  { "a path of 100 KB", "GET /" .. ("x"):rep(100000) .. " HTTP/1.1\r\n" .. HOST .. "\r\n", { 400, 414, 431 } },
  { "a query of 100 KB", "GET /?" .. ("x"):rep(100000) .. " HTTP/1.1\r\n" .. HOST .. "\r\n", { 400, 414, 431 } },
  { "a path of 10 KB", "GET /" .. ("x"):rep(10000) .. " HTTP/1.1\r\n" .. HOST .. "\r\n", 414 },

  { "a folded line", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\r\n b\r\n\r\n", 400 },
  { "a line folded by a tab", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\r\n\tb\r\n\r\n", 400 },
  { "a folded first line", "GET / HTTP/1.1\r\n " .. HOST .. "\r\n", 400 },
  { "a Content-Length behind a folded line", "POST / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\r\n b\r\n"
    .. ("Content-Length: %d\r\n\r\n"):format(#SMUGGLED), 400 },
  { "a folded Content-Length", "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length:\r\n 5\r\n\r\n", 400 },

  { "a name that begins above ASCII", "GET / HTTP/1.1\r\n" .. HOST .. "\x80X: a\r\n\r\n", 400 },
  { "a Content-Length behind such a name", "POST / HTTP/1.1\r\n" .. HOST .. "\xe9: a\r\n"
    .. ("Content-Length: %d\r\n\r\n"):format(#SMUGGLED), 400 },
  { "a byte above ASCII in a name", "GET / HTTP/1.1\r\n" .. HOST .. "X\xc3\xa9: a\r\n\r\n", 400 },
  { "DEL in a name", "GET / HTTP/1.1\r\n" .. HOST .. "X\127Y: a\r\n\r\n", 400 },
  { "a tab in a name", "GET / HTTP/1.1\r\n" .. HOST .. "X\tY: a\r\n\r\n", 400 },
  { "brackets in a name", "GET / HTTP/1.1\r\n" .. HOST .. "Content-Length(x): 5\r\n\r\n", 400 },
  { "an empty name", "GET / HTTP/1.1\r\n" .. HOST .. ": a\r\n\r\n", 400 },
  { "a line without a colon", "GET / HTTP/1.1\r\n" .. HOST .. "Content-Length\r\n\r\n", 400 },
  { "a space before the colon", "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length : 5\r\n\r\n", 400 },
  { "a tab before the colon", "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length\t: 5\r\n\r\n", 400 },
  { "a space in a name", "POST / HTTP/1.1\r\n" .. HOST .. "Content Length: 5\r\n\r\n", 400 },
  { "NUL in a value", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\0b\r\n\r\n", 400 },
  { "NUL in a name", "GET / HTTP/1.1\r\n" .. HOST .. "X\0: a\r\n\r\n", 400 },
  { "a bare CR in a value", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\rX: b\r\n\r\n", 400 },
  { "a bare CR before a name", "GET / HTTP/1.1\r\n" .. HOST .. "\rX-Odd: a\r\n\r\n", 400 },
  { "two CR", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\r\r\n\r\n", 400 },
  { "a bare LF behind a value", "GET / HTTP/1.1\r\n" .. HOST .. "X-Odd: a\nX: b\r\n\r\n", 400 },
  { "a bare LF behind the request line", "GET / HTTP/1.1\n" .. HOST .. "\r\n", 400 },
  { "bare LFs alone", "GET / HTTP/1.1\nHost: service\n\n", 400 },
  { "bare LFs, and what CR LF leaves behind them", "GET / HTTP/1.1\r\nHost: service\n\n\r\0", 400 },
  { "a blank line of bare LF", "GET / HTTP/1.1\r\n" .. HOST .. "\n" .. SMUGGLED, 400 },
  { "a blank line before the headers", "GET / HTTP/1.1\r\n\r\n" .. HOST .. "\r\n", 400 },

  { "two Content-Length", "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    400 },
  { "two different Content-Length", "POST / HTTP/1.1\r\n" .. HOST
    .. ("Content-Length: %d\r\nContent-Length: 0\r\n\r\n"):format(#SMUGGLED), 400 },
  { "a list of Content-Length", "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length: 5, 5\r\n\r\nhello", 400 },
  { "Transfer-Encoding with Content-Length", "POST / HTTP/1.1\r\n" .. HOST
    .. "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400 },
  { "Content-Length with Transfer-Encoding", "POST / HTTP/1.1\r\n" .. HOST
    .. "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
  { "a chunked body", "POST / HTTP/1.1\r\n" .. HOST .. "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    411 },
  { "an encoding that is spelled oddly", "POST / HTTP/1.1\r\n" .. HOST .. "transfer-encoding:\txchunked\r\n\r\n",
    { 400, 411 } },
  { "several encodings", "POST / HTTP/1.1\r\n" .. HOST .. "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    { 400, 411 } },
  { "an empty encoding", "POST / HTTP/1.1\r\n" .. HOST .. "Transfer-Encoding:\r\n\r\n", { 400, 411 } },
  { "an encoding under HTTP/1.0", "POST / HTTP/1.0\r\n" .. HOST .. "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411 },

  { "no headers", "GET / HTTP/1.1\r\n\r\n", 400 },
  { "no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400 },
  { "two Hosts", "GET / HTTP/1.1\r\n" .. HOST .. HOST .. "\r\n", 400 },
  { "two different Hosts", "GET / HTTP/1.1\r\n" .. HOST .. "hOST: other\r\n\r\n", 400 },
  { "an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400 },
  { "a Host with a path", "GET / HTTP/1.1\r\nHost: service/x\r\n\r\n", 400 },
  { "a Host with a user", "GET / HTTP/1.1\r\nHost: a@service\r\n\r\n", 400 },
  { "a list of Hosts", "GET / HTTP/1.1\r\nHost: service, other\r\n\r\n", 400 },

  { "NUL in a path", "GET /raycluster/list%00.txt HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "CR and LF in a path", "GET /a%0d%0aSet-Cookie:%20x HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an encoded slash", "GET /raycluster%2flist HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a broken escape", "GET /%zz HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an escape that is cut", "GET /% HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "bytes above ASCII in a path", "GET /\xc3\xa9 HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a fragment", "GET /a#b HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },

  { "an absolute target", "GET http://service/raycluster/list HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an absolute target of another scheme", "GET ftp://service/ HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an asterisk", "OPTIONS * HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an asterisk to GET", "GET * HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "an authority", "CONNECT service:443 HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a relative target", "GET raycluster/list HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "no target", "GET HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "no version", "GET /\r\n" .. HOST .. "\r\n", 400 },
  { "two spaces", "GET  / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "two spaces before the version", "GET /  HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a tab in the request line", "GET\t/ HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a space in the target", "GET /a b HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a blank behind the version", "GET / HTTP/1.1 \r\n" .. HOST .. "\r\n", 400 },
  { "a method in lower case", "get / HTTP/1.1\r\n" .. HOST .. "\r\n", { 400, 501 } },
  { "a method that nobody knows", "BREW / HTTP/1.1\r\n" .. HOST .. "\r\n", { 400, 501 } },
  { "another version", "GET / HTTP/3.0\r\n" .. HOST .. "\r\n", { 400, 505 } },
  { "a version that is none", "GET / HTTP/1.1x\r\n" .. HOST .. "\r\n", { 400, 505 } },
  { "HTTP/2 from the start", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", { 400, 505 } },
  { "another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n", 400 },
  { "TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" .. ("\x42"):rep(154), 400 },

  { "a blank line in front", "\r\n\r\nGET / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "bare line feeds in front", "\n\nGET / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },
  { "a request line that ends in CR CR", "GET / HTTP/1.1\r\r" .. HOST .. "\r\n", 400 },
  { "a request line that ends in LF and a blank", "POST / HTTP/1.1\n Content-Length: 5\r\n" .. HOST .. "\r\n", 400 },
  { "a request line that ends in CR and a blank", "GET / HTTP/1.1\r " .. HOST .. "\r\n", 400 },
  { "a request line that ends in LF CR", "GET / HTTP/1.0\n\r" .. HOST .. "\r\n", 400 },
  { "blanks in front", "   GET / HTTP/1.1\r\n" .. HOST .. "\r\n", 400 },

  { "an expectation that nobody can meet", "POST / HTTP/1.1\r\n" .. HOST
    .. "Expect: coffee\r\nContent-Length: 5\r\n\r\n",
    417 },
}

for _, value in ipairs { "+5", "-5", "5abc", "0x5", "5.0", "", "5 5", "9999999999999999999", "18446744073709551621",
  "4294967301a" } do
  table.insert(REFUSED, { ("Content-Length: %q"):format(value),
    "POST / HTTP/1.1\r\n" .. HOST .. "Content-Length: " .. value .. "\r\n\r\nhello", 400 })
end

describe("the wire:", function()
  local here, port

  setup(function()
    here = stage.open { SCRIPTS_DIR = { ["app.lua"] = ECHO }, REQUEST_TIMEOUT_SECONDS = 1 }
    port = here.service.port
  end)

  teardown(function()
    here:close()
  end)

  --- Sends the bytes and returns all that comes back, how it ended, and how long that took.
  local function exchange(bytes, timeout_s)
    local connection = rawsocket.connect(port)
    local started = socket.gettime()
    connection:send(bytes)
    local answer, why = connection:rest(timeout_s or 5)
    connection:close()
    return answer, why, socket.gettime() - started
  end

  local function answers_in(text)
    return select(2, text:gsub("HTTP/1%.1 %d%d%d ", ""))
  end

  local function assert_one_of(statuses, status)
    statuses = type(statuses) == "table" and statuses or { statuses }
    for _, candidate in ipairs(statuses) do
      if candidate == status then return end
    end
    assert.equal(statuses[1], status)
  end

  for _, case in ipairs(REFUSED) do
    local name, bytes, status = table.unpack(case)
    it(("refuses %s, and nothing behind it is read"):format(name), function()
      local answer, why = exchange(bytes .. SMUGGLED .. SMUGGLED)
      assert.equal("closed", why, answer)
      assert_one_of(status, tonumber(answer:match "^HTTP/1%.1 (%d%d%d) "))
      assert.equal(1, answers_in(answer), answer)
      assert.is_nil(answer:find("smuggled", 1, true))
      assert.is_truthy(answer:lower():find("\r\nconnection: close\r\n", 1, true), answer)
      assert.is_truthy(answer:find("\r\nCache-Control: no-store\r\n", 1, true), answer)
      local problem = cjson.decode(answer:match "\r\n\r\n(.*)$")
      assert.equal(tonumber(answer:match "^HTTP/1%.1 (%d%d%d) "), problem.status)
      assert.is_string(problem.error)
      assert.equal(problem.requestId, answer:match "\r\nX%-Request%-Id: (%S+)\r\n")
    end)
  end

  local function assert_echo(expected, response, why)
    assert(response, why)
    assert.equal(200, response.status, response.body)
    assert.same(expected, cjson.decode(response.body))
  end

  it("passes on what is plain", function()
    for target, path in pairs {
      ["/"] = "/", ["/a%20b%2B+"] = "/a b++", ["/%7Ea//./.."] = "/~a//./..", ["/%C3%A9"] = "/\u{e9}",
    } do
      local connection = rawsocket.connect(port)
      connection:send("GET " .. target .. "?q=%00&r= HTTP/1.1\r\nhOST:service:80\r\nX-Odd:   a b  \r\n\r\n")
      local response, why = connection:response()
      assert_echo({ method = "GET", path = path, query = "q=%00&r=", body = "", odd = "a b  " }, response, why)
      connection:close()
    end
  end)

  it("takes 63 headers", function()
    local connection = rawsocket.connect(port)
    connection:send("GET / HTTP/1.1\r\n" .. HOST .. lines(61, "X-%d: %d") .. "X-Odd: last\r\n\r\n")
    assert_echo({ method = "GET", path = "/", query = "", body = "", odd = "last" }, connection:response())
    connection:close()
  end)

  it("serves one request after the other on a connection, also when they come at once", function()
    local connection = rawsocket.connect(port)
    local function post(body)
      return ("POST /%s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s"):format(#body, HOST, #body, body)
    end
    for _, body in ipairs { "", "hello", SMUGGLED, ("x"):rep(65536) } do
      connection:send(post(body))
      local response, why = connection:response()
      assert_echo({ method = "POST", path = "/" .. #body, query = "", body = body }, response, why)
      assert.equal("keep-alive", response.headers.connection)
    end
    connection:send(post "one" .. post(SMUGGLED)
      .. "GET /3 HTTP/1.1\r\n" .. HOST .. "Connection: close\r\n\r\n" .. SMUGGLED)
    assert_echo({ method = "POST", path = "/3", query = "", body = "one" }, connection:response())
    assert_echo({ method = "POST", path = "/" .. #SMUGGLED, query = "", body = SMUGGLED }, connection:response())
    assert_echo({ method = "GET", path = "/3", query = "", body = "" }, connection:response())
    assert.same({ "", "closed" }, { connection:rest(5) })
    connection:close()
  end)

  it("never reads a head as the body, and then the body as a request", function()
    local head = "POST /x HTTP/1.1\r\nHost: service\r\nContent-Length: %d\r\n\r\n"
    local length = #head:format(10)
    local hidden = "GET /smuggled HTTP/1.1\r\nHost: s\r\nX: "
    hidden = hidden .. ("x"):rep(length - #hidden - 4) .. "\r\n\r\n"
    assert.equal(length, #hidden)
    for _, before in ipairs { "\r\n\r\n", "\n\n", "\r\n\r\n\r\n\r\n", "\r\n \r\n\r\n" } do
      local answer, why = exchange(before .. head:format(length) .. hidden .. hidden)
      assert.equal("closed", why, answer)
      assert.equal("400", answer:match "^HTTP/1%.1 (%d%d%d) ")
      assert.equal(1, answers_in(answer), answer)
    end
  end)

  it("sees an odd line end that comes in two parts, or behind another request", function()
    local good, odd = "GET /x HTTP/1.1\r\n" .. HOST .. "\r\n", "GET /y HTTP/1.1\r\r" .. HOST .. "\r\n"
    for cut = #"GET /y HTTP/1", #"GET /y HTTP/1.1\r\r" do
      local connection = rawsocket.connect(port)
      connection:send(good)
      assert.equal(200, connection:response().status)
      connection:send(odd:sub(1, cut))
      socket.sleep(0.05)
      connection:send(odd:sub(cut + 1) .. SMUGGLED)
      local answer, why = connection:rest(5)
      assert.equal("closed", why)
      assert.equal("400", answer:match "^HTTP/1%.1 (%d%d%d) ")
      assert.equal(1, answers_in(answer), answer)
      connection:close()
    end
    local answer = exchange(good .. good:gsub("\r\n", "\r\r", 1) .. SMUGGLED)
    assert.is_nil(answer:find("smuggled", 1, true))
    assert.is_truthy(answer:find "HTTP/1%.1 400 ")
    -- The next connection of the same thread knows nothing of it.
    local connection = rawsocket.connect(port)
    connection:send(good)
    assert.equal(200, connection:response().status)
    connection:close()
  end)

  it("overlooks one line end in front of a request, which old clients send behind a body", function()
    local connection = rawsocket.connect(port)
    for _ = 1, 2 do
      connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 5\r\n\r\nhello\r\n")
      assert_echo({ method = "POST", path = "/x", query = "", body = "hello" }, connection:response())
    end
    connection:close()
  end)

  it("takes a body for a body, with any method", function()
    for _, method in ipairs { "GET", "DELETE", "OPTIONS" } do
      local connection = rawsocket.connect(port)
      connection:send(("%s /x HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s"):format(method, HOST, #SMUGGLED, SMUGGLED))
      assert_echo({ method = method, path = "/x", query = "", body = SMUGGLED }, connection:response(method))
      connection:send "GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
      assert_echo({ method = "GET", path = "/next", query = "", body = "" }, connection:response())
      connection:close()
    end
  end)

  it("answers HEAD without a body, so that the next answer stands where it should", function()
    local connection = rawsocket.connect(port)
    connection:send("HEAD /x HTTP/1.1\r\n" .. HOST .. "\r\nGET /next HTTP/1.1\r\n" .. HOST .. "\r\n")
    local response = assert(connection:response "HEAD")
    assert(tonumber(response.headers["content-length"]) > 0)
    assert_echo({ method = "GET", path = "/next", query = "", body = "" }, connection:response())
    connection:close()
  end)

  it("closes behind HTTP/1.0 and behind Connection: close", function()
    for _, head in ipairs {
      "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, close\r\n\r\n",
    } do
      local answer, why = exchange(head .. SMUGGLED)
      assert.equal("closed", why)
      assert.equal(1, answers_in(answer))
    end
  end)

  it("talks no WebSocket and no HTTP/2", function()
    for _, upgrade in ipairs { "websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
      "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__" } do
      local connection = rawsocket.connect(port)
      connection:send("GET /x HTTP/1.1\r\n" .. HOST .. "Connection: Upgrade\r\nUpgrade: " .. upgrade .. "\r\n\r\n")
      assert_echo({ method = "GET", path = "/x", query = "", body = "" }, connection:response())
      connection:close()
    end
  end)

  it("asks for the body when that is expected", function()
    local connection = rawsocket.connect(port)
    connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert.equal(100, assert(connection:response()).status)
    connection:send "hello"
    assert_echo({ method = "POST", path = "/x", query = "", body = "hello" }, connection:response())
    connection:close()
  end)

  it("answers a caller that has closed its half", function()
    local connection = rawsocket.connect(port)
    connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 5\r\n\r\nhello")
    connection:shutdown()
    assert_echo({ method = "POST", path = "/x", query = "", body = "hello" }, connection:response())
    connection:close()
  end)

  it("gives up on a body that is cut", function()
    local connection = rawsocket.connect(port)
    connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 6\r\n\r\nhello")
    connection:shutdown()
    local answer, why = connection:rest(5)
    assert.equal("closed", why)
    assert.is_nil(answer:find("HTTP/1.1 200", 1, true))
    connection:close()
  end)

  it("ends a body that comes too slowly, and one that does not come, with the request's deadline", function()
    for _, pause in ipairs { 0.2, 10 } do
      local connection = rawsocket.connect(port)
      local started = socket.gettime()
      connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 1000\r\n\r\n")
      local response
      repeat
        if not connection:send "x" then break end
        response = connection:response("POST", pause)
      until response or socket.gettime() - started > 8
      local took = socket.gettime() - started
      assert(response, "no answer")
      assert.equal(408, response.status)
      assert.equal("close", response.headers.connection)
      assert(took >= 0.9 and took < 3, ("it took %.1f s"):format(took))
      connection:close()
    end
  end)

  it("ends a body that stops behind its beginning also where an earlier request was answered", function()
    local connection = rawsocket.connect(port)
    connection:send("GET /x HTTP/1.1\r\n" .. HOST .. "\r\n")
    assert.equal(200, connection:response().status)
    local started = socket.gettime()
    connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 1000\r\n\r\nhello")
    assert.equal(408, assert(connection:response "POST").status)
    local took = socket.gettime() - started
    assert(took >= 0.9 and took < 3, ("it took %.1f s"):format(took))
    connection:close()
  end)

  it("refuses a body that is too large at once, also when it comes", function()
    local answer, why, took = exchange("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 65537\r\n\r\n"
      .. ("x"):rep(65537) .. SMUGGLED)
    assert.equal("closed", why)
    assert.equal("413", answer:match "^HTTP/1%.1 (%d%d%d) ")
    assert.equal(1, answers_in(answer))
    assert(took < 3, took)
  end)

  it("lets a caller that sends all of a large body first have the answer", function()
    local connection = rawsocket.connect(port)
    assert(connection:send("POST /x HTTP/1.1\r\n" .. HOST .. "Content-Length: 900000\r\n\r\n" .. ("x"):rep(900000)))
    assert.equal(413, assert(connection:response "POST").status)
    assert.same({ "", "closed" }, { connection:rest(5) })
    connection:close()
  end)
end)
