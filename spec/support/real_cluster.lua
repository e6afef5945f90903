--- The clusters of a stage in a real Kubernetes, whose API server kubectl's proxy makes reachable for
--- `make test-cluster` (spec/cluster/run.sh). No operator is expected there.
local cjson = require "cjson"
local client = require "client"
local program = require "program"

local OWNER <const> = "dominodatalab.com/starting-user-id"
local API_VERSION <const> = "distributed-compute.dominodatalab.com/v1alpha1"

--- With what breaks careless JSON code: empty arrays and objects, an integer above 2^53, characters outside ASCII and
--- outside the BMP, quotes and backslashes.
local OBJECT <const> = [[{"apiVersion":"%s","kind":"RayCluster","metadata":{"name":"%s",
"labels":{%s"dominodatalab.com/workload-type":"Workspace"},
"annotations":{"dominodatalab.com/project-name":"fraud — détection 🚀"}},
"spec":{%s"envVars":[{"name":"RAY_TMPDIR","value":"scratch \"quoted\" \\ back/slash"}],
"networkPolicy":{"clientLabels":{},"enabled":true},"objectStoreMemoryBytes":9007199254740993,"port":6379,
"head":{"nodeSelector":{},"resources":{"requests":{"cpu":"1","memory":"4Gi"}}},
"worker":{"replicas":%d,"resources":{"requests":{"cpu":"1","memory":"4Gi"}},"tolerations":[],"volumes":[]}}}]]

local cluster = {}
cluster.__index = cluster

--- The one of the environment, with nothing in its namespace but clusters: { [name] = settings }.
function cluster.new(clusters)
  local namespace = os.getenv "CLUSTER_NAMESPACE"
  local self = setmetatable({ namespace = namespace, port = tonumber(os.getenv "CLUSTER_PORT"),
    collection = ("/apis/%s/namespaces/%s/rayclusters"):format(API_VERSION, namespace) }, cluster)
  for _, name in ipairs(self:names()) do
    self:delete(name)
  end
  for name, settings in pairs(clusters) do
    self:create(name, settings)
  end
  return self
end

function cluster:settings()
  return { KUBECONFIG = os.getenv "KUBECONFIG", COMPUTE_NAMESPACE = self.namespace }
end

local function ask(self, method, path, body, kind)
  local response = client.request(self.port, { method = method, path = self.collection .. path, body = body,
    headers = body and { ["Content-Type"] = kind or "application/json" } or nil })
  assert(response.status < 300, response.body)
  return response
end

local function patch(self, name, changes)
  local object = ask(self, "PATCH", "/" .. name, cjson.encode(changes), "application/merge-patch+json").json
  return math.tointeger(tonumber(object.metadata.resourceVersion))
end

---@param settings { owners: string[]?, workers: integer?, autoscaling: boolean? }
function cluster:create(name, settings)
  local workers, owner = settings.workers or 1, settings.owners and settings.owners[1]
  local label = owner and ('"%s":"%s",'):format(OWNER, owner) or ""
  local autoscaling = settings.autoscaling == false and "" or
    ('"autoscaling":{"averageCPUUtilization":50,"minReplicas":%d,"maxReplicas":%d},'):format(math.max(workers, 1),
      workers + 1)
  ask(self, "POST", "", OBJECT:format(API_VERSION, name, label, autoscaling, workers))
end

function cluster:set_owner(name, owner)
  patch(self, name, { metadata = { labels = { [OWNER] = owner or cjson.null } } })
end

local touched = 0

function cluster:touch(name)
  touched = touched + 1
  return patch(self, name, { metadata = { annotations = { touched = tostring(touched) } } })
end

function cluster:delete(name)
  ask(self, "DELETE", "/" .. name)
  program.eventually(function() -- finalizers may hold it
    return client.request(self.port, { path = self.collection .. "/" .. name }).status == 404
  end, 30, "the end of " .. name)
end

function cluster:replace(name, owner)
  self:delete(name)
  self:create(name, { owners = { owner } })
end

function cluster:names()
  local names = {}
  for i, item in ipairs(ask(self, "GET", "").json.items) do
    names[i] = item.metadata.name
  end
  return names
end

function cluster:bytes(name)
  return (ask(self, "GET", "/" .. name).body:gsub("\n$", ""))
end

function cluster.operator_step() end

function cluster.operator() end

return cluster
