local cache = require "cache"
local call = require "call"
local http = require "http"
local kube = require "kube"

local function principal(id, admin)
  local body = ('{"isAnonymous":false,"isAdmin":%s,"canonicalId":%s}'):format(admin, id and '"' .. id .. '"' or "null")
  http.script { { body = body } }
end

local token = { Authorization = "Bearer t" }

describe("GET …/list", function()
  before_each(function()
    cache.reset()
    http.reset()
    kube.reset()
  end)

  it("holds exactly what the caller may see", function()
    kube.put("ray-1", { owner = "u1" })
    kube.put("ray-2", { owner = "u2" })
    kube.put("ray-3")
    kube.put("ray-4", { owner = "u1" })
    kube.put("ray-5", { owner = "" })
    local function names_for(id, admin)
      cache.reset()
      principal(id, admin)
      local names = {}
      for _, cluster in ipairs(call("GET", "/raycluster/list", { headers = token }).json.ray_clusters) do
        names[#names + 1] = cluster.metadata.name
      end
      return names
    end
    assert.same({ "ray-1", "ray-4" }, names_for("u1", false))
    assert.same({ "ray-2" }, names_for("u2", false))
    assert.same({}, names_for("u3", false))
    assert.same({}, names_for(nil, false))
    assert.same({ "ray-1", "ray-2", "ray-3", "ray-4", "ray-5" }, names_for("a1", true))
  end)

  it("sends each element's own bytes", function()
    local one = '{"metadata":{"name":"a","uid":"1","resourceVersion":"7"},"spec":{"n":9007199254740993,"e":[],"o":{}}}'
    local two = '{ "metadata":{"resourceVersion":"8","uid":"2","name":"b"}, "text":"d\\u00e9tection 🚀"}'
    kube.put_bytes(one)
    kube.put_bytes(two)
    principal("a1", true)
    local response = call("GET", "/rayclusterscaler/list", { headers = token })
    assert.equal(200, response.status)
    assert.equal('{"ray_clusters":[' .. one .. "," .. two .. "]}", response.text)
    assert.equal("/rayclusterscaler/list", response.route)
    assert.equal("a1", response.caller)
  end)

  it("is an empty array when there is nothing", function()
    principal("a1", true)
    assert.equal('{"ray_clusters":[]}', call("GET", "/raycluster/list", { headers = token }).text)
    kube.put("ray-1", { owner = "u1" })
    cache.reset()
    principal("u2", false)
    assert.equal('{"ray_clusters":[]}', call("GET", "/raycluster/list", { headers = token }).text)
  end)

  it("says so when Kubernetes fails", function()
    principal("a1", true)
    kube.put("ray-1", { owner = "u1" })
    kube.fail("list", { code = "unavailable", message = "refused", status = 500 })
    local response = call("GET", "/raycluster/list", { headers = token })
    assert.equal(502, response.status)
    assert.equal("upstream_failed", response.json.error)
  end)
end)
