--- The simulated operator and its autoscaler.
local clock = require "clock"
local dkjson = require "dkjson"
local client = require "simulator_client"

local SCALABLE <const> = "ray-655cb2de368ad4624b1e7d01"
local FIXED <const> = "ray-655cb2de368ad4624b1e7d02"

describe("the simulated operator", function()
  local simulator
  before_each(function() simulator = client.new() end)

  local function scale(name, least, most, workers)
    local answer = simulator:patch(name,
      ('{"spec":{"autoscaling":{"minReplicas":%d,"maxReplicas":%d},"worker":{"replicas":%d}}}'):format(least, most,
        workers))
    assert.equal(200, answer.status, answer.body)
  end

  local function nodes(name)
    local list = {}
    for index, node in ipairs(simulator:object(name).status.nodes or {}) do
      list[index] = node:match "%a+%-%d+$"
    end
    return table.concat(list, " ")
  end

  local function phases(name)
    simulator.token = client.ADMIN
    local selector = "app.kubernetes.io/component%3Dworker,app.kubernetes.io/instance%3D" .. name
    local list = dkjson.decode(simulator:get("/api/v1/namespaces/domino-compute/pods?labelSelector=" .. selector).body)
    simulator.token = client.SERVICE
    local result = {}
    for index, pod in ipairs(list.items) do result[index] = pod.status.phase end
    return table.concat(result, " ")
  end

  it("brings workers up one by one, and says the wanted count at once", function()
    scale(SCALABLE, 4, 5, 4)
    assert.equal("head-0 worker-0 worker-1", nodes(SCALABLE))
    clock.advance(1000)
    assert.equal("head-0 worker-0 worker-1 worker-2", nodes(SCALABLE))
    assert.equal(4, simulator:object(SCALABLE).status.workerReplicas)
    assert.equal("Running Running Pending", phases(SCALABLE))
    clock.advance(1000)
    assert.equal("head-0 worker-0 worker-1 worker-2 worker-3", nodes(SCALABLE))
    assert.equal("Running Running Running Pending", phases(SCALABLE))
    clock.advance(1000)
    assert.equal("Running Running Running Running", phases(SCALABLE))
    local settled = simulator:object(SCALABLE).metadata.resourceVersion
    clock.advance(60000)
    assert.equal(settled, simulator:object(SCALABLE).metadata.resourceVersion)
  end)

  it("tells each step to a watch", function()
    local revision = simulator:call("GET", "requests").revision
    simulator:call("POST", "options", { step_ms = 20 })
    local watch = simulator:get(client.RAYCLUSTERS .. "?watch=1&resourceVersion=" .. revision)
    scale(SCALABLE, 4, 5, 4)
    client.read(watch)
    for _ = 1, 2 do
      clock.advance(20)
      local event = dkjson.decode((client.read(watch)))
      assert.equal("MODIFIED", event.type)
    end
    assert.equal("head-0 worker-0 worker-1 worker-2 worker-3", nodes(SCALABLE))
  end)

  it("takes workers away one by one, leaves a count of 0 out and 0 workers alone", function()
    scale(SCALABLE, 1, 1, 0)
    clock.advance(1000)
    assert.equal("head-0 worker-0", nodes(SCALABLE))
    assert.is_nil(simulator:object(SCALABLE).status.workerReplicas)
    clock.advance(60000)
    assert.equal("head-0", nodes(SCALABLE))
    assert.equal(0, simulator:object(SCALABLE).spec.worker.replicas)
    assert.equal("Running", simulator:object(SCALABLE).status.clusterStatus)
  end)

  it("leaves a worker pending for which the nodes have no room", function()
    simulator:call("POST", "options", { capacity = 3 })
    scale(SCALABLE, 2147483646, 2147483647, 2147483646)
    clock.advance(86400000)
    assert.equal("head-0 worker-0 worker-1 worker-2 worker-3", nodes(SCALABLE))
    assert.equal("Running Running Running Pending", phases(SCALABLE))
    scale(SCALABLE, 3, 4, 3)
    clock.advance(60000)
    assert.equal("Running Running Running", phases(SCALABLE))
  end)

  it("undoes a worker count that the autoscaler does not want", function()
    simulator:patch(SCALABLE, '{"spec":{"worker":{"replicas":1}}}')
    clock.advance(60000)
    assert.equal(2, simulator:object(SCALABLE).spec.worker.replicas)
    simulator:patch(SCALABLE, '{"spec":{"worker":{"replicas":9}}}')
    clock.advance(60000)
    assert.equal(3, simulator:object(SCALABLE).spec.worker.replicas)
    assert.equal("head-0 worker-0 worker-1 worker-2", nodes(SCALABLE))
  end)

  it("leaves the count of a cluster without autoscaling as it is, and sorts nodes as strings", function()
    simulator:patch(FIXED, '{"spec":{"worker":{"replicas":11}}}')
    clock.advance(60000)
    assert.equal(11, simulator:object(FIXED).spec.worker.replicas)
    assert.equal("head-0 worker-0 worker-1 worker-10 worker-2", nodes(FIXED):sub(1, 43))
  end)

  it("starts a new cluster by its head", function()
    local object = simulator:object(SCALABLE)
    object.metadata = { name = "ray-new" }
    simulator.token = client.ADMIN
    simulator:send("POST", client.RAYCLUSTERS, dkjson.encode(object), { ["Content-Type"] = "application/json" })
    assert.is_nil(simulator:object("ray-new").status)
    clock.advance(1000)
    assert.equal("Starting", simulator:object("ray-new").status.clusterStatus)
    clock.advance(1000)
    assert.equal("Running", simulator:object("ray-new").status.clusterStatus)
    assert.equal("head-0 worker-0", nodes("ray-new"))
    simulator.token = client.ADMIN
    simulator:send("DELETE", client.RAYCLUSTERS .. "/ray-new")
    assert.equal("", phases("ray-new"))
  end)

  it("keeps its hands off when it is switched off", function()
    simulator:call("POST", "options", { operator = false })
    scale(SCALABLE, 4, 5, 4)
    clock.advance(60000)
    assert.equal("head-0 worker-0 worker-1", nodes(SCALABLE))
  end)
end)
