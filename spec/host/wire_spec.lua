local wire = require "native.wire"

--- A request's head from its lines.
local function head(...)
  return table.concat({ ... }, "\r\n") .. "\r\n\r\n"
end

local GET <const> = "GET /raycluster/list HTTP/1.1"
local HOST <const> = "Host: service"

local function assert_taken(length, text)
  local got, status, error = wire.check(text)
  assert.equal(length, got, ("%q was refused with %s %s"):format(text, status, error))
end

local function assert_refused(status, text)
  local length, got, error = wire.check(text)
  assert.is_nil(length, ("%q was taken"):format(text))
  assert.equal(status, got, text)
  assert.matches("^[a-z_]+$", error)
end

describe("host/wire: requests", function()
  it("are taken when they are plain", function()
    assert_taken(0, head(GET, HOST))
    assert_taken(0, head("GET /raycluster/list?limit=1 HTTP/1.1", HOST))
    assert_taken(0, head("GET /? HTTP/1.0", HOST))
    assert_taken(12, head("POST /x HTTP/1.1", HOST, "Content-Length: 12", "Accept: */*"))
    assert_taken(0, head(GET, "host:127.0.0.1:6000", "X-Empty:", "X-Blank:   ", "X-After: a", "Content-Length:\t0"))
    assert_taken(0, head(GET, "Host: [::1]:6000"))
  end)

  it("may have one line end in front, and nothing else", function()
    assert_taken(0, "\r\n" .. head(GET, HOST))
    for _, before in ipairs { "\r\n\r\n", "\n\n", "\n", "\r", " ", "\t", "\r\n ", " \r\n", "\r\n\r\n\r\n", "  " } do
      assert_refused(400, before .. head(GET, HOST))
    end
  end)

  it("are refused when their version ends its line oddly", function()
    for _, line_end in ipairs { "\r\r", "\r ", "\n ", "\n\r", "\n" } do
      assert_refused(400, "GET / HTTP/1.1" .. line_end .. "Content-Length: 5\r\nHost: a\r\n\r\n")
    end
    assert_taken(0, head("GET /HTTP/1.1 HTTP/1.1", HOST, "Via: HTTP/1.1"))
  end)

  it("are refused when headers were dropped on the way", function()
    assert_refused(400, head(GET, HOST, "X-Folded: a", "\tb", "Content-Length: 5"))
    assert_refused(400, head(GET, HOST, "X-Folded: a", " b"))
    assert_refused(400, head(GET, " " .. HOST))
    assert_refused(400, head(GET, "", HOST))
    assert_refused(400, head(GET, HOST, "\x80X: 1", "Content-Length: 5"))
    assert_refused(400, head(GET, HOST, "X\xe9Y: 1", "Content-Length: 5"))
    assert_refused(400, head(GET, HOST, "no colon", "Content-Length: 5"))
    assert_refused(400, head(GET, HOST, ": no name"))
  end)

  it("are refused when a header's name is none", function()
    for _, name in ipairs { "X(Y)", "X/Y", "X\"Y", "X@Y", "X,Y", "X;Y", "X=Y", "X[Y]", "X{Y}", "X<Y>", "X?Y" } do
      assert_refused(400, head(GET, HOST, name .. ": a"))
    end
    assert_taken(0, head(GET, HOST, "X!#$%&'*+-.^_`|~9: a"))
  end)

  it("are refused when a line is not what it seems", function()
    assert_refused(400, head(GET, HOST, "Content-Length : 5"))
    assert_refused(400, head(GET, HOST, "Content-Length: 5\nX: 1"))
    assert_refused(400, head(GET, HOST .. "\nContent-Length: 5"))
    assert_refused(400, head(GET, HOST, "X: a\rb", "Content-Length: 5"))
    assert_refused(400, head(GET, HOST, "X: a", "\rContent-Length: 5"))
  end)

  it("hold at most 63 headers, so that none can be lost", function()
    local lines = { GET, HOST }
    for i = 2, 63 do
      lines[#lines + 1] = ("X-%d: %d"):format(i, i)
    end
    assert_taken(0, head(table.unpack(lines)))
    lines[#lines + 1] = "X-64: 64"
    local sixty_four = wire.check(head(table.unpack(lines)))
    assert(sixty_four == 0 or sixty_four == nil)
    lines[#lines + 1] = "Content-Length: 5"
    assert_refused(431, head(table.unpack(lines)))
  end)

  it("name one host", function()
    assert_refused(400, head(GET))
    assert_refused(400, head(GET, "Accept: */*"))
    assert_refused(400, head(GET, HOST, HOST))
    assert_refused(400, head(GET, HOST, "hOST: other"))
    for _, value in ipairs { "", " ", "a b", "a,b", "a/b", "user@a", "a?b", "a#b" } do
      assert_refused(400, head(GET, "Host: " .. value))
    end
  end)

  it("say in one way how long their body is", function()
    for _, value in ipairs { "", "+3", "-3", "3abc", "0x3", "3 3", "3, 3", "3.0", "3;", "1e1", '"3"',
      "9999999999999999999", "18446744073709551619" } do
      assert_refused(400, head("POST /x HTTP/1.1", HOST, "Content-Length: " .. value))
    end
    assert_taken(3, head("POST /x HTTP/1.1", HOST, "Content-Length: 003"))
    assert_refused(400, head("POST /x HTTP/1.1", HOST, "Content-Length: 3", "Content-Length: 3"))
    assert_refused(400, head("POST /x HTTP/1.1", HOST, "Content-Length: 3", "content-length: 4"))
    assert_refused(400, head("POST /x HTTP/1.1", HOST, "Content-Length: 3", "Transfer-Encoding: chunked"))
    assert_refused(400, head("POST /x HTTP/1.1", HOST, "Transfer-Encoding: chunked", "Content-Length: 3"))
    assert_refused(411, head("POST /x HTTP/1.1", HOST, "Transfer-Encoding: chunked"))
    assert_refused(411, head("POST /x HTTP/1.1", HOST, "Transfer-Encoding: identity"))
    assert_refused(411, head(GET, HOST, "transfer-encoding:"))
  end)

  it("have a plain request line", function()
    for _, line in ipairs {
      "GET  /x HTTP/1.1", "GET /x  HTTP/1.1", "GET /a b HTTP/1.1", "GET http://service/x HTTP/1.1",
      "OPTIONS * HTTP/1.1", "CONNECT service:80 HTTP/1.1", "GET ?x HTTP/1.1", "GET x HTTP/1.1", "GET \\x HTTP/1.1",
    } do
      assert_refused(400, head(line, HOST))
    end
  end)
end)

describe("host/wire: paths", function()
  it("are decoded once", function()
    assert.equal("/raycluster/list", wire.decode_path "/raycluster/list")
    assert.equal("/a b/%2", wire.decode_path "/a%20b/%252")
    assert.equal("/\u{e9}", wire.decode_path "/%C3%a9")
    assert.equal("/a+b", wire.decode_path "/a+b")
    assert.equal("/..//./", wire.decode_path "/..//./")
  end)

  it("hold neither control bytes, nor NUL, nor a hidden slash", function()
    for _, target in ipairs { "/%00", "/a%00b", "/%0d%0aX:%20y", "/%0A", "/%1f", "/%7f", "/%09", "/a%2fb", "/a%2Fb",
      "/\xc3\xa9", "/#", "/a\tb" } do
      assert.is_nil(wire.decode_path(target), target)
    end
  end)

  it("hold no broken escape", function()
    for _, target in ipairs { "/%", "/%2", "/%g0", "/%0g", "/%%20", "/% 20", "/%u0041", "/%-1" } do
      assert.is_nil(wire.decode_path(target), target)
    end
  end)

  it("fit", function()
    assert.equal("/abc", wire.decode_path("/%61bc", 5))
    assert.is_nil(wire.decode_path("/%61bc", 4))
    assert.is_nil(wire.decode_path("/", 1))
  end)
end)

describe("host/wire: lists of options", function()
  it("are read without case and by whole words", function()
    assert.is_true(wire.has_option("close", "close"))
    assert.is_true(wire.has_option("Keep-Alive", "keep-alive"))
    assert.is_true(wire.has_option("upgrade,\tClose , x", "close"))
    for _, value in ipairs { "", "closed", "clos", "not-close", ",,", "close-x, xclose" } do
      assert.is_false(wire.has_option(value, "close"), value)
    end
  end)
end)

describe("host/wire: request ids", function()
  it("are kept when they are plain", function()
    for _, id in ipairs { "a", "3f2b8c1e-0d5a-4f7e-9a63-5a2f9d0c7b11", "A_b.c:d+e=/~@", ("x"):rep(128) } do
      assert.equal(id, wire.request_id(id))
    end
  end)

  it("are made when there is none or it could mislead", function()
    local seen = {}
    for _, id in ipairs { false, "", "a b", 'a"b', "a\tb", "a\\b", "{}", "\u{e9}", "a,b", "a;b", "<a>",
      ("x"):rep(129) } do
      local made = wire.request_id(id or nil)
      assert.matches("^" .. ("[0-9a-f]"):rep(32) .. "$", made)
      assert.is_nil(seen[made])
      seen[made] = true
    end
  end)
end)

describe("host/wire: trace context", function()
  local TRACE <const>, PARENT <const> = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

  it("goes on with the same trace and a span of our own", function()
    local given = "00-" .. TRACE .. "-" .. PARENT .. "-01"
    local trace, span, flags = wire.traceparent(given):match "^00%-(%x+)%-(%x+)%-(%x%x)$"
    assert.equal(TRACE, trace)
    assert.equal(16, #span)
    assert.not_equal(PARENT, span)
    assert.equal("01", flags)
    assert.not_equal(wire.traceparent(given), wire.traceparent(given))
  end)

  it("of a later version is carried as far as it is known", function()
    assert.matches("^00%-" .. TRACE, wire.traceparent("cc-" .. TRACE .. "-" .. PARENT .. "-00-what-else"))
    assert.equal("", wire.traceparent("cc-" .. TRACE .. "-" .. PARENT .. "-00what-else"))
  end)

  it("is dropped when it is malformed", function()
    for _, given in ipairs { "", "00", "00-" .. TRACE, "00-" .. TRACE .. "-" .. PARENT, "ff-" .. TRACE .. "-" .. PARENT
      .. "-01", "00-" .. ("0"):rep(32) .. "-" .. PARENT .. "-01", "00-" .. TRACE .. "-" .. ("0"):rep(16) .. "-01",
      "00-" .. TRACE:upper() .. "-" .. PARENT .. "-01", "00-" .. TRACE .. "-" .. PARENT .. "-01-x",
      "00-" .. TRACE .. "-" .. PARENT .. "-0g", "00_" .. TRACE .. "-" .. PARENT .. "-01",
      "0x-" .. TRACE .. "-" .. PARENT .. "-01" } do
      assert.equal("", wire.traceparent(given), given)
    end
    assert.equal("", wire.traceparent())
  end)

  describe("with a tracestate", function()
    local PARENT_HEADER <const> = { "Traceparent", "00-" .. TRACE .. "-" .. PARENT .. "-01" }

    local function state(...)
      local parent, passed = wire.trace { PARENT_HEADER, ... }
      assert.matches("^00%-" .. TRACE, parent)
      return passed
    end

    it("passes it on as it came", function()
      assert.equal("a=1, b=2", state { "tracestate", "a=1, b=2" })
      assert.equal("a=1,b=2,c=3", state({ "Tracestate", "a=1" }, { "x", "y" }, { "tracestate", "" },
        { "TRACESTATE", "b=2,c=3" }))
      assert.equal("", state())
    end)

    it("passes on 512 bytes and nothing of more", function()
      assert.equal(("x"):rep(512), state { "tracestate", ("x"):rep(512) })
      assert.equal("", state { "tracestate", ("x"):rep(513) })
      assert.equal("", state({ "tracestate", ("x"):rep(256) }, { "tracestate", ("x"):rep(256) }))
      assert.equal(511, #state({ "tracestate", ("x"):rep(255) }, { "tracestate", ("x"):rep(255) }))
    end)

    it("drops one that could not stand in a header", function()
      for _, value in ipairs { "a=\r\nX-Evil: 1", "a=\1", "a=\127", "a=\xc3\xa9", "a\tb" } do
        assert.equal("", state { "tracestate", value })
      end
    end)

    it("drops it without a good traceparent", function()
      for _, parents in ipairs { {}, { { "traceparent", "00-x" } }, { PARENT_HEADER, PARENT_HEADER } } do
        table.insert(parents, { "tracestate", "a=1" })
        assert.same({ "", "" }, { wire.trace(parents) })
      end
    end)
  end)
end)
