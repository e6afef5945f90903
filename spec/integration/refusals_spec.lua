local client = require "client"
local program = require "program"
local rawsocket = require "rawsocket"
local stage = require "stage"

local SPELLINGS <const> = { "/raycluster", "/rayclusterscaler" }
local WITHOUT_ID <const> = { "demo-without-id-token", "demo-null-id-token", "demo-empty-id-token" }

local only_simulated <const> = stage.only_simulated(it, "faults")

--- A Status as the API server sends it.
local function status_body(code, reason, message, causes)
  return ('{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"%s","reason":"%s",'
    .. '"details":{"name":"x","group":"g","kind":"rayclusters","causes":[%s]},"code":%d}'):format(message, reason,
    causes or "", code)
end

describe("refusals:", function()
  local here

  setup(function()
    here = stage.open()
  end)

  teardown(function()
    here:close()
  end)

  before_each(function()
    here:fault()
  end)

  local function assert_refused(status, error, response)
    assert.same({ status, error }, { response.status, response.error }, response.body)
  end

  local function workers(name)
    return here:object(name).spec.worker.replicas
  end

  describe("401", function()
    local function assert_unauthenticated(headers, token)
      for _, spelling in ipairs(SPELLINGS) do
        for _, request in ipairs {
          { path = spelling .. "/list" },
          { path = spelling .. "/" .. stage.clusters.umas },
          { path = spelling .. "/scale", method = "POST", body = { cluster_name = stage.clusters.umas, replicas = 2 } },
        } do
          request.headers, request.token = headers, token
          local response = here:request(nil, request)
          assert_refused(401, "unauthenticated", response)
          assert.equal("Bearer", response.headers["www-authenticate"])
        end
      end
    end

    it("without a credential", function()
      assert_unauthenticated()
      for _, value in ipairs { "", "Bearer", "Bearer  " } do
        assert_unauthenticated { Authorization = value }
      end
      assert_unauthenticated { ["X-Domino-Api-Key"] = "" }
    end)

    it("with a credential that Domino does not know, though it says 200", function()
      assert_unauthenticated(nil, "who-is-this")
      assert_unauthenticated { ["X-Domino-Api-Key"] = "who-is-this" }
      assert_unauthenticated(nil, "demo-anonymous-admin-token")
    end)

    for _, status in ipairs { 401, 403 } do
      it("when Domino answers " .. status, function()
        local person = here:person()
        here:fault { match = { kind = "principal" }, fault = { status = status } }
        assert_unauthenticated(nil, person.token)
      end)
    end

    it("for an API key of nobody, whoever the token is of", function()
      assert_unauthenticated({ ["X-Domino-Api-Key"] = "who-is-this" }, stage.admin.token)
    end)

    it("not for an API key that is somebody's", function()
      local path = "/raycluster/" .. stage.clusters.umas
      assert.equal(200, here:get(nil, path, { ["X-Domino-Api-Key"] = stage.uma.token }).status)
    end)
  end)

  describe("403", function()
    it("for a cluster that is somebody else's", function()
      local before = here:bytes(stage.clusters.urss)
      for _, spelling in ipairs(SPELLINGS) do
        local path = spelling .. "/" .. stage.clusters.urss
        assert_refused(403, "unauthorized", here:get(stage.uma, path))
        assert.equal(403, here:request(stage.uma, { method = "HEAD", path = path }).status)
        assert_refused(403, "unauthorized", here:request(stage.uma, { method = "POST", path = spelling .. "/scale",
          body = { cluster_name = stage.clusters.urss, replicas = 9 } }))
      end
      assert.equal(before, here:bytes(stage.clusters.urss))
    end)

    it("tells nothing about it", function()
      local path = "/raycluster/" .. stage.clusters.urss
      for _, response in ipairs {
        here:get(stage.uma, path),
        here:get(stage.uma, path, { ["If-None-Match"] = "*" }),
        here:scale(stage.uma, stage.clusters.urss, 2, { ["If-Match"] = '"0"' }),
      } do
        assert_refused(403, "unauthorized", response)
        assert.is_nil(response.headers.etag)
        assert.is_nil(response.body:find(stage.urs.id, 1, true))
      end
    end)

    it("for a cluster without an owner, but to admins", function()
      local name = stage.clusters.nobodys
      for _, token in ipairs { stage.uma.token, table.unpack(WITHOUT_ID) } do
        local person = { token = token }
        assert_refused(403, "unauthorized", here:get(person, "/raycluster/" .. name))
        assert_refused(403, "unauthorized", here:scale(person, name, 1))
        assert.is_nil(here:get(person, "/raycluster/list").body:find(name, 1, true))
      end
      assert.equal(200, here:get(stage.admin, "/raycluster/" .. name).status)
      assert.is_truthy(here:get(stage.admin, "/raycluster/list").body:find(name, 1, true))
      assert.equal(200, here:scale(stage.admin, name, 1).status)
    end)

    it("to whom Domino gives no id, whatever the owner's label says", function()
      local name = here:cluster()
      for _, owner in ipairs { "", "null", "nil", "undefined" } do
        here.kubernetes:set_owner(name, owner)
        for _, token in ipairs(WITHOUT_ID) do
          assert_refused(403, "unauthorized", here:get({ token = token }, "/raycluster/" .. name))
          assert.equal('{"ray_clusters":[]}', here:get({ token = token }, "/raycluster/list").body)
        end
      end
    end)

    it("until the cluster is the caller's, and again when it no longer is", function()
      local name, person = here:cluster(), here:person()
      assert_refused(403, "unauthorized", here:get(person, "/raycluster/" .. name))
      here.kubernetes:set_owner(name, person.id)
      program.eventually(function() return here:get(person, "/raycluster/" .. name).status == 200 end)
      program.eventually(function() return here:get(stage.uma, "/raycluster/" .. name).status == 403 end)
    end)
  end)

  describe("404", function()
    it("for a cluster that is not there", function()
      for _, who in ipairs { stage.uma, stage.admin } do
        assert_refused(404, "not_found", here:get(who, "/raycluster/ray-none"))
        assert_refused(404, "not_found", here:scale(who, "ray-none", 2))
      end
    end)

    it("for a path that is not there", function()
      for _, path in ipairs {
        "/", "/raycluster", "/raycluster/", "/raycluster/list/", "/raycluster//list", "/raycluster/a/b",
        "/rayclusters/list", "/RayCluster/list", "/api", "/healthz/", "/metrics", "/raycluster/list/x",
        "/rayclusterscaler", "//raycluster/list", "/raycluster/../raycluster/list", "/favicon.ico",
      } do
        assert_refused(404, "not_found", here:get(stage.uma, path))
      end
    end)
  end)

  describe("405", function()
    it("names the methods that the path allows", function()
      for _, spelling in ipairs(SPELLINGS) do
        for path, case in pairs {
          ["/list"] = { "GET, HEAD", { "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } },
          ["/scale"] = { "POST", { "GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS" } },
          ["/" .. stage.clusters.umas] = { "GET, HEAD", { "POST", "PUT", "PATCH", "DELETE", "OPTIONS" } },
        } do
          for _, method in ipairs(case[2]) do
            local response = here:request(stage.uma, { method = method, path = spelling .. path })
            assert.equal(405, response.status, method .. path)
            assert.equal(case[1], response.headers.allow)
            assert.equal(method ~= "HEAD" and "method_not_allowed" or nil, response.error)
            assert.is_nil(response.headers["access-control-allow-origin"])
          end
        end
      end
    end)
  end)

  describe("400", function()
    local function scale(body)
      return here:request(stage.uma, { method = "POST", path = "/raycluster/scale", body = body,
        headers = { ["Content-Type"] = "application/json" } })
    end

    it("for what is not a JSON object", function()
      for _, body in ipairs {
        "", " ", "{", "[", "[]", "[1]", "null", "true", "1", '"x"', "{}{}", "{} x", "{'a':1}", '{"a":1,}', '{"a":NaN}',
        '{"a":0x1}', '{"a":01}', '{"a":"\t"}', '{"a":"\xff"}', "\xef\xbb\xbf{}", ("["):rep(800), "\0",
        ('{"a":'):rep(100) .. "1" .. ("}"):rep(100), '{"replicas":1,"replicas":2,"cluster_name":"x"}',
        "replicas=1&cluster_name=x",
      } do
        local response = scale(body)
        assert_refused(400, "bad_request", response)
        assert.equal("body", response.json.errors[1].field)
      end
    end)

    local function assert_names(field, response)
      assert_refused(400, "bad_request", response)
      assert.equal(1, #response.json.errors, response.body)
      assert.equal(field, response.json.errors[1].field)
      assert.is_truthy(response.json.detail:find(field, 1, true))
    end

    it("for fields that are missing or mistyped, each named", function()
      local response = scale "{}"
      assert_refused(400, "bad_request", response)
      assert.same({ "cluster_name", "replicas" }, { response.json.errors[1].field, response.json.errors[2].field })
      for _, value in ipairs {
        "true", "false", '"5"', "2.5", "1e99", "-1", "-0.5", "2147483647", "2147483648", "9007199254740993", "1e-1",
        "null", "[]", "{}", "[5]", "99999999999999999999999",
      } do
        assert_names("replicas", scale(('{"cluster_name":"%s","replicas":%s}'):format(stage.clusters.umas, value)))
      end
      for _, value in ipairs { "1", "true", "null", '""', "[]", "{}" } do
        assert_names("cluster_name", scale(('{"cluster_name":%s,"replicas":2}'):format(value)))
      end
    end)

    it("for a name that no object can have", function()
      for _, name in ipairs {
        "Ray-1", "ray_1", "-ray", "ray-", ".ray", "ray.", "ray..1", "ray.-1", "ray-.1", "r\u{e9}", "a b", "a/b",
        "../pods/x", ("a"):rep(254), "a\0b", "a%2fb", "a?b=c", "a#b", "a\nb",
      } do
        assert_names("cluster_name", here:scale(stage.uma, name, 1))
      end
      for _, path in ipairs {
        "Ray-1", "ray_1", "-ray", "ray-", "..", ".", "a%20b", "r%C3%A9", "a%25b", ("a"):rep(254), "a%3fb=c", "a%23b",
        "a;b", "a:b", "a@b", "*",
      } do
        assert_names("name", here:get(stage.uma, "/raycluster/" .. path))
      end
    end)

    it("before anything is patched", function()
      local before = here:bytes(stage.clusters.urss)
      assert_names("replicas", scale(('{"cluster_name":"%s","replicas":true}'):format(stage.clusters.urss)))
      assert.equal(before, here:bytes(stage.clusters.urss))
    end)
  end)

  describe("413", function()
    it("for a body over 64 KiB", function()
      local head, tail = '{"cluster_name":"ray-none","replicas":1,"note":"', '"}'
      local largest = head .. ("x"):rep(64 * 1024 - #head - #tail) .. tail
      for body, status in pairs { [largest] = 404, [largest .. " "] = 413 } do
        local response = here:request(stage.uma, { method = "POST", path = "/raycluster/scale", body = body,
          headers = { ["Content-Type"] = "application/json" } })
        assert.equal(status, response.status, response.body)
      end
    end)

    it("before a byte of it has come", function()
      for _, length in ipairs { "65537", "999999999999999999" } do
        local connection = rawsocket.connect(here.service.port)
        connection:send(("POST /raycluster/scale HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n"):format(length))
        local response = assert(connection:response("POST", 5))
        assert.equal(413, response.status)
        assert.equal("close", response.headers.connection)
        connection:close()
      end
    end)
  end)

  it("415 for what its Content-Type does not call JSON", function()
    local body = ('{"cluster_name":"%s","replicas":2}'):format(stage.clusters.umas)
    for _, kind in ipairs {
      false, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "text/json",
      "application/json-patch+json", "multipart/form-data; boundary=application/json",
    } do
      assert_refused(415, "unsupported_media_type", here:request(stage.uma, { method = "POST",
        path = "/raycluster/scale", body = body, headers = kind and { ["Content-Type"] = kind } or nil }))
    end
  end)

  describe("409", function()
    it("for a cluster without autoscaling", function()
      local before = here:bytes(stage.clusters.umas_fixed)
      assert_refused(409, "not_scalable", here:scale(stage.uma, stage.clusters.umas_fixed, 3))
      assert.equal(before, here:bytes(stage.clusters.umas_fixed))
    end)

    only_simulated("after three retries, each on what stands there then", function()
      local name = here:cluster()
      local before = here:count "patch rayclusters"
      here:fault { match = { kind = "patch", name = name }, fault = { touch = true } }
      assert_refused(409, "conflict", here:scale(stage.uma, name, 4))
      assert.equal(4, here:count "patch rayclusters" - before)
      assert.equal(1, workers(name))
    end)

    for conflicts = 1, 3 do
      only_simulated(("not after %d conflicts, which nobody notices"):format(conflicts), function()
        local name = here:cluster()
        local before = here:count "patch rayclusters"
        here:fault { match = { kind = "patch", name = name, times = conflicts }, fault = { touch = true } }
        assert.equal(200, here:scale(stage.uma, name, 4).status)
        assert.equal(conflicts + 1, here:count "patch rayclusters" - before)
        assert.equal(4, workers(name))
      end)
    end

    it("is not what a caller hears of a writer who was quicker, nor is the writer undone", function()
      for _ = 1, 10 do
        local name = here:cluster()
        here.kubernetes:touch(name) -- of which the copy may not have heard
        local connection = client.send(here.service.port, { method = "POST", path = "/raycluster/scale",
          token = stage.uma.token, body = { cluster_name = name, replicas = 4 } })
        local version = here.kubernetes:touch(name)
        local response = client.receive(connection)
        assert.equal(200, response.status, response.body)
        local object = here:object(name)
        assert.equal(4, object.spec.worker.replicas)
        assert.is_true(tonumber(object.metadata.resourceVersion) >= version)
      end
    end)

    it("becomes 403 when the cluster has just changed hands", function()
      local name = here:cluster()
      here.kubernetes:set_owner(name, stage.urs.id)
      assert.equal(403, here:scale(stage.uma, name, 4).status)
      assert.equal(1, workers(name))
    end)

    it("becomes what holds for another cluster of the same name", function()
      local name = here:cluster()
      here.kubernetes:replace(name, stage.uma.id)
      local status = here:scale(stage.uma, name, 4).status
      assert.is_true(status == 200 or status == 404, status) -- between the two there is none
      assert.equal(status == 200 and 4 or 1, workers(name))
      here.kubernetes:replace(name, stage.urs.id)
      status = here:scale(stage.uma, name, 3).status
      assert.is_true(status == 403 or status == 404, status)
      assert.equal(1, workers(name))
    end)

    only_simulated("becomes 403 when the cluster has changed hands meanwhile", function()
      local name = here:cluster()
      here:fault { match = { kind = "patch", name = name, times = 1 }, fault = { status = 409, delay_ms = 500 } }
      local connection = client.send(here.service.port, { method = "POST", path = "/raycluster/scale",
        token = stage.uma.token, body = { cluster_name = name, replicas = 4 } })
      program.eventually(function() return here:control("GET", "faults")[1].applied == 1 end)
      here:control("POST", "owner", { name = name, owner = stage.urs.id })
      local response = client.receive(connection)
      assert.equal(403, response.status, response.body)
      assert.equal(1, workers(name))
    end)

    only_simulated("for another cluster of the same name", function()
      local name = here:cluster()
      here:fault { match = { kind = "patch", name = name }, fault = { status = 422, body = status_body(422, "Invalid",
        "is invalid", '{"reason":"FieldValueInvalid","message":"field is immutable","field":"metadata.uid"}') } }
      assert_refused(409, "conflict", here:scale(stage.uma, name, 4))
    end)
  end)

  describe("412", function()
    it("for an If-Match that is stale", function()
      local name = here:cluster()
      local stale = here:get(stage.uma, "/raycluster/" .. name).headers.etag
      assert.equal(200, here:scale(stage.uma, name, 3, { ["If-Match"] = stale }).status)
      for _, tag in ipairs { stale, '"0"', "W/" .. stale, "", '"*"' } do
        assert_refused(412, "precondition_failed", here:scale(stage.uma, name, 4, { ["If-Match"] = tag }))
      end
      assert.equal(3, workers(name))
      assert.equal(200, here:scale(stage.uma, name, 4, { ["If-Match"] = "*" }).status)
    end)

    only_simulated("when the cluster changes between the look and the patch", function()
      local name = here:cluster()
      local etag = here:get(stage.uma, "/raycluster/" .. name).headers.etag
      here:fault { match = { kind = "patch", name = name }, fault = { touch = true } }
      assert_refused(412, "precondition_failed", here:scale(stage.uma, name, 4, { ["If-Match"] = etag }))
      assert.equal(1, workers(name))
    end)
  end)

  describe("422", function()
    stage.only_simulated(it, "the operator's webhook")("with the causes, from the operator's webhook", function()
      local object = here:object(here:cluster())
      local name = object.metadata.name .. "-broken"
      local worker = object.spec.worker
      here:control("POST", "objects", {
        apiVersion = object.apiVersion, kind = object.kind,
        metadata = { name = name, labels = object.metadata.labels },
        spec = { autoscaling = object.spec.autoscaling,
          worker = { replicas = 1, resources = { requests = { cpu = worker.resources.requests.cpu } } } },
      })
      program.eventually(function() return here:get(stage.uma, "/raycluster/" .. name).status == 200 end)
      local response = here:scale(stage.uma, name, 2)
      assert_refused(422, "rejected_by_cluster", response)
      assert.equal("spec.worker.resources.requests.memory", response.json.causes[1].field)
      assert.is_truthy(response.json.causes[1].message:find("mandatory", 1, true))
    end)

    it("with the causes, from the schema of the resource", function()
      local name = here:cluster()
      local script, changes = program.read "scripts/clusters.lua":gsub("replicas = plan%.replicas",
        "replicas = tostring(plan.replicas)")
      assert.equal(1, changes)
      local mistaken = here:serve { scripts = { ["clusters.lua"] = script } }
      stage.await_ready(mistaken)
      local response = here:request(stage.uma, { method = "POST", path = "/raycluster/scale", port = mistaken.port,
        body = { cluster_name = name, replicas = 2 } })
      assert_refused(422, "rejected_by_cluster", response)
      assert.equal("spec.worker.replicas", response.json.causes[1].field)
    end)

    for status, reason in pairs { [400] = "BadRequest", [403] = "Forbidden" } do
      only_simulated(("when the webhook refuses by %d"):format(status), function()
        local name = here:cluster()
        here:fault { match = { kind = "patch", name = name }, fault = { status = status, body = status_body(status,
          reason, [[admission webhook \"vraycluster.kb.io\" denied the request: not on a Sunday]]) } }
        local response = here:scale(stage.uma, name, 2)
        assert_refused(422, "rejected_by_cluster", response)
        assert.is_truthy(response.body:find("not on a Sunday", 1, true))
      end)
    end
  end)
end)
