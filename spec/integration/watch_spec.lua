--- Reads from the copy of Kubernetes: at no cost, and as new as they have to be.
local client = require "client"
local stage = require "stage"
local watched = require "watched"

local only_simulated <const> = stage.only_simulated(it, "faults and counts")

describe("the copy of the clusters", function()
  local here

  before_each(function() -- a service that has seen no trouble, and so does not hesitate
    here = stage.open { KUBE_MAX_STALE_SECONDS = "1", IDENTITY_TTL_SECONDS = "60", DRAIN_SECONDS = "0" }
  end)

  after_each(function()
    here:close()
  end)

  local function cluster(name, who) return watched.cluster(here, name, who) end
  local function watch_state() return watched.state(here) end
  local function await_up() watched.await_up(here) end
  local function assert_equals_truth() watched.assert_equals_truth(here) end
  local eventually <const> = watched.eventually

  only_simulated("costs the API server nothing to read, and Domino one call for a credential", function()
    await_up()
    here:control("DELETE", "requests")
    local before, path = here:control("GET", "requests").total, "/raycluster/" .. stage.clusters.umas
    for i = 1, 10000 do
      local response = client.request(here.service.port, { token = stage.uma.token, path = path })
      if response.status ~= 200 then error(i .. ": " .. response.body) end
    end
    assert.equal(1, here:count "principal")
    assert.equal(1, here:control("GET", "requests").total - before)
  end)

  it("follows what others do", function()
    await_up()
    local name = here:cluster { owners = { stage.uma.id } }
    assert.equal(200, cluster(name, stage.uma).status)
    here.kubernetes:set_owner(name, stage.urs.id)
    eventually(function() return cluster(name, stage.urs).status == 200 end, "the new owner sees it")
    assert.equal(403, cluster(name, stage.uma).status)
    here.kubernetes:delete(name)
    eventually(function() return cluster(name).status == 404 end, "it is gone")
    assert_equals_truth()
  end)

  it("shows our own change to the very next read", function()
    await_up()
    for replicas = 1, 5 do
      local scaled = here:scale(stage.uma, stage.clusters.umas, replicas)
      assert.equal(200, scaled.status, scaled.body)
      local function assert_seen(object)
        local metadata, version = object.metadata, tonumber(scaled.json.metadata.resourceVersion)
        assert.is_true(tonumber(metadata.resourceVersion) >= version)
        assert.equal(replicas, object.spec.worker.replicas)
      end
      assert_seen(cluster(stage.clusters.umas, stage.uma).json)
      assert_seen(here:get(stage.uma, "/raycluster/list").json.ray_clusters[1])
    end
  end)

  only_simulated("shows our own change to the very next read, even when the stream is silent", function()
    await_up()
    local streams = watch_state().streams
    here:fault({ match = { kind = "watch" }, fault = { silent = 0 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().streams > streams and watch_state().up end, "a silent stream")
    for replicas = 1, 5 do
      assert.equal(200, here:scale(stage.uma, stage.clusters.umas, replicas).status)
      assert.equal(replicas, cluster(stage.clusters.umas, stage.uma).json.spec.worker.replicas)
      assert.equal(replicas, here:get(stage.uma, "/raycluster/list").json.ray_clusters[1].spec.worker.replicas)
    end
  end)

  it("follows a crowd of changes, of which it misses none", function()
    await_up()
    local names = {}
    for i = 1, 10 do
      names[i] = here:cluster { owners = { i % 2 == 0 and stage.uma.id or stage.urs.id }, workers = i }
    end
    for i, name in ipairs(names) do
      here.kubernetes:touch(name)
      if i % 3 == 0 then here.kubernetes:set_owner(name, stage.urs.id) end
      if i % 4 == 0 then here.kubernetes:replace(name, stage.uma.id) end
      if i % 5 == 0 then here.kubernetes:delete(name) end
    end
    await_up()
    assert_equals_truth()
  end)
end)
