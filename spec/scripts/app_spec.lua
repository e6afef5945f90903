local authorization = require "policies.authorization"
local cache = require "cache"
local call = require "call"
local http = require "http"
local json = require "json"
local kube = require "kube"
local log = require "log"

describe("scripts/app", function()
  local token = { Authorization = "Bearer t" }

  before_each(function()
    cache.reset()
    kube.reset()
    log.reset()
    http.reset()
    http.script { { body = '{"isAnonymous":false,"isAdmin":false,"canonicalId":"u1"}' } }
    kube.put("ray-1", { owner = "u1" })
  end)

  it("writes errors as problem details that today's users read too", function()
    local response = call("GET", "/raycluster/ray-2", { headers = token, id = "abc-123" })
    assert.equal("application/problem+json", response.headers["Content-Type"])
    assert.equal("not_found", response.error)
    assert.same({
      type = "urn:rayclusterscaler:problem:not_found",
      title = "Not found",
      status = 404,
      detail = "there is no such cluster",
      error = "not_found",
      message = "there is no such cluster",
      requestId = "abc-123",
    }, response.json)
  end)

  describe("on a path that is not there", function()
    local paths = {
      "/", "", "*", "/raycluster", "/raycluster/", "/rayclusterscaler/", "/raycluster/list/", "/raycluster/ray-1/",
      "/raycluster/ray-1/nodes", "/raycluster//ray-1", "//raycluster/list", "/RayCluster/list", "/rayclusters/list",
      "xraycluster/list", "/raycluster/list/x", "/api/raycluster/list",
    }
    for _, path in ipairs(paths) do
      it("answers 404 for " .. ("%q"):format(path), function()
        for _, method in ipairs { "GET", "HEAD", "POST", "BREW" } do
          local response = call(method, path)
          assert.equal(404, response.status)
          assert.equal("not_found", response.json.error)
        end
        assert.equal(0, #http.requests)
      end)
    end
  end)

  describe("on a method that the path does not take", function()
    local cases = {
      { "POST", "/list", "GET, HEAD" }, { "DELETE", "/list", "GET, HEAD" }, { "OPTIONS", "/list", "GET, HEAD" },
      { "POST", "/ray-1", "GET, HEAD" }, { "PUT", "/ray-1", "GET, HEAD" }, { "PATCH", "/ray-1", "GET, HEAD" },
      { "GET", "/scale", "POST" }, { "HEAD", "/scale", "POST" }, { "PUT", "/scale", "POST" },
      { "get", "/scale", "POST" },
    }
    for _, case in ipairs(cases) do
      local method, path, allow = table.unpack(case)
      it(("answers 405 for %s %s"):format(method, path), function()
        for _, prefix in ipairs { "/raycluster", "/rayclusterscaler" } do
          local response = call(method, prefix .. path)
          assert.equal(405, response.status)
          assert.equal(allow, response.headers.Allow)
          assert.equal("method_not_allowed", response.json.error)
        end
        assert.equal(0, #http.requests)
      end)
    end
  end)

  describe("without a caller", function()
    it("answers 401 on every route, before it looks at anything else", function()
      for _, request in ipairs { { "GET", "/raycluster/list" }, { "GET", "/raycluster/ray-1" },
        { "HEAD", "/raycluster/Not A Name" }, { "POST", "/raycluster/scale" },
        { "POST", "/rayclusterscaler/scale" } } do
        local response = call(request[1], request[2], { body = "not json" })
        assert.equal(401, response.status)
        assert.equal("unauthenticated", response.json.error)
        assert.equal("Bearer", response.headers["WWW-Authenticate"])
        assert.is_nil(response.caller)
      end
      assert.equal(0, #http.requests)
      assert.equal(0, #kube.calls)
    end)

    it("answers 401 when Domino does not know the credential", function()
      http.script { { body = '{"isAnonymous":true,"isAdmin":true,"canonicalId":"u1"}' } }
      local response = call("GET", "/raycluster/ray-1", { headers = token })
      assert.equal(401, response.status)
      assert.equal("Bearer", response.headers["WWW-Authenticate"])
      assert.equal(0, #kube.calls)
    end)

    it("answers 502, 503 and 504 when Domino cannot say", function()
      http.script { { status = 500 } }
      assert.equal(502, call("GET", "/raycluster/ray-1", { headers = token }).status)
      http.script { { failure = { code = "timeout", message = "deadline" } } }
      assert.equal(504, call("GET", "/raycluster/ray-1", { headers = token }).status)
      http.script { { status = 503, headers = { ["retry-after"] = "9" } } }
      local response = call("GET", "/raycluster/ray-1", { headers = token })
      assert.equal(503, response.status)
      assert.equal("9", response.headers["Retry-After"])
      assert.equal("upstream_failed", response.json.error)
      assert.equal(0, #kube.calls)
    end)
  end)

  describe("reading a body", function()
    local function post(body, media_type)
      return call("POST", "/raycluster/scale",
        { headers = { Authorization = "Bearer t", ["Content-Type"] = media_type }, body = body })
    end
    local good = '{"cluster_name":"ray-1","replicas":3}'

    it("takes JSON by its Content-Type only", function()
      for _, media_type in ipairs { "application/json", "Application/JSON", "application/json; charset=utf-8",
        " application/json ;charset=UTF-8" } do
        assert.equal(200, post(good, media_type).status, media_type)
      end
      for _, media_type in ipairs { "text/plain", "application/jsonp", "application/x-www-form-urlencoded",
        "application/json-patch+json", "", ";application/json", "application/json, text/plain" } do
        local response = post(good, media_type)
        assert.equal(415, response.status, media_type)
        assert.equal("unsupported_media_type", response.json.error)
      end
      assert.equal(415, post(good, nil).status)
    end)

    it("says what is wrong with bad JSON", function()
      for _, body in ipairs { "", "{", "cluster_name=ray-1", '{"cluster_name":"ray-1",}', good .. "x", "{'a':1}" } do
        local response = post(body, "application/json")
        assert.equal(400, response.status, body)
        assert.equal("bad_request", response.json.error)
        assert.truthy(response.json.message:find("^body is not valid JSON: "), response.json.message)
        assert.equal("body", response.json.errors[1].field)
      end
    end)

    it("takes an object only", function()
      for _, body in ipairs { "[]", " [ ]", "[" .. good .. "]", '"ray-1"', "5", "true", "false", "null" } do
        local response = post(body, "application/json")
        assert.equal(400, response.status, body)
        assert.equal("body must be a JSON object", response.json.message)
      end
    end)

    it("changes nothing on a bad request", function()
      local response = post('{"cluster_name":"ray-1","replicas":true}', "application/json")
      assert.equal(400, response.status)
      assert.same({ { field = "replicas", message = "must be a whole number, found true" } }, response.json.errors)
      assert.equal("replicas must be a whole number, found true", response.json.message)
      assert.equal(0, #kube.calls)
    end)

    it("names everything that is wrong at once", function()
      local response = post('{"replicas":"5"}', "application/json")
      assert.equal(2, #response.json.errors)
      assert.truthy(response.json.message:find("cluster_name is missing", 1, true))
      assert.truthy(response.json.message:find('replicas must be a whole number, found the string "5"', 1, true))
    end)
  end)

  it("fails the request when the rule answers anything but true or false", function()
    local decide = authorization.decide
    finally(function()
      authorization.decide = decide
    end)
    for _, verdict in ipairs { 1, "true", {}, "nil" } do
      authorization.decide = function()
        if verdict ~= "nil" then return verdict end
      end
      for _, path in ipairs { "/raycluster/ray-1", "/raycluster/list" } do
        assert.has_error(function()
          call("GET", path, { headers = token })
        end)
      end
    end
    authorization.decide = function()
      return true, json.null
    end
    assert.has_error(function()
      call("GET", "/raycluster/ray-1", { headers = token })
    end)
  end)

  it("never writes a credential anywhere", function()
    local secret = "s3cr3t-t0k3n"
    http.script { { status = 500, body = secret } }
    for _, headers in ipairs { { Authorization = "Bearer " .. secret }, { ["X-Domino-Api-Key"] = secret } } do
      for _, path in ipairs { "/raycluster/list", "/raycluster/ray-1" } do
        local response = call("GET", path, { headers = headers })
        assert.is_nil(response.text:find(secret, 1, true))
      end
    end
    for _, line in ipairs(log.lines) do
      assert.is_nil(json.encode(line):find(secret, 1, true))
    end
    assert.truthy(#log.lines > 0)
  end)
end)
