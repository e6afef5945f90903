--- Makes clusters as Domino creates them, with what breaks careless JSON code: empty arrays and objects, an integer
--- above 2^53, characters outside ASCII and outside the BMP, quotes and backslashes.
local json = require "spec.simulator.json"
local managed_fields = require "spec.simulator.managed_fields"
local resources = require "spec.simulator.resources"

local OWNER_LABEL <const> = "dominodatalab.com/starting-user-id"

local clusters = { OWNER_LABEL = OWNER_LABEL }

local function spec_of(settings, image)
  local workers = settings.workers or 1
  local spec = json.object {
    envVars = json.array { json.object { name = "RAY_TMPDIR", value = [[scratch "quoted" \ back/slash]] } },
    image = json.object { registry = "quay.io", repository = image, tag = "ray2.36.0-py3.10-domino6.0" },
    networkPolicy = json.object { clientLabels = json.object {}, enabled = true },
    objectStoreMemoryBytes = 9007199254740993,
    port = 6379,
    worker = json.object {
      replicas = workers,
      resources = json.object { limits = json.object { cpu = "2", memory = "8Gi" },
        requests = json.object { cpu = "1", memory = "4Gi" } },
      tolerations = json.array {}, volumes = json.array {},
    },
    workerPorts = json.array { 12000, 12001, 12002 },
  }
  if settings.autoscaling ~= false then
    spec.autoscaling = json.object { averageCPUUtilization = 50, minReplicas = math.max(workers, 1),
      maxReplicas = workers + 1 }
  end
  return spec
end

--- settings: name, namespace, uid, created; owner (nil: nobody's), workers (1), autoscaling (true), padding (a string
--- that makes the object larger), resource ("rayclusters").
function clusters.make(settings)
  local resource = resources.by_plural[settings.resource or "rayclusters"]
  local annotations = json.object { ["dominodatalab.com/project-name"] = "fraud — détection 🚀" }
  if settings.padding then annotations["dominodatalab.com/padding"] = settings.padding end
  local object = json.object {
    apiVersion = resource.api_version,
    kind = resource.kind,
    metadata = json.object {
      name = settings.name, namespace = settings.namespace, uid = settings.uid,
      creationTimestamp = settings.created, generation = 1, annotations = annotations,
      labels = json.object {
        ["dominodatalab.com/execution-id"] = settings.name:match "^%a+%-(.*)$",
        ["dominodatalab.com/project-id"] = "64f1c2a95d3b8e0012ab34cd",
        ["dominodatalab.com/workload-type"] = "Workspace",
        [OWNER_LABEL] = settings.owner,
      },
    },
    spec = spec_of(settings, ("domino/%s-cluster-environment"):format(resource.app)),
  }
  object.spec[resource.head] = json.object { nodeSelector = json.object {},
    resources = json.object { requests = json.object { cpu = "1", memory = "4Gi" } } }
  managed_fields.update(json.object { metadata = json.object {} }, object, { manager = "nucleus",
    api_version = resource.api_version, time = settings.created })
  return object
end

return clusters
