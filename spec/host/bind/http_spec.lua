local native = require "native.bind_http"
local processes = require "processes"

describe("host/bind/http", function()
  local origin, base, http

  setup(function()
    origin = processes.start({ "lua5.4", "spec/support/origin.lua" }, { line = true })
    base = "http://127.0.0.1:" .. origin.line
    http = native.open()
  end)

  teardown(function()
    native.close()
    origin.stop()
  end)

  before_each(function()
    native.request("request-1")
  end)

  it("gives the answer's status, body and headers", function()
    local response, failure = http.get(base .. "/echo?q", { headers = { ["X-One"] = "1" } })
    assert.is_nil(failure)
    assert.equal(200, response.status)
    assert.truthy(response.body:find("^GET /echo%?q HTTP/1.1\r\n"))
    assert.truthy(response.body:find("\r\nX-One: 1\r\n", 1, true))
    assert.truthy(response.body:find("\r\nX-Request-Id: request-1\r\n", 1, true))
    assert.same({ ["content-type"] = "text/plain", ["x-twice"] = "a, b", ["x-empty"] = "",
      ["content-length"] = tostring(#response.body) }, response.headers)
    assert.equal(1, native.upstream_calls())
  end)

  it("has a function for each method, and one for any", function()
    for _, method in ipairs { "post", "put", "patch" } do
      local body = http[method](base .. "/echo", "a\0b", { headers = { ["Content-Type"] = "x/y" } }).body
      assert.truthy(body:find("^" .. method:upper() .. " /echo"))
      assert.truthy(body:find("\r\nContent-Type: x/y\r\n", 1, true))
      assert.equal("a\0b", body:sub(-3))
    end
    assert.truthy(http.delete(base .. "/echo").body:find("^DELETE /echo"))
    assert.truthy(http.request({ method = "OPTIONS", url = base .. "/echo" }).body:find("^OPTIONS /echo"))
    assert.equal("", http.request({ method = "HEAD", url = base .. "/echo" }).body)
  end)

  it("gives nil and a typed failure when the world fails", function()
    local response, failure = http.get(base .. "/never?secret", { timeout_ms = 50 })
    assert.is_nil(response)
    assert.equal("timeout", failure.code)
    assert.is_true(failure.sent)
    assert.falsy(failure.message:find("secret", 1, true))
    failure = select(2, http.get(base .. "/big?bytes=1000", { max_bytes = 999 }))
    assert.equal("too_large", failure.code)
    failure = select(2, http.get("http://127.0.0.1:" .. processes.free_port()))
    assert.same({ "connect", false }, { failure.code, failure.sent })
    failure = select(2, http.get("gopher://x"))
    assert.same({ "protocol", false }, { failure.code, failure.sent })
    failure = select(2, http.get(base, { headers = { X = "a\nb" } }))
    assert.same({ "protocol", false }, { failure.code, failure.sent })
  end)

  it("never goes on beyond the request's deadline", function()
    native.request("request-1", 50)
    assert.equal("timeout", select(2, http.get(base .. "/never", { timeout_ms = 1 << 62 })).code)
    local failure = select(2, http.get(base .. "/echo"))
    assert.same({ "timeout", false }, { failure.code, failure.sent })
  end)

  it("does several at once", function()
    local requests = {}
    for i = 1, 20 do
      requests[i] = { method = "GET", url = base .. "/delay?ms=150" }
    end
    requests[21] = { method = "GET", url = base .. "/status?code=404" }
    requests[22] = { method = "GET", url = base .. "/never", timeout_ms = 50 }
    native.request("request-1", 1000)
    local results = http.all(requests)
    assert.equal(22, #results)
    for i = 1, 20 do
      assert.equal("late", results[i].response.body)
    end
    assert.equal(404, results[21].response.status)
    assert.equal("timeout", results[22].failure.code)
    assert.same({}, http.all {})
    assert.equal(22, native.upstream_calls())
  end)

  it("raises on a bug of the caller", function()
    local function raises(message, run, ...)
      local ok, problem = pcall(run, ...)
      assert.is_false(ok)
      assert.truthy(problem:find(message, 1, true), problem)
    end
    raises("bad argument #1", http.get)
    raises("bad argument #1", http.get, 5)
    raises("bad argument #2", http.get, base, "options")
    raises("bad argument #2", http.post, base)
    raises("no such option: timeout", http.get, base, { timeout = 5 })
    raises("no such option: url", http.get, base, { url = base })
    raises("no such option: ", http.get, base, { "x" })
    raises("timeout_ms must be an integer from 1", http.get, base, { timeout_ms = 0 })
    raises("timeout_ms must be an integer from 1", http.get, base, { timeout_ms = 0.5 })
    raises("timeout_ms must be an integer from 1", http.get, base, { timeout_ms = "5" })
    raises("max_bytes must be an integer from 1", http.get, base, { max_bytes = -1 })
    raises("target must be 1 to 32 of a-z", http.get, base, { target = "A b" })
    raises("headers must be a table, not string", http.get, base, { headers = "X: y" })
    raises("a header's value must be a string, not number", http.get, base, { headers = { X = 5 } })
    raises("a header's name must be a string, not number", http.get, base, { headers = { "X" } })
    raises("a header's value holds a NUL byte", http.get, base, { headers = { X = "a\0b" } })
    raises("url holds a NUL byte", http.get, base .. "\0")
    raises("a request needs a method and a url", http.request, { url = base })
    raises("body must be a string, not table", http.request, { method = "POST", url = base, body = {} })
    raises("request 2 is no table", http.all, { { method = "GET", url = base }, "x" })
    local many = {}
    for i = 1, 65 do
      many[i] = { method = "GET", url = base }
    end
    raises("more than 64 requests", http.all, many)
    assert.equal(0, native.upstream_calls())
  end)

  it("calls nobody while a bundle loads", function()
    native.request(nil)
    for _, run in ipairs { http.get, http.delete } do
      assert.has_error(function()
        run(base)
      end, "http: nothing outside may be called while a bundle loads")
    end
    assert.has_error(function()
      http.all { { method = "GET", url = base } }
    end, "http: nothing outside may be called while a bundle loads")
  end)

  it("loses nothing when Lua's memory ends", function()
    local code = ("http.get(%q, {headers = {a = 'b', c = 'd'}}) http.all{{method='GET', url=%q}}"):format(
      base .. "/echo", base .. "/big?bytes=20000")
    local ended, done = 0, 0
    for bytes = 0, 40000, 400 do
      native.request("request-1")
      if native.starved(code, bytes) then
        ended = ended + 1
      else
        done = done + 1
      end
    end
    assert.is_true(ended > 10 and done > 10, ended .. " " .. done)
  end)
end)
