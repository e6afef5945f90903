local certificates = require "certificates"
local http_client = require "native.http_client"
local processes = require "processes"
local tls_proxy = require "tls_proxy"

describe("host/http_client over TLS", function()
  local origin, made, proxy, strict, plain

  setup(function()
    made = certificates.new()
    origin = processes.start({ "lua5.4", "spec/support/origin.lua" }, { line = true })
    proxy = tls_proxy(made.directory, origin.line)
    strict = tls_proxy(made.directory, origin.line, { client = true })
    plain = tls_proxy(made.directory, origin.line, { http1 = true })
  end)

  teardown(function()
    for _, process in ipairs { proxy, strict, plain, origin } do
      process.stop()
    end
    made.remove()
  end)

  local function exchange(server, path, options)
    local built = { url = ("https://127.0.0.1:%d%s"):format(server.port, path), ca = made.text("ca.crt"),
      server_name = "api.example" }
    for key, value in pairs(options or {}) do
      built[key] = value or nil
    end
    return built
  end

  local function call(server, path, options)
    return http_client.new():perform({ exchange(server, path, options) })[1]
  end

  it("speaks HTTP/2 where it is offered, and HTTP/1.1 elsewhere", function()
    local result = call(proxy, "/echo?x=1", { method = "PATCH", body = "{}" })
    assert.equal("ok", result.failure, result.message)
    assert.equal(200, result.status)
    assert.truthy(result.body:find("^PATCH /echo%?x=1 "))
    assert.truthy(result.body:find("\r\nVia: 2 nghttpx", 1, true))
    assert.equal("{}", result.body:sub(-2))
    assert.truthy(result.header_lines:find("\nx-twice: a\nx-twice: b\n", 1, true))
    assert.truthy(call(plain, "/echo").body:find("\r\nVia: 1.1 nghttpx", 1, true))
  end)

  it("names the URL's host to the server even when TLS sees another name", function()
    local host = "127.0.0.1:" .. proxy.port
    assert.truthy(call(proxy, "/echo").body:find("\r\nHost: " .. host .. "\r\n", 1, true))
    assert.truthy(call(plain, "/echo").body:find("\r\nHost: 127.0.0.1:" .. plain.port .. "\r\n", 1, true))
  end)

  it("trusts the given authority and no other", function()
    for _, options in ipairs { { ca = made.text("other.crt") }, { ca = false } } do
      local result = call(proxy, "/echo", options)
      assert.equal("tls", result.failure)
      assert.is_false(result.sent)
      assert.truthy(result.message:find("TLS failed: SSL certificate problem", 1, true), result.message)
    end
    assert.equal("tls", call(proxy, "/echo", { ca = "no certificate" }).failure)
  end)

  it("verifies the server's name", function()
    for _, name in ipairs { false, "api.example.org", "127.0.0.1" } do
      local result = call(proxy, "/echo", { server_name = name })
      assert.equal("tls", result.failure)
      assert.is_false(result.sent)
    end
  end)

  it("verifies nothing only when told so", function()
    assert.equal(200, call(proxy, "/echo", { ca = false, server_name = false, insecure = true }).status)
    -- and a connection that was not verified serves nobody who wants it verified
    local client = http_client.new()
    assert.equal(200, client:perform({ exchange(proxy, "/echo", { server_name = false, insecure = true }) })[1].status)
    assert.equal("tls", client:perform({ exchange(proxy, "/echo", { server_name = false }) })[1].failure)
  end)

  it("shows a client certificate, and shares its connection with nobody else", function()
    local identity = { cert = made.text("client.crt"), key = made.text("client.key") }
    local client = http_client.new()
    assert.equal(200, client:perform({ exchange(strict, "/echo", identity) })[1].status)
    assert.not_equal("ok", client:perform({ exchange(strict, "/echo") })[1].failure)
    assert.equal(200, client:perform({ exchange(strict, "/echo", identity) })[1].status)
    assert.equal("tls", call(strict, "/echo", { cert = made.text("client.crt"), key = "no key" }).failure)
  end)

  it("uses a connection again, and one for many at once over HTTP/2", function()
    local client, exchanges = http_client.new(), {}
    for i = 1, 30 do
      exchanges[i] = exchange(proxy, "/delay?ms=100")
    end
    local started = http_client.now_ms()
    for _, result in ipairs(client:perform(exchanges)) do
      assert.equal("late", result.body)
    end
    assert.is_true(http_client.now_ms() - started < 600)
    for _ = 1, 5 do
      assert.equal(200, client:perform({ exchange(proxy, "/status?code=200") })[1].status)
    end
  end)

  it("keeps deadlines and limits over HTTP/2", function()
    local started = http_client.now_ms()
    assert.equal("timeout", call(proxy, "/never", { timeout_ms = 150 }).failure)
    assert.equal("timeout", call(proxy, "/drip", { timeout_ms = 150 }).failure)
    assert.is_true(http_client.now_ms() - started < 900)
    assert.equal("too_large", call(proxy, "/endless", { max_bytes = 1000000 }).failure)
    assert.equal(3000000, #call(proxy, "/big?bytes=3000000").body)
    local results = http_client.new():perform({ exchange(proxy, "/never", { timeout_ms = 100 }),
      exchange(proxy, "/delay?ms=300"), exchange(proxy, "/big?bytes=5000", { max_bytes = 10 }) })
    assert.equal("timeout", results[1].failure)
    assert.equal("late", results[2].body)
    assert.equal("too_large", results[3].failure)
  end)

  it("streams over HTTP/2", function()
    local client = http_client.new()
    local result = client:stream(exchange(proxy, "/stream?lines=5&end=clean", { timeout_ms = 0 }), {})
    assert.equal("ok", result.failure)
    assert.equal(("line\n"):rep(5), result.streamed)
    result = client:stream(exchange(proxy, "/stream?lines=2&end=cut", { timeout_ms = 0 }), {})
    assert.equal("protocol", result.failure)
    local started = http_client.now_ms()
    result = client:stream(exchange(proxy, "/drip", { timeout_ms = 0 }), { cancel_after_ms = 100 })
    assert.equal("cancelled", result.failure)
    result = client:stream(exchange(proxy, "/stream?lines=2&end=silent", { timeout_ms = 0 }), { idle_timeout_ms = 200 })
    assert.equal("timeout", result.failure)
    assert.is_true(http_client.now_ms() - started < 1200)
  end)

  it("says what is wrong when the peer speaks no TLS", function()
    local result = call({ port = origin.line }, "/echo", { server_name = false })
    assert.equal("tls", result.failure)
    assert.is_false(result.sent)
  end)
end)
