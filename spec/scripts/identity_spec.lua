local cache = require "cache"
local http = require "http"
local identity = require "scripts.identity"
local metrics = require "metrics"

describe("scripts/identity", function()
  local function caller(headers)
    return identity.caller {
      header = function(_, name)
        return headers[name]
      end,
    }
  end

  local bearer = { Authorization = "Bearer t" }

  --- What a caller with a new credential becomes when Domino answers so.
  local function answered(...)
    cache.reset()
    http.requests = {}
    http.script { ... }
    return caller(bearer)
  end

  before_each(function()
    cache.reset()
    http.reset()
    metrics.reset()
  end)

  describe("sends", function()
    local function sent(headers)
      answered { body = '{"isAnonymous":true}' }
      cache.reset()
      http.requests = {}
      caller(headers)
      return http.requests[1] and http.requests[1].headers
    end

    it("the caller's one credential to the principal endpoint", function()
      assert.same({ Authorization = "Bearer t", Accept = "application/json" }, sent(bearer))
      assert.equal("http://nucleus.example:80/v4/auth/principal", http.requests[1].url)
      assert.equal("GET", http.requests[1].method)
      assert.equal(1, #http.requests)
    end)

    it("the API key alone when both are there", function()
      assert.same({ ["X-Domino-Api-Key"] = "k", Accept = "application/json" },
        sent { ["X-Domino-Api-Key"] = "k", Authorization = "Bearer t" })
    end)

    it("Authorization when the API key is blank", function()
      assert.same({ Authorization = "Basic dTpw", Accept = "application/json" },
        sent { ["X-Domino-Api-Key"] = " ", Authorization = "  Basic dTpw\t" })
    end)

    it("nothing without a credential", function()
      for _, headers in ipairs { {}, { Authorization = "" }, { Authorization = " \t" }, { Authorization = "Bearer" },
        { Authorization = "Bearer " }, { ["X-Domino-Api-Key"] = "" },
        { ["X-Domino-Api-Key"] = "  ", Authorization = "" } } do
        assert.is_nil(sent(headers))
        local principal, failure = caller(headers)
        assert.is_nil(principal)
        assert.equal("unauthenticated", failure.code)
      end
    end)
  end)

  describe("reads", function()
    local function principal(fields)
      return (answered { body = "{" .. fields .. "}" })
    end

    it("who is calling", function()
      assert.same({ id = "u1", name = "jane_doe", admin = true },
        principal '"isAnonymous":false,"isAdmin":true,"canonicalId":"u1","canonicalName":"jane_doe","featureFlags":[]')
      assert.same({ id = "u1", admin = false }, principal '"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"')
    end)

    it("no id where there is none", function()
      for _, id in ipairs { "null", '""', "17", "true", "[]", "{}" } do
        assert.same({ admin = false },
          principal('"isAnonymous":false,"isAdmin":false,"canonicalName":null,"canonicalId":' .. id), id)
      end
      assert.same({ admin = false }, principal '"isAnonymous":false,"isAdmin":false')
      assert.same({ admin = true }, principal '"isAnonymous":false,"isAdmin":true')
    end)

    it("an admin by true alone", function()
      assert.is_false(principal('"isAnonymous":false,"canonicalId":"u1"').admin)
      assert.is_false(principal('"isAnonymous":false,"isAdmin":null,"canonicalId":"u1"').admin)
    end)
  end)

  it("takes anonymous, 401 and 403 for not authenticated", function()
    for _, answer in ipairs { { body = '{"isAnonymous":true,"isAdmin":true,"canonicalId":"u1"}' }, { status = 401 },
      { status = 403, body = "<html>" } } do
      local principal, failure = answered(answer)
      assert.is_nil(principal)
      assert.equal("unauthenticated", failure.code)
      assert.equal(1, #http.requests)
    end
  end)

  it("is never sure on anything that is no principal", function()
    local odd = {
      "", "null", "true", "[]", "{}", '"u1"', "<html></html>", '{"isAnonymous":null,"isAdmin":true}',
      '{"isAnonymous":"false","isAdmin":true,"canonicalId":"u1"}', '{"isAnonymous":0,"isAdmin":true}',
      '{"isAdmin":true,"canonicalId":"u1"}', '{"isAnonymous":false,"isAdmin":"true","canonicalId":"u1"}',
      '{"isAnonymous":false,"isAdmin":1,"canonicalId":"u1"}', '{"isAnonymous":false',
      '[{"isAnonymous":false,"isAdmin":true,"canonicalId":"u1"}]',
    }
    for _, body in ipairs(odd) do
      local principal, failure = answered { body = body }
      assert.is_nil(principal, body)
      assert.equal("bad_answer", failure.code, body)
    end
    for _, status in ipairs { 204, 206, 301, 302, 307, 400, 404, 500, 502, 503, 504 } do
      local principal, failure = answered { status = status, body = '{"isAnonymous":false,"isAdmin":true}' }
      assert.is_nil(principal)
      assert.equal("unavailable", failure.code, tostring(status))
    end
  end)

  describe("when Domino fails", function()
    local good = { body = '{"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"}' }
    local refused = { failure = { code = "connect", message = "connection refused", sent = false } }
    local cut = { failure = { code = "protocol", message = "connection closed", sent = true } }

    it("asks again, at most twice", function()
      for _, first in ipairs { { status = 502 }, { status = 503 }, { status = 504 }, refused, cut } do
        assert.same("u1", answered(first, good).id)
        assert.same("u1", answered(first, first, good).id)
        assert.is_nil((answered(first, first, first, good)))
        assert.equal(3, #http.requests)
      end
    end)

    it("does not ask again what another try cannot mend", function()
      local function failed(code)
        return { failure = { code = code, message = code, sent = true } }
      end
      for _, first in ipairs { { status = 500 }, { status = 404 }, { status = 302 }, { status = 401 }, { status = 429 },
        { status = 503, headers = { ["retry-after"] = "5" } }, failed "timeout", failed "tls", failed "too_large" } do
        assert.is_nil((answered(first, good)))
        assert.equal(1, #http.requests)
      end
    end)

    it("tells a timeout from the rest", function()
      local _, failure = answered { failure = { code = "timeout", message = "deadline", sent = true } }
      assert.equal("timeout", failure.code)
      for _, code in ipairs { "connect", "tls", "protocol", "too_large", "memory" } do
        _, failure = answered { failure = { code = code, message = "x", sent = true } }
        assert.equal("unavailable", failure.code)
      end
    end)

    it("passes on how long to wait", function()
      for header, expected in pairs { ["5"] = 5, ["0"] = 0, ["3600"] = 3600 } do
        local _, failure = answered { status = 503, headers = { ["retry-after"] = header } }
        assert.same({ "throttled", expected }, { failure.code, failure.retry_after })
      end
      for _, header in ipairs { "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "1e3", "0x10", "99999999999999999999", "" } do
        local _, failure = answered { status = 429, headers = { ["retry-after"] = header } }
        assert.equal("throttled", failure.code)
        assert.is_nil(failure.retry_after, header)
      end
      local _, failure = answered { status = 429 }
      assert.equal("throttled", failure.code)
    end)
  end)

  describe("remembers", function()
    local function ask_twice(answer, headers)
      answered(answer, answer)
      caller(headers or bearer)
      return #http.requests
    end

    it("callers and anonymous callers, for the time that is set", function()
      assert.equal(1, ask_twice { body = '{"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"}' })
      cache.now_ms = 9999
      caller(bearer)
      assert.equal(1, #http.requests)
      cache.now_ms = 10000
      caller(bearer)
      assert.equal(2, #http.requests)
      assert.equal(1, ask_twice { body = '{"isAnonymous":true}' })
      assert.equal(1, ask_twice { status = 401 })
    end)

    it("no failure", function()
      assert.equal(2, ask_twice { status = 500 })
      assert.equal(2, ask_twice { body = "{}" })
      assert.equal(2, ask_twice { status = 429 })
    end)

    it("each credential by itself, and by its header", function()
      local good = { body = '{"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"}' }
      assert.equal(2, ask_twice(good, { Authorization = "Bearer T" }))
      assert.equal(2, ask_twice(good, { ["X-Domino-Api-Key"] = "Bearer t" }))
      assert.equal(1, ask_twice(good, { Authorization = " Bearer t " }))
    end)
  end)

  it("counts what Domino answers", function()
    answered { body = '{"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"}' }
    caller(bearer)
    answered { body = '{"isAnonymous":true}' }
    answered { status = 500 }
    answered { body = "{}" }
    for _, result in ipairs { "authenticated", "anonymous", "unavailable", "bad_answer" } do
      assert.equal(1, metrics.count("rayclusterscaler_identity_total", result), result)
    end
  end)
end)
