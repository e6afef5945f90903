local cjson = require "cjson"
local client = require "client"
local program = require "program"
local stage = require "stage"

--- The recorded body of a fixture.
local function fixture(name)
  local text = program.read("spec/simulator/fixtures/" .. name .. ".http")
  return (text:match "\n\nHTTP/.-\n\n(.*)$":gsub("\n$", ""))
end

--- The objects of a recorded list, as text.
local function recorded_objects()
  local items = assert(fixture "list":match '"items":%[(.*)%],"kind":"RayClusterList"')
  local objects = {}
  for object in items:gsub('},({"apiVersion":"[^"]*","kind":"RayCluster")', "}\0%1"):gmatch "[^\0]+" do
    objects[#objects + 1] = object
  end
  return objects
end

--- An object without the newline that ends an answer of the API server, and no element of its lists.
local function bare(body)
  return (body:gsub("\n$", ""))
end

describe("endpoints", function()
  local here

  setup(function()
    here = stage.open()
  end)

  teardown(function()
    here:close()
  end)

  for _, spelling in ipairs { "/raycluster", "/rayclusterscaler" } do
    describe(spelling, function()
      it("lists an owner's clusters, each in the API server's bytes", function()
        local person = here:person()
        local elements = {}
        for i = 1, 3 do
          elements[i] = here:bytes(here:cluster { owners = { person.id }, workers = i })
        end
        local response = here:get(person, spelling .. "/list")
        assert.equal(200, response.status)
        assert.equal("application/json", response.headers["content-type"])
        assert.equal('{"ray_clusters":[' .. table.concat(elements, ",") .. "]}", response.body)
      end)

      it("lists nothing as an empty array", function()
        local response = here:get(here:person(), spelling .. "/list")
        assert.equal(200, response.status)
        assert.equal('{"ray_clusters":[]}', response.body)
      end)

      it("gets one cluster in the API server's bytes, with its ETag", function()
        local name = stage.clusters.umas
        local response = here:get(stage.uma, spelling .. "/" .. name)
        assert.equal(200, response.status)
        assert.equal("application/json", response.headers["content-type"])
        assert.equal(here:bytes(name), bare(response.body))
        assert.equal(('"%s"'):format(here:object(name).metadata.resourceVersion), response.headers.etag)
      end)

      it("answers 304 to who has it already", function()
        local path = spelling .. "/" .. stage.clusters.umas
        local etag = here:get(stage.uma, path).headers.etag
        for _, tags in ipairs { etag, "*", "W/" .. etag, '"x", ' .. etag, ' "x" ,W/' .. etag .. ' , "y"' } do
          local response = here:get(stage.uma, path, { ["If-None-Match"] = tags })
          assert.equal(304, response.status, tags)
          assert.equal("", response.body)
          assert.equal(etag, response.headers.etag)
        end
        for _, tags in ipairs { '"x"', etag:sub(2, -2), etag:sub(1, -2), "", '"*"' } do
          assert.equal(200, here:get(stage.uma, path, { ["If-None-Match"] = tags }).status, tags)
        end
        assert.equal(403, here:get(stage.urs, path, { ["If-None-Match"] = etag }).status)
      end)

      it("answers HEAD as GET, without the body", function()
        for _, path in ipairs { "/list", "/" .. stage.clusters.umas } do
          local get = here:get(stage.uma, spelling .. path)
          local head = here:request(stage.uma, { method = "HEAD", path = spelling .. path })
          assert.equal(200, head.status)
          assert.equal("", head.body)
          assert.equal(#get.body, tonumber(head.headers["content-length"]))
          assert.equal(get.headers.etag, head.headers.etag)
        end
      end)

      it("scales in one patch and answers the patched object", function()
        local name = here:cluster { workers = 2 }
        local generation = here:object(name).metadata.generation
        here.kubernetes:operator_step(60000)
        local response = here:request(stage.uma, { method = "POST", path = spelling .. "/scale",
          body = { cluster_name = name, replicas = 5 } })
        local object = here:object(name)
        here.kubernetes:operator_step(1000)
        assert.equal(200, response.status, response.body)
        assert.same(object, response.json)
        assert.equal(('"%s"'):format(object.metadata.resourceVersion), response.headers.etag)
        local spec = object.spec
        assert.same({ 5, 5, 6 }, { spec.worker.replicas, spec.autoscaling.minReplicas, spec.autoscaling.maxReplicas })
        assert.equal(50, spec.autoscaling.averageCPUUtilization)
        assert.is_truthy(response.body:find('"objectStoreMemoryBytes":9007199254740993', 1, true))
        assert.equal(1, object.metadata.generation - generation) -- one change of the spec
      end)
    end)
  end

  it("scale to no workers in the one way that the operator takes", function()
    local name = here:cluster { workers = 3 }
    for replicas, expected in pairs { [0] = { 0, 1, 1 }, [1] = { 1, 1, 2 } } do
      assert.equal(200, here:scale(stage.uma, name, replicas).status)
      local spec = here:object(name).spec
      assert.same(expected, { spec.worker.replicas, spec.autoscaling.minReplicas, spec.autoscaling.maxReplicas })
    end
  end)

  it("scale to as many as an int32 counts", function()
    local name = here:cluster()
    here.kubernetes:operator_step(60000)
    local response = here:scale(stage.uma, name, 2147483646)
    assert.equal(200, response.status, response.body)
    assert.is_truthy(response.body:find('"maxReplicas":2147483647', 1, true))
    assert.equal(200, here:scale(stage.uma, name, 1).status)
    here.kubernetes:operator_step(1000)
  end)

  it("take replicas as any JSON that is a whole number, and fields that are somebody else's", function()
    for text, replicas in pairs { ["2.0"] = 2, ["3e0"] = 3, ["40e-1"] = 4 } do
      local name = here:cluster()
      local response = here:request(stage.uma, { method = "POST", path = "/raycluster/scale",
        headers = { ["content-type"] = "Application/JSON; charset=utf-8" },
        body = (' {"note":null,"replicas":%s,\n"cluster_name":"%s"} '):format(text, name) })
      assert.equal(200, response.status, response.body)
      assert.equal(replicas, here:object(name).spec.worker.replicas)
    end
  end)

  stage.only_simulated(it, "objects of old")("pass on what Kubernetes recorded, byte for byte", function()
    local objects, names = recorded_objects(), {}
    for i, object in ipairs(objects) do
      names[i] = cjson.decode(object).metadata.name
      here:control("POST", "objects", object)
    end
    assert(#objects >= 2)
    -- These versions lie before the simulator's first, so no watch tells of them: a fresh service lists anew.
    local fresh = here:serve()
    stage.await_ready(fresh)
    local function get(who, path)
      return here:request(who, { port = fresh.port, path = "/raycluster/" .. path })
    end
    local all = get(stage.admin, "list").body
    local umas = get(stage.uma, "list").body
    for i, object in ipairs(objects) do
      assert.equal(object, bare(get(stage.admin, names[i]).body))
      assert.is_truthy(all:find(object, 1, true))
      local owner = cjson.decode(object).metadata.labels["dominodatalab.com/starting-user-id"]
      assert.equal(owner == stage.uma.id, umas:find(object, 1, true) ~= nil)
      assert.equal(owner == stage.uma.id and 200 or 403, get(stage.uma, names[i]).status)
    end
    local got = fixture "get"
    assert.equal(got, bare(get(stage.uma, cjson.decode(got).metadata.name).body))
  end)

  it("echo a plain request id and make one otherwise", function()
    local path = "/raycluster/" .. stage.clusters.umas
    assert.equal("spec-1.2:3", here:get(stage.uma, path, { ["X-Request-Id"] = "spec-1.2:3" }).headers["x-request-id"])
    for _, id in ipairs { "a b", 'a"b', ("x"):rep(129), "\u{e9}", "" } do
      local made = here:get(stage.uma, path, { ["X-Request-Id"] = id }).headers["x-request-id"]
      assert.matches("^" .. ("%x"):rep(32) .. "$", made)
    end
    assert.equal("of-a-404", here:get(stage.uma, "/nowhere", { ["X-Request-Id"] = "of-a-404" }).json.requestId)
  end)

  it("say how the service is, to anybody, on both listeners", function()
    local body_of = { ["/healthz"] = '{"status":"Healthy"}', ["/readyz"] = '{"status":"ready"}' }
    for _, port in ipairs { here.service.port, here.service.admin_port } do
      for path, body in pairs(body_of) do
        local detailed = path == "/readyz" and port == here.service.admin_port
        local response = here:request(nil, { port = port, path = path })
        assert.equal(200, response.status)
        assert.equal("application/json", response.headers["content-type"])
        if detailed then
          assert.equal("ready", response.json.status)
          local watch = response.json.watches[1]
          assert.equal("rayclusters.distributed-compute.dominodatalab.com", watch.resource)
          assert.is_true(watch.listed and watch.up and watch.read)
        else
          assert.equal(body, response.body)
        end
        local head = here:request(nil, { port = port, path = path, method = "HEAD" })
        assert.equal(200, head.status)
        assert.equal("", head.body)
        assert.is_true(detailed or #body == tonumber(head.headers["content-length"]))
        local wrong = here:request(nil, { port = port, path = path, method = "POST" })
        assert.equal(405, wrong.status)
        assert.equal("GET, HEAD", wrong.headers.allow)
      end
    end
  end)

  it("say 503 with the reasons while there are no valid rules", function()
    local broken = here:serve { policies = { ["scaling.lua"] = "return {" } }
    for _, port in ipairs { broken.port, broken.admin_port } do
      assert.equal(200, here:request(nil, { port = port, path = "/healthz" }).status)
      local ready = client.request(port, { path = "/readyz" })
      assert.equal(503, ready.status)
      assert.is_truthy(ready.json.reasons[1]:find("policies/scaling.lua:1", 1, true), ready.body)
    end
    local response = here:request(stage.uma, { port = broken.port, path = "/raycluster/list" })
    assert.equal(503, response.status)
    assert.is_truthy(response.headers["retry-after"])
  end)
end)
