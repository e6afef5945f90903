--- The clusters of a stage in the simulator's Kubernetes; real_cluster.lua is the same for a real one.
local cjson = require "cjson"
local client = require "client"
local program = require "program"

local OWNER <const> = "dominodatalab.com/starting-user-id"
local SERVICE_ACCOUNT_TOKEN <const> = "simulator-service-account-token"
local COLLECTION <const> = "/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/domino-compute/rayclusters"

local KUBECONFIG <const> = [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters: [{name: spec, cluster: {server: "http://127.0.0.1:%d"}}]
users: [{name: spec, user: {token: %s}}]
]]

local cluster = {}
cluster.__index = cluster

function cluster.new(port)
  return setmetatable({ port = port }, cluster)
end

--- What the service is told of it; directory keeps its kubeconfig.
function cluster:settings(directory)
  local path = directory .. "/kubeconfig"
  program.write(path, KUBECONFIG:format(self.port, SERVICE_ACCOUNT_TOKEN))
  return { KUBECONFIG = path }
end

function cluster:control(method, call, value)
  local response = client.request(self.port, { method = method, path = "/_simulator/" .. call, body = value })
  assert(response.status == 200, response.body)
  return response.json
end

local function get(self, path)
  local response = client.request(self.port, { token = SERVICE_ACCOUNT_TOKEN, path = COLLECTION .. path })
  assert(response.status == 200, response.body)
  return response
end

---@param name string as cluster names of the simulator's seed are
---@param settings table as of the seed
function cluster:create(name, settings)
  settings.clusters, settings.prefix = 1, name:match "^ray%-(%x%x%x%x%x%x%x%x)%x+$"
  assert(self:control("POST", "seed", settings).clusters[1] == name)
end

--- Without an owner it is nobody's.
function cluster:set_owner(name, owner)
  self:control("POST", "owner", { name = name, owner = owner })
end

--- Somebody else writes the object: its new version.
---@return integer
function cluster:touch(name)
  return self:control("POST", "touch", { name = name }).revision
end

function cluster:delete(name)
  self:control("DELETE", "objects", { name = name })
end

--- Deletes it and makes another of that name, with one worker.
function cluster:replace(name, owner)
  local object = cjson.decode(self:bytes(name))
  self:delete(name)
  self:control("POST", "objects", {
    apiVersion = object.apiVersion, kind = object.kind, metadata = { name = name, labels = { [OWNER] = owner } },
    spec = { worker = { replicas = 1, resources = object.spec.worker.resources },
      autoscaling = { minReplicas = 1, maxReplicas = 2 } },
  })
end

--- All there are, sorted.
function cluster:names()
  local names = {}
  for i, item in ipairs(get(self, "").json.items) do
    names[i] = item.metadata.name
  end
  return names
end

--- The bytes of an object as the API server has them.
function cluster:bytes(name)
  return (get(self, "/" .. name).body:gsub("\n$", ""))
end

--- How long the operator takes for a step.
function cluster:operator_step(ms)
  self:control("POST", "options", { step_ms = ms })
end

--- Does the operator work?
function cluster:operator(works)
  self:control("POST", "options", { operator = works })
end

return cluster
