--- The host's kube module for specs without the host: a few objects of one resource, the API server's and the copy that
--- reads come from. The copy follows at once unless `kube.lagging`.
local json = require "json"

local kube = {}

local OWNER = "dominodatalab.com/starting-user-id"

local server, copy, failures, revision

function kube.reset()
  server, copy, failures, revision = {}, {}, {}, 1000
  kube.lagging = false
  kube.calls = {} -- { operation, name, fresh/patch/options }
  kube.before_patch = nil -- called with the name: somebody else acts first
end

local methods = {}

function methods:decode(path)
  local value = self.document
  for key in path:gmatch("[^.]+") do
    if type(value) ~= "table" then return nil end
    value = value[key]
  end
  return value
end

function methods:text()
  return self.bytes
end

local function make(document, bytes)
  local metadata = document.metadata
  return setmetatable({
    name = metadata.name,
    namespace = "domino-compute",
    uid = metadata.uid,
    resource_version = metadata.resourceVersion,
    labels = metadata.labels or {},
    document = document,
    bytes = bytes or json.encode(document),
  }, { __index = methods })
end

local function store(object)
  server[object.name] = object
  if not kube.lagging then copy[object.name] = object end
  return object
end

local function next_revision()
  revision = revision + 1
  return tostring(revision)
end

--- Creates or replaces a cluster. options: owner, uid, resource_version, autoscaling (false: none), replicas
function kube.put(name, options)
  options = options or {}
  local replicas = options.replicas or 2
  local autoscaling = options.autoscaling
  if autoscaling == nil then autoscaling = { minReplicas = replicas, maxReplicas = replicas + 1 } end
  return store(make {
    metadata = {
      name = name,
      uid = options.uid or "uid-" .. name,
      resourceVersion = options.resource_version or next_revision(),
      labels = { [OWNER] = options.owner, kind = "test" },
    },
    spec = { autoscaling = autoscaling or nil, worker = { replicas = replicas } },
  })
end

--- Stores an object from the API server's own bytes.
function kube.put_bytes(bytes)
  return store(make(json.decode(bytes), bytes))
end

function kube.remove(name)
  server[name] = nil
  if not kube.lagging then copy[name] = nil end
end

--- The next call of an operation ("get", "list", "merge_patch") fails so; several queue up.
function kube.fail(operation, failure)
  failures[operation] = failures[operation] or {}
  table.insert(failures[operation], failure)
end

--- The object as the API server has it.
function kube.on_server(name)
  return server[name]
end

local function fault(operation)
  return failures[operation] and table.remove(failures[operation], 1)
end

local function record(call)
  kube.calls[#kube.calls + 1] = call
end

function kube.count(operation, fresh)
  local count = 0
  for _, call in ipairs(kube.calls) do
    if call.operation == operation and (fresh == nil or call.fresh == fresh) then count = count + 1 end
  end
  return count
end

local resource = {}

function resource:get(name, options) -- luacheck: ignore 212/self
  local fresh = options ~= nil and options.fresh == true
  record { operation = "get", name = name, fresh = fresh }
  local failure = fault "get"
  if failure then return nil, failure end
  local object = (fresh and server or copy)[name]
  if not object then return nil, { code = "not_found", message = "not found", status = 404 } end
  return object
end

function resource:samples(counted) -- luacheck: ignore 212/self
  record { operation = "samples" }
  if kube.lagging then return nil end
  local objects, counts, known = {}, {}, {}
  for _, object in pairs(copy) do
    local owner = object.labels[OWNER] or ""
    local place = known[owner] or #objects + 1
    objects[place], counts[place], known[owner] = object, (counts[place] or 0) + 1, place
  end
  return objects, counted and counts or nil
end

function resource:list(options) -- luacheck: ignore 212/self
  local wanted = options and {}
  for _, object in ipairs(options and options.like or {}) do
    wanted[object.labels[OWNER] or ""] = true
  end
  record { operation = "list", like = options and options.like }
  local failure = fault "list"
  if failure then return nil, failure end
  local objects = {}
  for _, object in pairs(copy) do
    if not wanted or wanted[object.labels[OWNER] or ""] then objects[#objects + 1] = object end
  end
  table.sort(objects, function(a, b)
    return a.name < b.name
  end)
  return objects
end

local function merge(target, patch)
  local result = {}
  for key, value in pairs(type(target) == "table" and target or {}) do
    result[key] = value
  end
  for key, value in pairs(patch) do
    if value == json.null then
      result[key] = nil
    else
      result[key] = type(value) == "table" and merge(result[key], value) or value
    end
  end
  return result
end

function resource:merge_patch(name, patch, options) -- luacheck: ignore 212/self
  record { operation = "merge_patch", name = name, patch = patch, options = options }
  if kube.before_patch then kube.before_patch(name) end
  local failure = fault "merge_patch"
  if failure then return nil, failure end
  local object = server[name]
  if not object then return nil, { code = "not_found", message = "not found", status = 404 } end
  local wanted = patch.metadata or {}
  if wanted.uid and wanted.uid ~= object.uid then
    return nil, { code = "invalid", status = 422, message = "is invalid",
                  causes = { { field = "metadata.uid", message = "field is immutable" } } }
  end
  if wanted.resourceVersion and wanted.resourceVersion ~= object.resource_version then
    return nil, { code = "conflict", status = 409, message = "the object has been modified" }
  end
  local document = merge(object.document, patch)
  document.metadata.resourceVersion = next_revision()
  return store(make(document))
end

function kube.resource(options)
  kube.declared = options
  return resource
end

kube.reset()
return kube
