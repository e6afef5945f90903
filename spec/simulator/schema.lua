--- The fields of the clusters' schema that validation knows. What a cluster merely carries along for its pods
--- (affinity, volumes, security contexts) is open: kept as it is.
local function scalar(kind) return function() return { type = kind } end end
local text, integer, boolean = scalar "string", scalar "integer", scalar "boolean"
local function open() return { type = "object", open = true } end
local function list(items) return { type = "array", items = items } end
local function map(values) return { type = "object", values = values } end
local function object(properties, required)
  return { type = "object", properties = properties, required = required or {} }
end
--- Kubernetes quantities: an integer or a string.
local function quantity() return { type = "string", int_or_string = true } end

local function node(properties)
  local all = {
    affinity = open(), annotations = map(text()), initContainers = list(open()), labels = map(text()),
    nodeSelector = map(text()), securityContext = open(), tolerations = list(open()),
    volumeClaimTemplates = list(open()), volumeMounts = list(open()), volumes = list(open()),
    resources = object { claims = list(open()), limits = map(quantity()), requests = map(quantity()) },
  }
  for name, schema in pairs(properties or {}) do all[name] = schema end
  return object(all)
end

local worker = node { replicas = integer() }

local spec = object {
  additionalClientPorts = list(open()),
  autoscaling = object({
    averageCPUUtilization = integer(), averageMemoryUtilization = integer(), maxReplicas = integer(),
    minReplicas = integer(), scaleDownStabilizationWindowSeconds = integer(),
  }, { "maxReplicas" }),
  clientServerPort = integer(), dashboardPort = integer(), enableDashboard = boolean(), envVars = list(open()),
  gcsServerPort = integer(), globalLabels = map(text()), head = node(), master = node(), scheduler = node(),
  image = object { pullPolicy = text(), registry = text(), repository = text(), tag = text() },
  imagePullSecrets = list(open()), istioMutualTLSMode = text(),
  kerberosKeytab = object { contents = text(), mountPath = text() },
  networkPolicy = object {
    clientLabels = map(text()), dashboardLabels = map(text()), dashboardNamespaceLabels = map(text()),
    enabled = boolean(),
  },
  nodeManagerPort = integer(), objectManagerPort = integer(), objectStoreMemoryBytes = integer(),
  podSecurityContext = open(), podSecurityPolicy = text(), port = integer(), redisShardPorts = list(integer()),
  serviceAccount = object { automountServiceAccountToken = boolean(), name = text() },
  worker = worker, workerPorts = list(integer()),
}

local status = object {
  clusterStatus = text(), image = text(), nodes = list(text()), reason = text(), startTime = text(),
  workerReplicas = integer(), workerSelector = text(),
}

return object { apiVersion = text(), kind = text(), metadata = open(), spec = spec, status = status }
