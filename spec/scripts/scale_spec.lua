local cache = require "cache"
local call = require "call"
local decisions = require "decisions"
local http = require "http"
local kube = require "kube"
local log = require "log"
local metrics = require "metrics"

describe("POST …/scale", function()
  local function principal(id, admin)
    cache.reset()
    http.script { { body = ('{"isAnonymous":false,"isAdmin":%s,"canonicalId":"%s"}'):format(admin, id) } }
  end

  local function scale(replicas, headers, name)
    headers = headers or {}
    headers.Authorization = "Bearer t"
    return call("POST", "/raycluster/scale",
      { headers = headers, body = { cluster_name = name or "ray-1", replicas = replicas } })
  end

  local function spec_of(name)
    return kube.on_server(name).document.spec
  end

  --- Somebody else acts before each of our next patches.
  local function meanwhile(...)
    local acts, turn = { ... }, 0
    kube.before_patch = function()
      turn = turn + 1
      if acts[turn] then acts[turn]() end
    end
  end

  local function touch()
    kube.put("ray-1", { owner = "u1", replicas = 2 })
  end

  before_each(function()
    http.reset()
    kube.reset()
    decisions.reset()
    log.reset()
    metrics.reset()
    principal("u1", false)
    kube.put("ray-1", { owner = "u1", replicas = 2, resource_version = "947", uid = "uid-1" })
  end)

  it("sets workers, minimum and maximum in one patch of the very object that was judged", function()
    local response = scale(5)
    assert.equal(200, response.status)
    assert.equal(1, kube.count "merge_patch")
    local sent = kube.calls[#kube.calls]
    assert.same({
      metadata = { uid = "uid-1", resourceVersion = "947" },
      spec = { autoscaling = { minReplicas = 5, maxReplicas = 6 }, worker = { replicas = 5 } },
    }, sent.patch)
    assert.same({ field_manager = "rayclusterscaler" }, sent.options)
    assert.equal(kube.on_server("ray-1"):text(), response.text)
    assert.equal('"' .. kube.on_server("ray-1").resource_version .. '"', response.headers.ETag)
    assert.equal("/raycluster/scale", response.route)
  end)

  it("scales to zero in the one way that the operator takes", function()
    assert.equal(200, scale(0).status)
    assert.same({ autoscaling = { minReplicas = 1, maxReplicas = 1 }, worker = { replicas = 0 } }, spec_of "ray-1")
  end)

  it("takes what Python sends: 5.0 is 5", function()
    local response = call("POST", "/rayclusterscaler/scale", {
      headers = { Authorization = "Bearer t", ["Content-Type"] = "application/json" },
      body = '{"cluster_name": "ray-1", "replicas": 5.0, "comment": null}',
    })
    assert.equal(200, response.status)
    assert.equal("integer", math.type(kube.calls[#kube.calls].patch.spec.worker.replicas))
  end)

  it("leaves an audit line and counts", function()
    scale(5)
    assert.same({ { action = "scale", cluster = "ray-1", caller = "u1", from = 2, to = 5, result = "scaled" } },
      log.find "audit")
    assert.equal(1, metrics.count("rayclusterscaler_scale_total", "scaled"))
  end)

  it("refuses another user, and changes nothing", function()
    principal("u2", false)
    local response = scale(5)
    assert.equal(403, response.status)
    assert.equal("unauthorized", response.json.error)
    assert.is_nil(response.text:find("u1", 1, true))
    assert.equal(0, kube.count "merge_patch")
    assert.equal("not_owner", decisions.written[1].reason)
  end)

  it("answers 404 for a cluster that is not there, or is gone by the time of the patch", function()
    assert.equal(404, scale(5, nil, "ray-2").status)
    meanwhile(function()
      kube.remove "ray-1"
    end)
    local response = scale(5)
    assert.equal(404, response.status)
    assert.equal("not_found", log.find("audit")[1].result)
  end)

  it("answers 409 not_scalable without autoscaling", function()
    kube.put("ray-1", { owner = "u1", autoscaling = false })
    local response = scale(5)
    assert.equal(409, response.status)
    assert.equal("not_scalable", response.json.error)
    assert.equal(0, kube.count "merge_patch")
    assert.equal(1, metrics.count("rayclusterscaler_scale_total", "not_scalable"))
  end)

  describe("on a conflict", function()
    it("reads again from the API server and tries again", function()
      meanwhile(touch, touch, touch)
      local response = scale(5)
      assert.equal(200, response.status)
      assert.equal(4, kube.count "merge_patch")
      assert.equal(3, kube.count("get", true))
      assert.same({ minReplicas = 5, maxReplicas = 6 }, spec_of("ray-1").autoscaling)
    end)

    it("answers 409 after three retries", function()
      meanwhile(touch, touch, touch, touch)
      local response = scale(5)
      assert.equal(409, response.status)
      assert.equal("conflict", response.json.error)
      assert.equal(4, kube.count "merge_patch")
      assert.equal(2, spec_of("ray-1").worker.replicas)
      assert.equal("conflict", log.find("audit")[1].result)
    end)

    it("is not fooled by a copy that lags behind", function()
      kube.lagging = true
      kube.put("ray-1", { owner = "u1", replicas = 3 })
      assert.equal(200, scale(5).status)
      assert.equal(5, spec_of("ray-1").worker.replicas)
    end)

    it("asks the rule again: the owner may have changed", function()
      meanwhile(function()
        kube.put("ray-1", { owner = "u2" })
      end)
      local response = scale(5)
      assert.equal(403, response.status)
      assert.equal(1, kube.count "merge_patch")
      assert.equal(2, spec_of("ray-1").worker.replicas)
      assert.equal("unauthorized", log.find("audit")[1].result)
    end)

    it("treats a cluster of the same name as another one: asks the rule about it", function()
      meanwhile(function()
        kube.put("ray-1", { owner = "u2", uid = "uid-2", resource_version = "947" })
      end)
      assert.equal(403, scale(5).status)
      assert.equal(2, spec_of("ray-1").worker.replicas)

      kube.put("ray-1", { owner = "u1", uid = "uid-2" })
      meanwhile(function()
        kube.put("ray-1", { owner = "u1", uid = "uid-3" })
      end)
      assert.equal(200, scale(5).status)
    end)

    it("sees that it is not scalable any more, or gone", function()
      meanwhile(function()
        kube.put("ray-1", { owner = "u1", autoscaling = false })
      end)
      assert.equal("not_scalable", scale(5).json.error)
      touch()
      meanwhile(touch, function()
        kube.remove "ray-1"
      end)
      assert.equal(404, scale(5).status)
    end)
  end)

  describe("with If-Match", function()
    it("scales when the tag is the current one", function()
      for _, tag in ipairs { '"947"', "*", '"1", "947"' } do
        kube.put("ray-1", { owner = "u1", resource_version = "947" })
        assert.equal(200, scale(5, { ["If-Match"] = tag }).status, tag)
      end
    end)

    it("answers 412 when it is stale, and changes nothing", function()
      for _, tag in ipairs { '"946"', 'W/"947"', "947", '"9"' } do
        local response = scale(5, { ["If-Match"] = tag })
        assert.equal(412, response.status, tag)
        assert.equal("precondition_failed", response.json.error)
      end
      assert.equal(0, kube.count "merge_patch")
    end)

    it("asks the API server before it calls a tag stale", function()
      kube.lagging = true
      kube.put("ray-1", { owner = "u1", resource_version = "948" })
      assert.equal(200, scale(5, { ["If-Match"] = '"948"' }).status)
    end)

    it("answers 412, not a retry, when somebody changes the cluster meanwhile", function()
      meanwhile(touch)
      local response = scale(5, { ["If-Match"] = '"947"' })
      assert.equal(412, response.status)
      assert.equal(1, kube.count "merge_patch")
      meanwhile(touch)
      assert.equal(200, scale(5, { ["If-Match"] = "*" }).status)
    end)

    it("refuses another user before it compares", function()
      principal("u2", false)
      assert.equal(403, scale(5, { ["If-Match"] = '"1"' }).status)
    end)
  end)

  describe("when the cluster refuses", function()
    it("answers 422 with the causes", function()
      kube.fail("merge_patch", { code = "invalid", status = 422, message = "RayCluster is invalid", causes = {
        { field = "spec.autoscaling.maxReplicas", message = "Required value", reason = "FieldValueRequired" } } })
      local response = scale(5)
      assert.equal(422, response.status)
      assert.equal("rejected_by_cluster", response.json.error)
      assert.equal("RayCluster is invalid", response.json.message)
      assert.same({ { field = "spec.autoscaling.maxReplicas", message = "Required value",
                      reason = "FieldValueRequired" } }, response.json.causes)
      assert.equal("rejected_by_cluster", log.find("audit")[1].result)
    end)

    it("answers 422 also without causes", function()
      kube.fail("merge_patch", { code = "invalid", status = 403, message = 'admission webhook "v.example" denied it' })
      local response = scale(5)
      assert.equal(422, response.status)
      assert.is_nil(response.json.causes)
    end)
  end)

  it("says that the change may have been made when the answer to the patch got lost", function()
    kube.fail("merge_patch", { code = "timeout", message = "deadline" })
    local response = scale(5)
    assert.equal(504, response.status)
    assert.equal("upstream_failed", response.json.error)
    assert.truthy(response.json.message:find("may have been scaled", 1, true))
    kube.fail("merge_patch", { code = "forbidden", message = "cannot patch" })
    response = scale(5)
    assert.equal(502, response.status)
    assert.is_nil(response.json.message:find("may have been scaled", 1, true))
    kube.fail("merge_patch", { code = "throttled", message = "busy", retry_after = 3 })
    response = scale(5)
    assert.equal(503, response.status)
    assert.equal("3", response.headers["Retry-After"])
    assert.equal(3, metrics.count("rayclusterscaler_scale_total", "upstream_failed"))
  end)

  describe("with a rule of the platform's own", function()
    local scaling = require "policies.scaling"

    it("answers 403 with the rule's words", function()
      local decide = scaling.decide
      finally(function()
        scaling.decide = decide
      end)
      scaling.decide = function(wish, cluster, caller)
        if wish.replicas > 10 and not caller.admin then return nil, "at most ten workers" end
        return decide(wish, cluster, caller)
      end
      local response = scale(11)
      assert.equal(403, response.status)
      assert.equal("refused_by_policy", response.json.error)
      assert.equal("at most ten workers", response.json.message)
      assert.equal(200, scale(10).status)
      principal("a1", true)
      assert.equal(200, scale(11).status)
    end)

    it("ends the request when the rule breaks its contract, and changes nothing", function()
      local decide = scaling.decide
      finally(function()
        scaling.decide = decide
      end)
      local broken = {
        true, "yes", {}, { replicas = 5, min_replicas = 0, max_replicas = 6 },
        { replicas = 2.5, min_replicas = 1, max_replicas = 6 }, { replicas = 5, min_replicas = 5, max_replicas = 4 },
        { replicas = -1, min_replicas = 1, max_replicas = 1 }, { replicas = "5", min_replicas = 1, max_replicas = 5 },
        { replicas = 5, min_replicas = 5, max_replicas = 2147483648 },
      }
      for _, plan in ipairs(broken) do
        scaling.decide = function()
          return plan
        end
        assert.has_error(function()
          scale(5)
        end)
      end
      scaling.decide = function() end
      assert.has_error(function()
        scale(5)
      end, "policies.scaling: a refusal without a reason")
      assert.equal(0, kube.count "merge_patch")
    end)
  end)
end)
