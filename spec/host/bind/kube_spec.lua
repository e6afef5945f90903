local native = require "native.bind_kube"

local NAME = "ray-655cb2de368ad4624b1e7d7b"
local PATH = "/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/domino-compute/rayclusters"

--- A recorded answer of a real API server: as bytes to send, and its body.
local function recorded(name)
  local file = assert(io.open("spec/simulator/fixtures/" .. name .. ".http", "rb"))
  local text = file:read("a")
  file:close()
  local head, body = text:match("\n\n(HTTP/1.1 .-)\n\n(.*)$")
  head = head:gsub("\nTransfer%-Encoding: chunked", ""):gsub("\nContent%-Length: %d+", "")
  local bytes = ("%s\nContent-Length: %d\nConnection: close\n\n"):format(head, #body):gsub("\n", "\r\n") .. body
  return bytes, (body:gsub("\n$", ""))
end

local function answer(status, body, headers)
  return ("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s")
    :format(status, #body, headers or "", body)
end

local function refusal(code, reason, message)
  return ('{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"%s","reason":"%s","code":%d}')
    :format(message, reason, code)
end

local function object(name, version, fields)
  return ('{"kind":"RayCluster","metadata":{"name":"%s","namespace":"domino-compute","uid":"u","resourceVersion":"%s"'
    .. '}%s}'):format(name, version or "1", fields or "")
end

local function page(items, continue)
  return ('{"kind":"RayClusterList","metadata":{"resourceVersion":"9"%s},"items":[%s]}')
    :format(continue and (',"continue":"%s"'):format(continue) or "", table.concat(items, ","))
end

describe("host/bind/kube", function()
  local clusters, json

  before_each(function()
    local kube = native.open()
    json = native.json()
    clusters = kube.resource {
      group = "distributed-compute.dominodatalab.com", version = "v1alpha1", plural = "rayclusters",
    }
  end)
  after_each(function()
    clusters = nil
    collectgarbage()
    native.close()
  end)

  local function asked(index)
    return native.asked()[index]
  end

  local function first_line(index)
    return (asked(index):match("^[^\r]+"))
  end

  describe("get", function()
    it("gives the API server's own bytes and what rules need", function()
      local bytes, body = recorded("get")
      native.say(bytes)
      local cluster = assert(clusters:get(NAME))
      assert.equal("GET " .. PATH .. "/" .. NAME .. " HTTP/1.1", first_line(1))
      assert.equal(body, cluster:text())
      assert.equal(NAME, cluster.name)
      assert.equal("domino-compute", cluster.namespace)
      assert.matches("^%x+%-", cluster.uid)
      assert.matches("^%d+$", cluster.resource_version)
      assert.equal("5d1f1622fdfe52c4e28e60d8", cluster.labels["dominodatalab.com/starting-user-id"])
      assert.is_nil(cluster.labels["unknown"])
      assert.is_nil(cluster.unknown)
      assert.same({ body, false }, { native.piece(cluster) }, "all but the line feed")
      assert.is_nil(native.piece("text"))
      assert.equal(1, native.calls())
    end)

    it("decodes parts by path", function()
      native.say((recorded("get")))
      local cluster = assert(clusters:get(NAME))
      assert.equal("Running", cluster:decode("status.clusterStatus"))
      assert.equal("integer", math.type(cluster:decode("spec.autoscaling.minReplicas")))
      assert.is_number(cluster:decode("spec.autoscaling").maxReplicas)
      assert.is_nil(cluster:decode("spec.none.deeper"))
      assert.is_nil(cluster:decode("status.clusterStatus.deeper"))
      assert.has_error(function() cluster:decode("") end)
      assert.has_error(function() cluster:decode(("a"):rep(1000)) end)
    end)

    it("walks the labels, which nothing can write", function()
      native.say(answer(200, '{"metadata":{"name":"x","labels":{"a":"1","b\\u002f":"\\u00e9"}}}'))
      local cluster = assert(clusters:get("x"))
      local labels = {}
      for key, value in pairs(cluster.labels) do
        labels[key] = value
      end
      assert.same({ a = "1", ["b/"] = "é" }, labels)
      assert.equal("é", cluster.labels["b/"])
      assert.has_error(function() cluster.labels.a = "2" end)
      assert.has_error(function() cluster.name = "y" end)
      assert.is_false(getmetatable(cluster))
      local kept = cluster.labels
      cluster = nil -- luacheck: ignore
      collectgarbage()
      assert.equal("1", kept.a)
    end)

    it("has no labels where there are none", function()
      native.say(answer(200, object("x")))
      local cluster = assert(clusters:get("x"))
      assert.is_nil(cluster.labels.a)
      for label in pairs(cluster.labels) do
        error("a label: " .. label)
      end
    end)

    it("takes no name that is none", function()
      for _, name in ipairs { "", "a/b", "../x", "A", "a_b", "-a", "a-", "a..b", "a.-b", "a?b", "a\0",
        ("a"):rep(254) } do
        assert.has_error(function() clusters:get(name) end, nil, name)
      end
      assert.same({}, native.asked())
    end)
  end)

  describe("failures", function()
    local function fails(bytes)
      native.say(bytes)
      local value, failure = clusters:merge_patch("x", { a = 1 })
      assert.is_nil(value)
      return failure
    end

    it("are typed", function()
      for file, code in pairs { ["get-not-found"] = "not_found", ["patch-conflict"] = "conflict",
        ["patch-wrong-type"] = "invalid", ["list-forbidden"] = "forbidden", ["list-unauthorized"] = "unauthorized",
        ["list-continue-expired"] = "gone", ["patch-bad-json"] = "bad_answer" } do
        local bytes, body = recorded(file)
        local failure = fails(bytes)
        assert.equal(code, failure.code, file)
        local status = json.decode(body)
        assert.same({ status.message, status.code, status.reason }, { failure.message, failure.status, failure.reason })
        assert.equal(status.message, tostring(failure))
      end
    end)

    it("carry the causes", function()
      local bytes, body = recorded("patch-wrong-type")
      assert.same(json.decode(body).details.causes, fails(bytes).causes)
    end)

    it("tell a webhook's refusal from rights that we lack", function()
      local denied = [[admission webhook \"validate.operator\" denied the request: minReplicas must be at least 1]]
      for _, status in ipairs { 400, 403, 422 } do
        local failure = fails(answer(status, refusal(status, "Forbidden", denied)))
        assert.equal("invalid", failure.code)
        assert.matches("minReplicas must be", failure.message)
      end
      assert.equal("forbidden", fails(answer(403, refusal(403, "Forbidden",
        [[rayclusters is forbidden: User \"a\" cannot patch resource \"rayclusters\"]]))).code)
      assert.equal("bad_answer", fails(answer(400, refusal(400, "BadRequest", "bad"))).code)
    end)

    it("name what is no API server at all", function()
      assert.equal("unavailable", fails(answer(502, "<html>")).code)
      assert.equal("the API server answered 502", fails(answer(502, "<html>")).message)
      assert.equal("unavailable", fails(answer(500, refusal(500, "InternalError", "x"))).code)
      assert.equal("bad_answer", fails(answer(200, "<html>")).code)
      assert.equal("bad_answer", fails(answer(200, "[]")).code)
      assert.equal("bad_answer", fails(answer(200, object("another"))).code)
      assert.equal("bad_answer", fails(answer(200, '{"a":NaN}')).code)
      assert.equal("bad_answer", fails(answer(302, "")).code)
      assert.equal("unavailable", fails("").code)
      assert.equal("unavailable", fails("garbage\r\n\r\n").code)
      assert.equal("unavailable", fails("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{").code)
    end)

    it("tell when to come back", function()
      local failure = fails(answer(429, refusal(429, "TooManyRequests", "slow down"), "Retry-After: 30\r\n"))
      assert.same({ "throttled", 30 }, { failure.code, failure.retry_after })
      failure = fails(answer(503, "", "Retry-After: 60\r\n"))
      assert.same({ "throttled", 60 }, { failure.code, failure.retry_after })
      failure = fails(answer(503, ""))
      assert.same({ "unavailable" }, { failure.code, failure.retry_after })
    end)

    it("hold no credential", function()
      local failure = fails("")
      assert.is_nil(failure.message:find("secret", 1, true))
      assert.matches("Bearer secret%-token", asked(1))
    end)
  end)

  describe("retries", function()
    it("reads after a lost connection and after a 5xx", function()
      native.say("")
      native.say(answer(500, ""))
      native.say(answer(200, object("x")))
      assert.equal("x", assert(clusters:get("x")).name)
      assert.equal(3, native.calls())
    end)

    it("gives up after the third attempt", function()
      for _ = 1, 4 do
        native.say(answer(503, ""))
      end
      local _, failure = clusters:get("x")
      assert.equal("unavailable", failure.code)
      assert.equal(3, #native.asked())
    end)

    it("never writes twice what may have been carried out", function()
      native.say("")
      native.say(answer(200, object("x")))
      local _, failure = clusters:merge_patch("x", { a = 1 })
      assert.equal("unavailable", failure.code)
      _, failure = clusters:delete("x")
      assert.is_nil(failure)
      assert.equal(2, #native.asked())
    end)

    it("writes again when told to wait", function()
      native.say(answer(429, "", "Retry-After: 0\r\n"))
      native.say(answer(200, object("x")))
      assert.is_truthy(clusters:merge_patch("x", { a = 1 }))
    end)

    it("does not wait beyond the deadline", function()
      native.deadline(500)
      native.say(answer(429, "", "Retry-After: 1\r\n"))
      local _, failure = clusters:get("x")
      assert.equal("throttled", failure.code)
      assert.equal(1, #native.asked())
    end)

    it("answers a 404 at once", function()
      native.say(answer(404, refusal(404, "NotFound", "no")))
      assert.equal("not_found", select(2, clusters:get("x")).code)
      assert.equal(1, #native.asked())
    end)
  end)

  describe("list", function()
    it("goes through all pages and keeps the bytes of each object", function()
      local one, two = recorded("list-page-1"), recorded("list-page-2")
      native.say(one)
      native.say(two)
      local all = assert(clusters:list())
      local _, body = recorded("list")
      assert.is_true(#all >= 3)
      for i, cluster in ipairs(all) do
        assert.is_truthy(body:find(cluster:text(), 1, true), cluster.name)
        assert.is_true(i == 1 or all[i - 1].name < cluster.name)
        assert.is_false(select(2, native.piece(cluster)), "no copy")
      end
      assert.equal("GET " .. PATH .. "?limit=500 HTTP/1.1", first_line(1))
      assert.matches("^GET " .. PATH:gsub("%p", "%%%0") .. "%?limit=500&continue=[%w%%%-_]+ HTTP", first_line(2))
    end)

    it("sends selectors", function()
      native.say(answer(200, page {}))
      assert.same({}, clusters:list { label_selector = "a/b=c,d in (e)", field_selector = "metadata.name=x" })
      assert.equal("GET " .. PATH .. "?limit=500&labelSelector=a%2Fb%3Dc%2Cd%20in%20%28e%29"
        .. "&fieldSelector=metadata.name%3Dx HTTP/1.1", first_line(1))
    end)

    it("sorts by name", function()
      native.say(answer(200, page { object("b"), object("c"), object("a-1"), object("a") }))
      local names = {}
      for i, cluster in ipairs(assert(clusters:list())) do
        names[i] = cluster.name
      end
      assert.same({ "a", "a-1", "b", "c" }, names)
    end)

    it("starts over once when a page has expired", function()
      local expired = answer(410, refusal(410, "Expired", "too old"))
      native.say(answer(200, page({ object("a") }, "t1")))
      native.say(expired)
      native.say(answer(200, page({ object("b") }, "t2")))
      native.say(answer(200, page { object("c") }))
      local all = assert(clusters:list())
      assert.same({ "b", "c" }, { all[1].name, all[2].name })
      assert.is_nil(first_line(3):find("continue", 1, true))

      native.say(answer(200, page({ object("a") }, "t1")))
      native.say(expired)
      native.say(answer(200, page({ object("b") }, "t2")))
      native.say(expired)
      assert.equal("gone", select(2, clusters:list()).code)
    end)

    it("takes an empty list in either form, and nothing else for one", function()
      native.say(answer(200, '{"metadata":{},"items":null}'))
      assert.same({}, clusters:list())
      for _, body in ipairs { "{}", '{"items":{}}', '{"items":[5]}', '{"items":[{}]}', "[", "[]" } do
        native.say(answer(200, body))
        assert.equal("bad_answer", select(2, clusters:list()).code, body)
      end
    end)

    it("keeps objects alive until the request ends, whatever a script does with them", function()
      native.say(answer(200, page { object("a"), object("b", 1, ',"spec":{}') }))
      local last = clusters:list()[2]
      local labels = last.labels
      collectgarbage()
      assert.equal(object("b", 1, ',"spec":{}'), last:text())
      native.forget()
      for _, use in ipairs {
        function() last:text() end, function() last:decode("spec") end, function() return last.name end,
        function() return last.labels end, function() return labels.a end, function() pairs(labels) end,
      } do
        assert.error_matches(use, "earlier request")
      end
      assert.is_nil(native.piece(last))
      native.say(answer(200, object("c")))
      assert.equal(object("c"), clusters:get("c"):text())
    end)

    it("takes thousands", function()
      local items = {}
      for i = 1, 3000 do
        items[i] = object(("n%04d"):format(i))
      end
      native.say(answer(200, page(items)))
      local all = assert(clusters:list())
      assert.equal(items[3000], all[3000]:text())
      native.forget()
    end)
  end)

  describe("merge_patch", function()
    it("sends integers as integers and gives the new object", function()
      local bytes, body = recorded("patch-scale")
      native.say(bytes)
      local cluster = assert(clusters:merge_patch(NAME, {
        spec = { worker = { replicas = 5.0 }, big = 9007199254740993, gone = json.null, list = json.array {} },
      }))
      assert.equal(body, cluster:text())
      assert.equal("PATCH " .. PATH .. "/" .. NAME .. "?fieldManager=rayclusterscaler HTTP/1.1", first_line(1))
      assert.matches("Content%-Type: application/merge%-patch%+json\r\n", asked(1))
      local sent = asked(1):match("\r\n\r\n(.*)$")
      for _, part in ipairs { '"replicas":5}', '"big":9007199254740993', '"gone":null', '"list":[]' } do
        assert.is_truthy(sent:find(part, 1, true), part)
      end
    end)

    it("can name its manager and try without doing", function()
      native.say(answer(200, object("x")))
      assert.is_truthy(clusters:merge_patch("x", {}, { field_manager = "a b", dry_run = true }))
      assert.equal("PATCH " .. PATH .. "/x?fieldManager=a%20b&dryRun=All HTTP/1.1", first_line(1))
    end)

    it("raises on a patch that JSON cannot say", function()
      assert.has_error(function() clusters:merge_patch("x", { a = 0 / 0 }) end)
      assert.has_error(function() clusters:merge_patch("x", "{}") end)
      assert.same({}, native.asked())
    end)
  end)

  describe("delete", function()
    it("carries the preconditions", function()
      native.say(answer(200, '{"kind":"Status","status":"Success"}'))
      assert.is_true(clusters:delete("x", { uid = "u-1", resource_version = "7" }))
      assert.equal("DELETE " .. PATH .. "/x HTTP/1.1", first_line(1))
      assert.same({ kind = "DeleteOptions", apiVersion = "v1",
        preconditions = { uid = "u-1", resourceVersion = "7" } }, json.decode(asked(1):match("\r\n\r\n(.*)$")))
      native.say(answer(200, "{}"))
      assert.is_true(clusters:delete("x"))
      assert.is_nil(asked(2):find("preconditions", 1, true))
    end)

    it("gives a failure", function()
      native.say((recorded("delete-forbidden")))
      local done, failure = clusters:delete(NAME)
      assert.same({ nil, "forbidden" }, { done, failure.code })
    end)
  end)

  describe("resource", function()
    it("knows the core group and other namespaces", function()
      local kube = native.open_module()
      native.say(answer(200, object("x")))
      assert.is_truthy(kube.resource { group = "", version = "v1", plural = "pods", namespace = "other" }:get("x"))
      assert.equal("GET /api/v1/namespaces/other/pods/x HTTP/1.1", first_line(1))
    end)

    it("checks what it is given", function()
      local kube = native.open_module()
      for _, options in ipairs { {}, { group = "g", version = "v1" }, { group = "g/x", version = "v1", plural = "p" },
        { group = "g", version = "v1", plural = "p", namespace = "a/b" }, { group = 1, version = "v1", plural = "p" },
      } do
        assert.has_error(function() kube.resource(options) end)
      end
      assert.has_error(function() clusters.get({}, "x") end)
      assert.has_error(function() clusters.get(io.stdout, "x") end)
      assert.has_error(function() clusters:list { label_selector = {} } end)
    end)

    it("can be declared while a bundle loads, and asked later only", function()
      native.loading(true)
      local kube = native.open_module()
      local pods = kube.resource { group = "", version = "v1", plural = "pods" }
      for _, ask in ipairs {
        function() pods:get("x") end, function() pods:list() end, function() pods:delete("x") end,
        function() pods:merge_patch("x", {}) end,
      } do
        assert.error_matches(ask, "while a bundle loads")
      end
    end)
  end)
end)
