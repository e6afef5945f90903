local clusters = require "scripts.clusters"
local kube = require "kube"

describe("scripts/clusters", function()
  before_each(function()
    kube.reset()
  end)

  local function view(name, options)
    return clusters.view(kube.put(name, options))
  end

  it("watches the Ray clusters of the compute namespace", function()
    package.loaded["scripts.clusters"] = nil
    require "scripts.clusters"
    assert.same({ group = "distributed-compute.dominodatalab.com", version = "v1alpha1", plural = "rayclusters",
                  watch = true, index = "dominodatalab.com/starting-user-id" }, kube.declared)
  end)

  it("shows rules what they decide on", function()
    local cluster = view("ray-1", { owner = "u1", replicas = 2, resource_version = "7" })
    assert.equal("ray-1", cluster.name)
    assert.equal("u1", cluster.owner)
    assert.equal("test", cluster.labels.kind)
    assert.equal(2, cluster.replicas)
    assert.same({ min_replicas = 2, max_replicas = 3 }, cluster.autoscaling)
    assert.equal("7", cluster.resource_version)
    assert.is_nil(cluster.anything_else)
  end)

  it("has no owner where the label is missing or empty, and no autoscaling where there is none", function()
    local cluster = view("ray-1", { autoscaling = false })
    assert.is_nil(cluster.owner)
    assert.is_nil(cluster.autoscaling)
    assert.is_nil(view("ray-2", { owner = "" }).owner)
    assert.same({}, view("ray-3", { autoscaling = {} }).autoscaling)
  end)

  it("takes a null for nothing", function()
    local function view_of(spec)
      local metadata = '{"name":"a","uid":"1","resourceVersion":"1"}'
      return clusters.view(kube.put_bytes(('{"metadata":%s,"spec":%s}'):format(metadata, spec)))
    end
    local cluster = view_of '{"autoscaling":null,"worker":{"replicas":null}}'
    assert.is_nil(cluster.autoscaling)
    assert.is_nil(cluster.replicas)
    cluster = view_of '{"autoscaling":{"minReplicas":null,"maxReplicas":4}}'
    assert.same({ max_replicas = 4 }, cluster.autoscaling)
  end)

  it("cannot be changed by a rule", function()
    local cluster = view("ray-1", { owner = "u1" })
    for _, field in ipairs { "owner", "name", "anything_else" } do
      assert.has_error(function()
        cluster[field] = "u2"
      end)
    end
    cluster.autoscaling.min_replicas = 99
    assert.equal(2, cluster.autoscaling.min_replicas)
    assert.equal("cluster", getmetatable(cluster))
  end)

  it("can be walked through", function()
    local seen = {}
    for field, value in pairs(view("ray-1", { autoscaling = false })) do
      seen[field] = value
    end
    assert.same({ name = "ray-1", labels = { kind = "test" }, replicas = 2, resource_version = "1001" }, seen)
  end)
end)
