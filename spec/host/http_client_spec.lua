local http_client = require "native.http_client"
local processes = require "processes"

describe("host/http_client", function()
  local origin, base, client

  setup(function()
    origin = processes.start({ "lua5.4", "spec/support/origin.lua" }, { line = true })
    base = "http://127.0.0.1:" .. origin.line
  end)

  teardown(function()
    origin.stop()
  end)

  before_each(function()
    client = http_client.new()
  end)

  after_each(function()
    client = nil
    collectgarbage()
  end)

  local function call(path, exchange)
    exchange = exchange or {}
    exchange.url = exchange.url or base .. path
    return client:perform({ exchange })[1]
  end

  local function timed(run)
    local started = http_client.now_ms()
    local result = run()
    return result, http_client.now_ms() - started
  end

  local function statistics()
    local connections, requests = http_client.new():perform({ { url = base .. "/stats" } })[1].body:match(
      "connections=(%d+) requests=(%d+)")
    return { connections = tonumber(connections), requests = tonumber(requests) }
  end

  describe("a request", function()
    it("goes out as it was asked for, and nothing beside it", function()
      local result = call("/echo?a=b%20c&d", { method = "PATCH", body = '{"a":1}', headers = {
        { "Content-Type", "application/merge-patch+json" }, { "X-Empty", "" } } })
      assert.equal("ok", result.failure)
      assert.equal(200, result.status)
      assert.equal(("PATCH /echo?a=b%%20c&d HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nUser-Agent: rayclusterscaler/1.0.0\r\n" ..
        "Accept: */*\r\nContent-Type: application/merge-patch+json\r\nX-Empty:\r\nContent-Length: 7\r\n\r\n" ..
        '{"a":1}'):format(origin.line), result.body)
      assert.is_true(result.sent)
    end)

    it("has no body and no Content-Type of its own making", function()
      for _, method in ipairs { "GET", "DELETE" } do
        local body = call("/echo", { method = method }).body
        assert.truthy(body:find("^" .. method .. " /echo HTTP/1.1\r\n"))
        assert.falsy(body:find("Content-", 1, true))
        assert.falsy(body:find("Encoding", 1, true))
      end
      local body = call("/echo", { method = "POST" }).body
      assert.truthy(body:find("\r\nContent-Length: 0\r\n", 1, true))
      assert.falsy(body:find("Content-Type", 1, true))
    end)

    it("asks for nobody's leave to send a large body", function()
      local result = call("/echo", { method = "POST", body = ("x"):rep(2 * 1024 * 1024), max_bytes = 4 * 1024 * 1024 })
      assert.equal(200, result.status)
      assert.falsy(result.body:sub(1, 500):find("Expect", 1, true))
    end)

    it("answers HEAD without a body, whatever is announced", function()
      local result = call("/status?code=200", { method = "HEAD", max_bytes = 3 })
      assert.equal(200, result.status)
      assert.equal("", result.body)
    end)

    it("keeps dots of a path as they are", function()
      assert.truthy(call("/a/../echo").body:find("^GET /a/../echo "))
    end)

    it("carries the request's id and trace, and counts itself", function()
      local trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      local result = call("/echo", { request_id = "id-1", traceparent = trace })
      assert.truthy(result.body:find("\r\nX-Request-Id: id-1\r\ntraceparent: " .. trace .. "\r\n", 1, true))
      assert.equal(1, result.upstream_calls)
      assert.is_true(result.upstream_us > 0)
    end)

    it("is refused before it is sent when it is not one", function()
      local function refused(exchange, why)
        local before = statistics().requests
        local result = call("/echo", exchange)
        assert.equal("protocol", result.failure)
        assert.equal("the request was not sent: " .. why, result.message)
        assert.is_false(result.sent)
        assert.equal(0, result.upstream_calls)
        assert.equal(before + 1, statistics().requests)
      end
      refused({ url = "http://user:password@127.0.0.1:" .. origin.line }, "the URL holds credentials")
      refused({ url = "http://user@127.0.0.1:" .. origin.line }, "the URL holds credentials")
      refused({ url = "ftp://127.0.0.1/" }, "the URL is neither http nor https")
      refused({ url = "file:///etc/passwd" }, "the URL is neither http nor https")
      refused({ url = "/echo" }, "the URL is malformed")
      refused({ url = base .. "/a b" }, "the URL is malformed")
      refused({ url = base .. "/a\r\nX: y" }, "the URL is malformed")
      refused({ method = "GET /x" }, "the method is no token")
      refused({ method = "CONNECT" }, "the method is not allowed")
      refused({ headers = { { "X", "secret\r\nY: z" } } }, "a header's value holds control bytes")
      refused({ headers = { { "X:", "secret" } } }, "a header's name is no token")
      refused({ headers = { { "content-length", "3" } } }, "a header about framing or the connection was given")
      refused({ headers = { { "Transfer-Encoding", "chunked" } } },
        "a header about framing or the connection was given")
    end)
  end)

  describe("an answer", function()
    it("has its header lines in lower case, in order", function()
      assert.equal("content-type: text/plain\nx-twice: a\nx-twice: b\nx-empty: \n",
        (call("/echo").header_lines:gsub("content%-length: %d+\n", "")))
      assert.equal("x-long: one two\nx-next: three\ncontent-length: 0\n", call("/folded").header_lines)
      assert.equal("transfer-encoding: chunked\n", call("/trailers").header_lines)
    end)

    it("is any status there is", function()
      for _, code in ipairs { 200, 201, 404, 500, 503 } do
        local result = call("/status?code=" .. code)
        assert.equal(code, result.status)
        assert.equal("ok", result.failure)
        assert.equal("body of " .. code, result.body)
      end
    end)

    it("may follow interim ones", function()
      local result = call("/interim")
      assert.equal(200, result.status)
      assert.equal("final", result.body)
      assert.equal("x-final: yes\ncontent-length: 5\n", result.header_lines)
    end)

    it("is not followed to another place", function()
      local before = statistics().requests
      local result = call("/redirect")
      assert.equal(302, result.status)
      assert.truthy(result.header_lines:find("location: http://127.0.0.1:", 1, true))
      assert.equal(before + 2, statistics().requests)
    end)

    it("may be as large as allowed and no byte more", function()
      local result = call("/big?bytes=3000000", { max_bytes = 3000000 })
      assert.equal("ok", result.failure)
      assert.equal(3000000, #result.body)
      result = call("/big?bytes=3000000", { max_bytes = 2999999 })
      assert.equal("too_large", result.failure)
      assert.equal(base .. ": the answer is too large", result.message)
      assert.is_nil(result.body)
      assert.is_true(result.sent)
      assert.equal("too_large", call("/endless", { max_bytes = 1000000 }).failure)
      assert.equal("too_large", call("/announce?bytes=99999999999").failure, "before the bytes come")
    end)

    it("has bounded headers", function()
      assert.equal("too_large", call("/headers").failure)
      assert.equal("too_large", call("/hints").failure)
    end)

    it("that is not HTTP, or ends early, is a protocol failure", function()
      for path, message in pairs {
        garbage = "Received HTTP/0.9 when not allowed",
        short = "transfer closed with 91 bytes remaining to read",
        badlength = "Invalid Content-Length: value",
        badchunk = "Illegal or missing hexadecimal sequence in chunked-encoding",
      } do
        local result = call("/" .. path)
        assert.equal("protocol", result.failure, path)
        assert.equal(base .. ": the answer is not HTTP or ended early: " .. message, result.message)
        assert.is_nil(result.body)
        assert.is_true(result.sent)
      end
      assert.equal("protocol", call("/switch").failure)
    end)

    it("with more bytes than it announced ends where it said, and its connection is not used again", function()
      assert.equal("hello", call("/long").body)
      assert.equal("body of 200", call("/status?code=200").body)
    end)
  end)

  describe("time", function()
    it("ends a call at its deadline, whatever the peer does meanwhile", function()
      for _, path in ipairs { "/never", "/drip", "/endless", "/delay?ms=5000" } do
        local result, took = timed(function()
          return call(path, { timeout_ms = 150, max_bytes = 1 << 40 })
        end)
        assert.equal("timeout", result.failure, path)
        assert.truthy(result.message:find(base .. ": no complete answer in time", 1, true))
        assert.is_true(result.sent)
        assert.is_true(took >= 145 and took < 400, path .. " took " .. took)
      end
    end)

    it("ends at the earlier deadline of the call and its request", function()
      local result, took = timed(function()
        return call("/never", { timeout_ms = 5000, context_timeout_ms = 100 })
      end)
      assert.equal("timeout", result.failure)
      assert.is_true(took < 350)
      result, took = timed(function()
        return call("/never", { timeout_ms = 100, context_timeout_ms = 5000 })
      end)
      assert.equal("timeout", result.failure)
      assert.is_true(took < 350)
      assert.equal("timeout", call("/never", { timeout_ms = 0, context_timeout_ms = 100 }).failure)
    end)

    it("that is over lets nothing be sent", function()
      local before = statistics().requests
      local result = call("/echo", { timeout_ms = -1 })
      assert.equal("timeout", result.failure)
      assert.is_false(result.sent)
      assert.equal(before + 1, statistics().requests)
    end)
  end)

  describe("a connection", function()
    it("that cannot be made says so and that nothing was sent", function()
      local port = processes.free_port()
      local result = call("", { url = ("http://127.0.0.1:%d/path?query=secret"):format(port),
        headers = { { "Authorization", "Bearer secret" } } })
      assert.equal("connect", result.failure)
      assert.is_false(result.sent)
      assert.truthy(result.message:find("^http://127.0.0.1:" .. port .. ": cannot connect: "))
      assert.falsy(result.message:find("secret", 1, true))
      assert.falsy(result.message:find("path", 1, true))
      result = call("", { url = "http://name.invalid/" })
      assert.equal("connect", result.failure)
      assert.is_false(result.sent)
    end)

    it("that is lost before an answer says that the request may have arrived", function()
      local result = call("/close")
      assert.equal("connect", result.failure)
      assert.is_true(result.sent)
      assert.truthy(result.message:find("the connection was lost before an answer began", 1, true))
    end)

    it("is used again", function()
      local before = statistics()
      for _ = 1, 10 do
        assert.equal(200, call("/status?code=200").status)
      end
      local after = statistics()
      assert.equal(before.requests + 11, after.requests)
      assert.equal(before.connections + 2, after.connections)
    end)

    it("is used again after an answer of any status, not after a failed one", function()
      call("/status?code=500")
      local before = statistics().connections
      call("/status?code=404")
      assert.equal(before + 1, statistics().connections)
      call("/never", { timeout_ms = 50 })
      call("/status?code=200")
      assert.equal(before + 3, statistics().connections)
    end)

    it("that went stale is replaced without a word", function()
      for _ = 1, 5 do
        local result = call("/stale")
        assert.equal("ok", result.failure)
        assert.equal("and gone", result.body)
      end
      assert.equal("fresh", call("/fresh").body)
      assert.equal("fresh", call("/fresh").body, "closed under the request")
    end)

    it("goes to a proxy only when told to", function()
      local result = call("", { url = "http://name.invalid/echo", proxy = base })
      assert.truthy(result.body:find("^GET http://name.invalid/echo HTTP/1.1\r\n"))
    end)
  end)

  describe("several at once", function()
    it("take as long as the slowest", function()
      local exchanges = {}
      for i = 1, 32 do
        exchanges[i] = { url = base .. "/delay?ms=200" }
      end
      exchanges[33] = { url = base .. "/never", timeout_ms = 100 }
      exchanges[34] = { url = "nonsense" }
      exchanges[35] = { url = base .. "/status?code=404" }
      local results, took = timed(function()
        return client:perform(exchanges)
      end)
      assert.is_true(took >= 195 and took < 600, "took " .. took)
      for i = 1, 32 do
        assert.equal("late", results[i].body)
      end
      assert.equal("timeout", results[33].failure)
      assert.equal("protocol", results[34].failure)
      assert.equal(404, results[35].status)
    end)

    it("may be none", function()
      assert.same({}, client:perform({}))
    end)

    it("come from any number of threads, each with a connection of its own", function()
      local before = statistics().connections
      for _ = 1, 5 do
        for _, result in ipairs(client:threads({ url = base .. "/delay?ms=20" }, 16)) do
          assert.equal("late", result.body)
        end
      end
      assert.is_true(statistics().connections - before <= 17)
    end)
  end)

  describe("a stream", function()
    local function stream(path, options, exchange)
      exchange = exchange or { timeout_ms = 0 }
      exchange.url = base .. path
      return client:stream(exchange, options or {})
    end

    it("hands on what comes until the peer ends it", function()
      local result = stream("/stream?lines=5&end=clean")
      assert.equal("ok", result.failure)
      assert.equal(200, result.status)
      assert.equal(("line\n"):rep(5), result.streamed)
      assert.equal("", result.body)
    end)

    it("is not bounded in size", function()
      local result = stream("/big?bytes=3000000", {}, { timeout_ms = 0, max_bytes = 10 })
      assert.equal(3000000, #result.streamed)
    end)

    it("tells when it was cut", function()
      local result = stream("/stream?lines=2&end=cut")
      assert.equal("protocol", result.failure)
      assert.equal("line\nline\nli", result.streamed)
    end)

    it("keeps the body of a refusal apart", function()
      local result = stream("/status?code=410")
      assert.equal("ok", result.failure)
      assert.equal(410, result.status)
      assert.equal("", result.streamed)
      assert.equal("body of 410", result.body)
      assert.equal("too_large", stream("/status?code=410", {}, { timeout_ms = 0, max_bytes = 5 }).failure)
    end)

    it("ends when not a byte comes for too long", function()
      local result, took = timed(function()
        return stream("/stream?lines=10&ms=30&end=silent", { idle_timeout_ms = 250 })
      end)
      assert.equal("timeout", result.failure)
      assert.equal(base .. ": not a byte for 250 ms", result.message)
      assert.equal(("line\n"):rep(10), result.streamed)
      assert.is_true(took >= 500 and took < 1000, "took " .. took)
      assert.equal("timeout", stream("/never", { idle_timeout_ms = 100 }).failure)
    end)

    it("ends soon after it is cancelled", function()
      for _, path in ipairs { "/never", "/drip", "/stream?lines=100&ms=10&end=silent" } do
        local result, took = timed(function()
          return stream(path, { cancel_after_ms = 100 })
        end)
        assert.equal("cancelled", result.failure)
        assert.is_true(took < 450, path .. " took " .. took)
      end
    end)

    it("ends when the reader wants no more", function()
      local result = stream("/drip", { stop_after_bytes = 3 })
      assert.equal("ok", result.failure)
      assert.equal("...", result.streamed)
    end)

    it("ends at its deadline if it has one", function()
      assert.equal("timeout", stream("/drip", {}, { timeout_ms = 100 }).failure)
    end)
  end)
end)
