--- What the simulator does beyond the recordings.
local clock = require "clock"
local dkjson = require "dkjson"
local client = require "simulator_client"

local RAYCLUSTERS <const> = client.RAYCLUSTERS
local FIRST <const> = "ray-655cb2de368ad4624b1e7d01"

local function names_of(answer)
  assert.equal(200, answer.status, answer.body)
  local names = {}
  for index, item in ipairs(dkjson.decode(answer.body).items) do names[index] = item.metadata.name:sub(-2) end
  return table.concat(names, " ")
end

local function encoded(text)
  return (text:gsub("[^%w._-]", function(character) return ("%%%02X"):format(character:byte()) end))
end

describe("the simulator's Domino", function()
  local simulator
  before_each(function() simulator = client.new() end)

  local function principal(headers)
    simulator.token = nil
    local answer = simulator:send("GET", "/v4/auth/principal", "", headers)
    assert.equal(200, answer.status)
    return answer.body
  end

  it("names the caller by API key or bearer token, the key first", function()
    local admin = principal { ["X-Domino-Api-Key"] = "demo-admin-token", Authorization = "Bearer demo-uma-token" }
    assert.equal('{"isAnonymous":false,"isAdmin":true,"canonicalId":"5d1f1622fdfe52c4e28e6001",' ..
      '"canonicalName":"ada_admin","allowedSystemOperations":["ActAsProjectAdmin"],"featureFlags":[],' ..
      '"booleanSettings":[]}', admin)
    assert.truthy(principal({ Authorization = "Bearer demo-uma-token" }):find('"uma_user"', 1, true))
    assert.truthy(principal({ Authorization = "Bearer expired" }):find('"isAnonymous":true', 1, true))
    assert.truthy(principal({}):find('"isAnonymous":true', 1, true))
  end)

  it("leaves out or nulls an id where Domino does", function()
    assert.falsy(principal({ ["X-Domino-Api-Key"] = "demo-without-id-token" }):find("canonicalId", 1, true))
    assert.truthy(principal({ ["X-Domino-Api-Key"] = "demo-null-id-token" }):find('"canonicalId":null', 1, true))
  end)

  it("counts calls and which headers came, never their values", function()
    principal { ["X-Domino-Api-Key"] = "demo-admin-token" }
    local requests = simulator:call("GET", "requests")
    assert.equal(1, requests.kinds.principal)
    assert.same({ "X-Domino-Api-Key" }, requests.last.principal.headers)
    assert.falsy(dkjson.encode(requests):find("demo-admin-token", 1, true))
  end)

  it("expires a credential on request", function()
    simulator:call("POST", "identities", { token = "demo-uma-token", remove = true })
    assert.truthy(principal({ Authorization = "Bearer demo-uma-token" }):find('"isAnonymous":true', 1, true))
  end)
end)

describe("the simulator's API server", function()
  local simulator
  before_each(function() simulator = client.new() end)

  it("selects by labels and fields", function()
    local label = "dominodatalab.com/starting-user-id"
    for selector, expected in pairs {
      [label .. "=60aa0b1cfe0e4b7d9c1c2d3e"] = "03",
      [label .. "==60aa0b1cfe0e4b7d9c1c2d3e"] = "03",
      [label .. "!=60aa0b1cfe0e4b7d9c1c2d3e"] = "01 02 04",
      [label .. " in (60aa0b1cfe0e4b7d9c1c2d3e, nobody)"] = "03",
      [label .. " notin (60aa0b1cfe0e4b7d9c1c2d3e)"] = "01 02 04",
      [label] = "01 02 03",
      ["!" .. label] = "04",
      [label .. ",dominodatalab.com/execution-id=655cb2de368ad4624b1e7d02"] = "02",
    } do
      assert.equal(expected, names_of(simulator:get(RAYCLUSTERS .. "?labelSelector=" .. encoded(selector))), selector)
    end
    assert.equal("01 03 04", names_of(simulator:get(RAYCLUSTERS .. "?fieldSelector=metadata.name!%3D" ..
      "ray-655cb2de368ad4624b1e7d02")))
    assert.equal(400, simulator:get(RAYCLUSTERS .. "?labelSelector=a%20b").status)
    assert.equal(400, simulator:get(RAYCLUSTERS .. "?fieldSelector=spec.port%3D1").status)
  end)

  it("pages through what was there when the list began", function()
    local first = dkjson.decode(simulator:get(RAYCLUSTERS .. "?limit=3").body)
    assert.equal(1, first.metadata.remainingItemCount)
    simulator:call("DELETE", "objects", { name = "ray-655cb2de368ad4624b1e7d04" })
    local rest = simulator:get(RAYCLUSTERS .. "?limit=3&continue=" .. first.metadata.continue)
    assert.equal("04", names_of(rest))
    assert.equal(first.metadata.resourceVersion, dkjson.decode(rest.body).metadata.resourceVersion)
    simulator:call("POST", "compact")
    local expired = simulator:get(RAYCLUSTERS .. "?limit=3&continue=" .. first.metadata.continue)
    assert.equal(410, expired.status)
    local from_now = dkjson.decode(expired.body).metadata.continue
    assert.equal("", names_of(simulator:get(RAYCLUSTERS .. "?limit=3&continue=" .. from_now)))
  end)

  it("lets the service account do what its role says and nothing else", function()
    for _, request in ipairs {
      { "DELETE", RAYCLUSTERS .. "/" .. FIRST }, { "POST", RAYCLUSTERS }, { "PATCH", RAYCLUSTERS .. "/x/status" },
      { "GET", (RAYCLUSTERS:gsub("domino%-compute", "default")) }, { "GET", "/api/v1/namespaces/domino-compute/pods" },
      { "GET", "/apis/distributed-compute.dominodatalab.com/v1alpha1/rayclusters" },
    } do
      assert.equal(403, simulator:send(request[1], request[2]).status, request[1] .. " " .. request[2])
    end
    simulator:call("POST", "accounts", { token = client.SERVICE, rules = dkjson.decode [[
      [{"namespace":"*","resources":["pods"],"verbs":["list"]}] ]] })
    assert.equal(200, simulator:get("/api/v1/namespaces/domino-compute/pods").status)
    assert.equal(403, simulator:get(RAYCLUSTERS).status)
    simulator:call("POST", "accounts", { token = client.SERVICE, remove = true })
    assert.equal(401, simulator:get(RAYCLUSTERS).status)
    simulator:call("POST", "accounts", { token = "rotated" })
    simulator.token = "rotated"
    assert.equal(200, simulator:get(RAYCLUSTERS).status)
  end)

  it("refuses what the operator's webhook refuses", function()
    for patch, expected in pairs {
      ['{"spec":{"autoscaling":{"minReplicas":0}}}'] =
        { 422, "spec.autoscaling.minReplicas: Invalid value: 0: must be greater than or equal to 1" },
      ['{"spec":{"autoscaling":{"minReplicas":9}}}'] =
        { 422, "spec.autoscaling.maxReplicas: Invalid value: 3: cannot be less than spec.autoscaling.minReplicas" },
      ['{"spec":{"autoscaling":{"minReplicas":null,"maxReplicas":0}}}'] =
        { 422, "spec.autoscaling.maxReplicas: Invalid value: 0: must be greater than or equal to 1" },
      ['{"spec":{"autoscaling":{"maxReplicas":2147483648}}}'] =
        { 400, "json: cannot unmarshal number 2147483648 into Go struct field" },
      ['{"spec":{"worker":{"resources":{"requests":{"cpu":null}}}}}'] =
        { 422, "spec.worker.resources.requests.cpu: Required value" },
      ['{"spec":{"worker":{"replicas":-1}}}'] = { 422, "should be a non-negative integer" },
    } do
      local answer = simulator:patch(FIRST, patch)
      assert.equal(expected[1], answer.status, patch)
      assert.truthy(answer.body:find(expected[2], 1, true), answer.body)
    end
    local refused = dkjson.decode(simulator:patch(FIRST, '{"spec":{"autoscaling":{"minReplicas":0}}}').body)
    assert.truthy(refused.message:find('admission webhook "vraycluster.kb.io" denied the request: RayC', 1, true))
    assert.equal("spec.autoscaling.minReplicas", refused.details.causes[1].field)
  end)

  it("moves the generation with the spec alone", function()
    simulator:patch(FIRST, '{"metadata":{"labels":{"a":"b"}}}')
    local labelled = simulator:object(FIRST)
    assert.equal(1, labelled.metadata.generation)
    simulator:patch(FIRST, '{"spec":{"autoscaling":{"maxReplicas":9}}}')
    local changed = simulator:object(FIRST)
    assert.equal(2, changed.metadata.generation)
    assert.equal(tonumber(labelled.metadata.resourceVersion) + 1, tonumber(changed.metadata.resourceVersion))
  end)

  it("writes nothing in a dry run", function()
    local before = simulator:get(RAYCLUSTERS .. "/" .. FIRST).body
    local answer = simulator:patch(FIRST, '{"spec":{"worker":{"replicas":9}}}', "?dryRun=All")
    assert.equal(9, dkjson.decode(answer.body).spec.worker.replicas)
    assert.equal(before, simulator:get(RAYCLUSTERS .. "/" .. FIRST).body)
  end)

  it("refuses unknown fields when the request is strict", function()
    local answer = simulator:patch(FIRST, '{"spec":{"wrker":1}}', "?fieldValidation=Strict")
    assert.equal(400, answer.status)
    assert.truthy(answer.body:find([[unknown field \"spec.wrker\"]], 1, true))
  end)

  it("creates and deletes for those who may", function()
    simulator.token = client.ADMIN
    local object = simulator:object(FIRST)
    object.metadata = { name = "ray-new" }
    local json_type = { ["Content-Type"] = "application/json" }
    local created = simulator:send("POST", RAYCLUSTERS, dkjson.encode(object), json_type)
    assert.equal(201, created.status, created.body)
    assert.equal(409, simulator:send("POST", RAYCLUSTERS, dkjson.encode(object), json_type).status)
    local target = RAYCLUSTERS .. "/ray-new"
    assert.equal(409, simulator:send("DELETE", target, '{"preconditions":{"uid":"another"}}').status)
    assert.equal(200, simulator:send("DELETE", target).status)
    assert.equal(404, simulator:get(target).status)
  end)

  it("says why JSON cannot be read, as Go does", function()
    for body, message in pairs {
      ["{"] = "unexpected end of JSON input",
      ["{'a':1}"] = "invalid character '\\'' looking for beginning of object key string",
      ['{"a":1 "b":2}'] = "invalid character '\"' after object key:value pair",
      ['{"a":[1,]}'] = "invalid character ']' looking for beginning of value",
      ['{"a":01}'] = "invalid character '1' after object key:value pair",
      ['{"a":tru}'] = "invalid character '}' in literal true (expecting 'e')",
      ["{}x"] = "invalid character 'x' after top-level value",
      ["[]"] = "json: cannot unmarshal array into Go value of type map[string]interface {}",
    } do
      local answer = simulator:patch(FIRST, body)
      assert.equal(400, answer.status, body)
      assert.equal("error decoding patch: " .. message, dkjson.decode(answer.body).message)
    end
  end)

  it("keeps an object's bytes as they were posted", function()
    local text = '{ "kind":"RayCluster", "metadata":{"namespace":"domino-compute","name":"ray-odd","uid":"u",' ..
      '"resourceVersion":"5000"}, "spec":{"z":1,"a":[] } }'
    assert.equal(200, simulator:send("POST", "/_simulator/objects", text).status)
    assert.equal(text .. "\n", simulator:get(RAYCLUSTERS .. "/ray-odd").body)
  end)
end)

describe("a watch at the simulator", function()
  local simulator
  before_each(function() simulator = client.new() end)

  local function watch(parameters) return simulator:get(RAYCLUSTERS .. "?watch=1" .. parameters) end

  local function summary(text)
    local events = {}
    for line in text:gmatch "[^\n]+" do
      local event = dkjson.decode(line)
      events[#events + 1] = event.type .. " " .. (event.object.metadata.name or ""):sub(-2)
    end
    return table.concat(events, ", ")
  end

  it("begins with everything when it names no revision", function()
    assert.equal("ADDED 01, ADDED 02, ADDED 03, ADDED 04", summary((client.read(watch ""))))
  end)

  it("sees what enters and leaves its selector", function()
    local revision = simulator:call("GET", "requests").revision
    local answer = watch("&resourceVersion=" .. revision .. "&labelSelector=dominodatalab.com/starting-user-id%3Du1")
    simulator:call("POST", "owner", { name = FIRST, owner = "u1" })
    assert.equal("ADDED 01", summary((client.read(answer))))
    simulator:call("POST", "touch", { name = FIRST })
    assert.equal("MODIFIED 01", summary((client.read(answer))))
    simulator:call("POST", "owner", { name = FIRST })
    local left = dkjson.decode((client.read(answer)))
    assert.equal("DELETED", left.type)
    assert.equal("u1", left.object.metadata.labels["dominodatalab.com/starting-user-id"])
    assert.equal(tostring(simulator:call("GET", "requests").revision), left.object.metadata.resourceVersion)
  end)

  it("ends after its time, and one that fell too far behind ends at once", function()
    simulator:call("POST", "options", { history_events = 10 })
    local from = "&resourceVersion=" .. simulator:call("GET", "requests").revision
    local short, slow = watch(from .. "&timeoutSeconds=5"), watch(from)
    assert.equal("", (client.read(slow)))
    clock.advance(5000)
    assert.same({ "", "end" }, { client.read(short) })
    simulator:call("POST", "churn", { events = 30 })
    assert.same({ "", "end" }, { client.read(slow) })
    assert.truthy(client.read(watch(from)):find('"code":410', 1, true))
  end)

  it("ends when all begins anew, and so does whoever comes back", function()
    for _, call in ipairs { "restart", "reset" } do
      local from = "&resourceVersion=" .. simulator:call("GET", "requests").revision
      local answer = watch(from)
      assert.same({ "", "open" }, { client.read(answer) })
      simulator:call("POST", call)
      assert.same({ "", "end" }, { client.read(answer) })
      assert.truthy(client.read(watch(from)):find('"code":410', 1, true))
    end
  end)
end)

describe("the simulator's administration", function()
  local NAMESPACES <const> = "/api/v1/namespaces"
  local DEFINITIONS <const> = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
  local RAY <const> = "rayclusters.distributed-compute.dominodatalab.com"
  local simulator

  before_each(function()
    simulator = client.new()
    simulator.token = client.ADMIN
  end)

  local function create(path, object)
    return simulator:send("POST", path, dkjson.encode(object), { ["Content-Type"] = "application/json" })
  end

  local function raycluster(name)
    local object = simulator:object(FIRST)
    return { apiVersion = object.apiVersion, kind = object.kind, metadata = { name = name }, spec = object.spec }
  end

  it("keeps objects in namespaces that there are, and ends them together", function()
    local ours = RAYCLUSTERS:gsub("domino%-compute", "ours")
    assert.equal(404, create(ours, raycluster "ray-1").status)
    assert.equal(201, create(NAMESPACES, { metadata = { name = "ours" } }).status)
    assert.equal(409, create(NAMESPACES, { metadata = { name = "ours" } }).status)
    assert.equal(201, create(ours, raycluster "ray-1").status)
    assert.equal(200, simulator:send("DELETE", NAMESPACES .. "/ours").status)
    assert.equal(404, simulator:get(NAMESPACES .. "/ours").status)
    assert.equal(404, simulator:get(ours .. "/ray-1").status)
    assert.equal(200, simulator:get(RAYCLUSTERS .. "/" .. FIRST).status)
  end)

  it("serves a resource while it is defined", function()
    assert.truthy(simulator:get(DEFINITIONS .. "/" .. RAY).body:find('"type":"Established"', 1, true))
    assert.equal(200, simulator:send("DELETE", DEFINITIONS .. "/" .. RAY).status)
    assert.equal("404 page not found\n", simulator:get(RAYCLUSTERS).body)
    local definition = { metadata = { name = RAY }, spec = { group = "distributed-compute.dominodatalab.com" } }
    assert.equal(201, create(DEFINITIONS, definition).status)
    assert.equal(200, simulator:get(RAYCLUSTERS).status)
    assert.equal(404, simulator:get(RAYCLUSTERS .. "/" .. FIRST).status)
  end)

  it("is not the service's to do", function()
    simulator.token = client.SERVICE
    assert.equal(403, simulator:send("DELETE", NAMESPACES .. "/domino-compute").status)
    assert.equal(403, create(DEFINITIONS, { metadata = { name = RAY } }).status)
  end)
end)
