--- Ray clusters: read, changed, and seen as rules see them.
local kube = require "kube"

local clusters = {}

local OWNER = "dominodatalab.com/starting-user-id"
local FIELD_MANAGER = "rayclusterscaler"

local resource = kube.resource {
  group = "distributed-compute.dominodatalab.com",
  version = "v1alpha1",
  plural = "rayclusters",
  watch = true,
  index = OWNER,
}

---@param name string
---@param fresh boolean? from the API server, never from the host's copy
function clusters.get(name, fresh)
  return resource:get(name, fresh and { fresh = true } or nil)
end

--- Every cluster, or those of the owners of some.
---@param like kube.object[]?
function clusters.list(like)
  return resource:list(like and { like = like })
end

--- One cluster of each owner, and one without an owner; nil when that cannot be told at once.
---@param counted boolean?
---@return kube.object[]?
---@return integer[]? counts with counted: how many clusters each stands for
function clusters.samples(counted)
  return resource:samples(counted)
end

--- Writes a plan to the very object that it was made for: the uid and the resourceVersion go along, so that whoever
--- changed or replaced it meanwhile makes this a conflict.
---@param object kube.object
---@param plan plan
function clusters.scale(object, plan)
  local changed, failure = resource:merge_patch(object.name, {
    metadata = { uid = object.uid, resourceVersion = object.resource_version },
    spec = {
      autoscaling = { minReplicas = plan.min_replicas, maxReplicas = plan.max_replicas },
      worker = { replicas = plan.replicas },
    },
  }, { field_manager = FIELD_MANAGER })
  if changed then return changed end
  -- The API server calls a foreign uid an invalid change of metadata.uid: a cluster of the same name is there now.
  if failure.code == "invalid" then
    for _, cause in ipairs(failure.causes or {}) do
      if cause.field == "metadata.uid" then return nil, { code = "conflict", message = failure.message } end
    end
  end
  return nil, failure
end

-- What rules see ----------------------------------------------------------------------------------------------------

local OBJECT = {} -- the key under which a view keeps its object

local function integer(value)
  return type(value) == "number" and math.tointeger(value) or nil
end

--- Fields are made when they are read: a list of thousands pays for the owner's label and nothing else.
local fields = {
  name = function(object)
    return object.name
  end,
  owner = function(object)
    local owner = object.labels[OWNER]
    return owner ~= "" and owner or nil
  end,
  labels = function(object)
    return object.labels
  end,
  replicas = function(object)
    return integer(object:decode("spec.worker.replicas"))
  end,
  autoscaling = function(object)
    local autoscaling = object:decode("spec.autoscaling")
    if type(autoscaling) ~= "table" then return nil end
    return { min_replicas = integer(autoscaling.minReplicas), max_replicas = integer(autoscaling.maxReplicas) }
  end,
  resource_version = function(object)
    return object.resource_version
  end,
}

local view = { __metatable = "cluster", __name = "cluster" }

function view.__index(self, key)
  local field = fields[key]
  return field and field(self[OBJECT])
end

function view.__newindex(_, key)
  error(("a rule may not change a cluster (%s)"):format(tostring(key)), 2)
end

function view.__pairs(self)
  return function(_, key)
    local value
    repeat
      key = next(fields, key)
      value = key and self[key]
    until key == nil or value ~= nil
    return key, value
  end, self, nil
end

---@param object kube.object
---@return cluster
function clusters.view(object)
  return setmetatable({ [OBJECT] = object }, view)
end

local SEEN = {} -- the key under which a watched view keeps what was seen

local watched = { __metatable = "cluster", __name = "cluster", __newindex = view.__newindex }

function watched.__index(self, key)
  if key ~= "owner" then self[SEEN].more = true end
  return view.__index(self, key)
end

function watched.__pairs(self)
  self[SEEN].more = true
  return view.__pairs(self)
end

--- The same, and sets `more` in seen once anything but the owner is read.
---@param object kube.object
---@param seen { more: boolean? }
---@return cluster
function clusters.watch(object, seen)
  return setmetatable({ [OBJECT] = object, [SEEN] = seen }, watched)
end

--- The owner as rules see it.
---@param object kube.object
---@return string?
clusters.owner = fields.owner

return clusters
