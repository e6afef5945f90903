--- The pods of clusters, as the API server shows them.
local json = require "spec.simulator.json"
local resources = require "spec.simulator.resources"

local pods = {}

local POD <const> = { "kind", "apiVersion", "metadata", "spec", "status" }
local METADATA <const> = { "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "labels" }
local STATUS <const> = { "phase", "conditions" }

--- resource: the cluster's; role: "head" or "worker".
function pods.name(resource, cluster, role, ordinal)
  return ("%s-%s-%s-%d"):format(cluster, resource.app, role == "head" and resource.head or "worker", ordinal)
end

local function labels(resource, cluster, component)
  return {
    ["app.kubernetes.io/component"] = component, ["app.kubernetes.io/instance"] = cluster,
    ["app.kubernetes.io/name"] = resource.app,
  }
end

--- The selector in status.workerSelector.
function pods.worker_selector(resource, cluster)
  return ("app.kubernetes.io/component=worker,app.kubernetes.io/instance=%s,app.kubernetes.io/name=%s"):format(
    cluster, resource.app)
end

function pods.make(settings)
  local resource = settings.resource
  local component = settings.role == "head" and resource.head or "worker"
  local ready = settings.phase == "Running"
  return json.ordered(POD, {
    kind = resources.by_plural.pods.kind, apiVersion = "v1",
    metadata = json.ordered(METADATA, {
      name = settings.name, namespace = settings.namespace, uid = settings.uid,
      creationTimestamp = settings.created, labels = labels(resource, settings.cluster, component),
    }),
    spec = json.object { containers = json.array { json.object { name = resource.app .. "-" .. component } } },
    status = json.ordered(STATUS, { phase = settings.phase, conditions = json.array {
      json.ordered({ "type", "status" }, { type = "Ready", status = ready and "True" or "False" }) } }),
  })
end

return pods
