local cache = require "cache"
local call = require "call"
local decisions = require "decisions"
local http = require "http"
local kube = require "kube"
local log = require "log"

describe("GET …/{name}", function()
  local function get(headers, path, method)
    headers = headers or {}
    headers.Authorization = "Bearer t"
    return call(method or "GET", path or "/raycluster/ray-1", { headers = headers })
  end

  local function principal(id, admin)
    cache.reset()
    http.script { { body = ('{"isAnonymous":false,"isAdmin":%s,"canonicalId":"%s"}'):format(admin, id) } }
  end

  before_each(function()
    cache.reset()
    http.reset()
    kube.reset()
    decisions.reset()
    log.reset()
    principal("u1", false)
    kube.put("ray-1", { owner = "u1", resource_version = "947" })
  end)

  it("sends the API server's own bytes with the resourceVersion as ETag", function()
    local bytes = '{ "metadata":{"name":"ray-9","uid":"9","resourceVersion":"12","labels":'
      .. '{"dominodatalab.com/starting-user-id":"u1"}}, "spec":{"n":9007199254740993,"empty":[]} }'
    kube.put_bytes(bytes)
    for _, prefix in ipairs { "/raycluster/", "/rayclusterscaler/" } do
      local response = get(nil, prefix .. "ray-9")
      assert.equal(200, response.status)
      assert.equal(bytes, response.text)
      assert.equal('"12"', response.headers.ETag)
      assert.equal(prefix .. "{name}", response.route)
      assert.equal("u1", response.caller)
    end
  end)

  it("asks Kubernetes nothing fresh", function()
    get()
    assert.equal(1, kube.count("get", false))
    assert.equal(0, kube.count("get", true))
  end)

  it("answers 304 without a body to whoever has it already", function()
    for _, known in ipairs { '"947"', 'W/"947"', "*", ' "1" , "947"', '"1",W/"947"', "  *  " } do
      local response = get { ["If-None-Match"] = known }
      assert.equal(304, response.status, known)
      assert.equal('"947"', response.headers.ETag)
      assert.equal("", response.text)
    end
    for _, known in ipairs { '"946"', "947", "", '"9470"', 'W/"946", "94"', "W/947", "," } do
      assert.equal(200, get({ ["If-None-Match"] = known }).status, known)
    end
  end)

  it("answers HEAD as GET", function()
    local response = get(nil, nil, "HEAD")
    assert.equal(200, response.status)
    assert.equal('"947"', response.headers.ETag)
  end)

  it("tells another user nothing but 403", function()
    principal("u2", false)
    local response = get()
    assert.equal(403, response.status)
    assert.equal("unauthorized", response.json.error)
    assert.equal("you are not allowed to get cluster ray-1", response.json.message)
    assert.is_nil(response.headers.ETag)
    assert.is_nil(response.text:find("u1", 1, true))
    assert.is_nil(response.text:find("not_owner", 1, true))
    local decision = decisions.written[1]
    assert.same({ "deny", "not_owner", "u2", "ray-1" },
      { decision.verdict, decision.reason, decision.caller, decision.cluster })
  end)

  it("does not tell another user whether they know the cluster's ETag", function()
    principal("u2", false)
    assert.equal(403, get({ ["If-None-Match"] = '"947"' }).status)
  end)

  it("shows a cluster of nobody to admins only", function()
    kube.put("ray-2")
    assert.equal(403, get(nil, "/raycluster/ray-2").status)
    principal("a1", true)
    assert.equal(200, get(nil, "/raycluster/ray-2").status)
  end)

  it("answers 404 for a cluster that is not there", function()
    local response = get(nil, "/raycluster/ray-2")
    assert.equal(404, response.status)
    assert.equal("not_found", response.json.error)
  end)

  it("refuses a name that no cluster can have, without asking Kubernetes", function()
    local names = { "Ray-1", "ray_1", "-ray", "ray-", ".ray", "ray.", "a..b", "a.-b", "a-.b", "ray 1", "räy", "..",
                    ("a"):rep(254) }
    for _, name in ipairs(names) do
      local response = get(nil, "/raycluster/" .. name)
      assert.equal(400, response.status, name)
      assert.equal("bad_request", response.json.error)
      assert.equal("name", response.json.errors[1].field)
    end
    assert.equal(0, kube.count("get"))
    for _, name in ipairs { "a", "0", "ray-1.b-2.c", ("a"):rep(253) } do
      assert.equal(404, get(nil, "/raycluster/" .. name).status, name)
    end
  end)

  describe("when Kubernetes fails", function()
    local function failing(failure)
      kube.fail("get", failure)
      return get()
    end

    it("answers 502", function()
      for _, code in ipairs { "unavailable", "bad_answer", "gone", "unauthorized", "forbidden" } do
        local response = failing { code = code, message = "secret host name", status = 500 }
        assert.equal(502, response.status, code)
        assert.equal("upstream_failed", response.json.error)
        assert.is_nil(response.text:find("secret", 1, true))
      end
      assert.equal("secret host name", log.find("upstream failed")[1].reason)
    end)

    it("says that the service lacks a right", function()
      local response = failing { code = "forbidden", message = "cannot get rayclusters", status = 403 }
      assert.truthy(response.json.message:find("lacks a right", 1, true))
      assert.equal("cannot get rayclusters", log.find("upstream failed")[1].reason)
    end)

    it("answers 504 on timeout, and 503 when told to wait", function()
      assert.equal(504, failing({ code = "timeout", message = "deadline" }).status)
      local response = failing { code = "throttled", message = "busy", retry_after = 7 }
      assert.equal(503, response.status)
      assert.equal("7", response.headers["Retry-After"])
      response = failing { code = "throttled", message = "busy" }
      assert.equal("1", response.headers["Retry-After"])
    end)
  end)
end)
