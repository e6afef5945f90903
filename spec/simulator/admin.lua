--- /_simulator/…: how specs set the stage and ask what happened.
local clock = require "clock"
local clusters = require "spec.simulator.clusters"
local demo = require "spec.simulator.demo"
local domino = require "spec.simulator.domino"
local faults = require "spec.simulator.faults"
local json = require "spec.simulator.json"
local requests = require "spec.simulator.requests"
local resources = require "spec.simulator.resources"
local seed = require "spec.simulator.seed"
local watch = require "spec.simulator.watch"

local admin = {}

local function ok(value) return { status = 200, body = json.encode(value or json.object {}) .. "\n" } end

local function bad(message)
  return { status = 400, body = json.encode { error = message } .. "\n" }
end

local calls = {}

--- GET requests: counts by kind and by "verb resource", open watches, and which headers the last request of each kind
--- had.
calls["GET requests"] = function(world)
  local counted = world.requests
  return ok { total = counted.total, kinds = json.object(counted.kinds), resources = json.object(counted.resources),
    last = json.object(counted.last), watches = watch.count(world), revision = world.store.revision }
end

--- DELETE requests: counts from zero.
calls["DELETE requests"] = function(world)
  world.requests = requests.new()
  return ok()
end

--- GET demo: who may log in, and what there is.
calls["GET demo"] = function(world)
  local names, identities = json.array {}, json.array {}
  for _, entry in ipairs(world.store:snapshot "rayclusters".entries) do names[#names + 1] = entry.name end
  for index, person in ipairs(world.people) do
    identities[index] = json.ordered({ "role", "name", "token", "id" }, json.copy(person))
  end
  return ok(json.ordered({ "identities", "clusters", "namespace", "service_account_token", "cluster_admin_token" }, {
    identities = identities, clusters = names, namespace = demo.NAMESPACE,
    service_account_token = demo.SERVICE_ACCOUNT_TOKEN, cluster_admin_token = demo.CLUSTER_ADMIN_TOKEN,
  }))
end

--- POST reset { revision, clusters = "demo" | "none" }: as new. Ends all watches.
calls["POST reset"] = function(world, settings)
  world:reset(settings)
  return ok { revision = world.store.revision }
end

--- POST seed { clusters = n, bytes = about the size of each, owners = n or a list of ids, workers, autoscaling,
--- prefix }.
calls["POST seed"] = function(world, settings)
  return ok { clusters = json.array(seed.clusters(world, settings)), revision = world.store.revision }
end

--- POST churn { events = n }: so many new revisions of clusters, one after the other.
calls["POST churn"] = function(world, settings)
  seed.churn(world, settings.events or 1)
  return ok { revision = world.store.revision }
end

local function adopt(world, object, bytes)
  local metadata = object.metadata
  local resource
  for _, candidate in pairs(resources.by_plural) do
    if candidate.kind == object.kind then resource = candidate end
  end
  if not resource or not json.is_object(metadata) or not metadata.name then return "no object of a known kind" end
  metadata.namespace = metadata.namespace or demo.NAMESPACE
  if metadata.resourceVersion then
    world.operator:adopt(resource.plural, world.store:adopt(resource.plural, object, bytes), object)
  else
    metadata.uid = metadata.uid or world.next_uid()
    metadata.creationTimestamp = metadata.creationTimestamp or clock.rfc3339()
    metadata.generation = metadata.generation or 1
    world.operator:adopt(resource.plural, world.store:put(resource.plural, object), object)
  end
  return nil
end

--- POST objects: an object, kept byte for byte when it has a resourceVersion, or a list of objects.
calls["POST objects"] = function(world, object, body)
  local items = object.items or (json.is_array(object) and object)
  if not items then
    local problem = adopt(world, object, body:match "^%s*(.-)%s*$")
    return problem and bad(problem) or ok { revision = world.store.revision }
  end
  for _, item in ipairs(items) do
    local problem = adopt(world, item, json.encode(item))
    if problem then return bad(problem) end
  end
  return ok { revision = world.store.revision }
end

local function each_cluster(world, settings, run)
  local plural, count = settings.resource or "rayclusters", 0
  if not resources.by_plural[plural] then return bad "unknown resource" end
  for _, entry in ipairs(world.store:snapshot(plural).entries) do
    if not settings.name or settings.name == entry.name then
      run(plural, entry)
      count = count + 1
    end
  end
  return ok { objects = count, revision = world.store.revision }
end

--- DELETE objects { resource, name }: without a name all of them.
calls["DELETE objects"] = function(world, settings)
  return each_cluster(world, settings, function(plural, entry) world.store:delete(plural, entry) end)
end

--- POST owner { name, owner }: without an owner the cluster belongs to nobody.
calls["POST owner"] = function(world, settings)
  return each_cluster(world, settings, function(plural, entry)
    local object = world.store.object(entry)
    object.metadata.labels = object.metadata.labels or json.object {}
    object.metadata.labels[clusters.OWNER_LABEL] = settings.owner ~= json.null and settings.owner or nil
    world.store:put(plural, object)
  end)
end

--- POST touch { name, resource }: a new revision of the cluster and nothing else new.
calls["POST touch"] = function(world, settings)
  return each_cluster(world, settings, function(plural, entry) world.store:touch(plural, entry) end)
end

--- POST compact: forgets history, so that older watches and continue tokens are answered with 410.
calls["POST compact"] = function(world)
  world.store:compact()
  return ok { revision = world.store.revision }
end

--- POST restart: ends all watches and forgets history; whoever goes on has to list again.
calls["POST restart"] = function(world)
  world:restart()
  return ok { revision = world.store.revision }
end

--- GET options, POST options { … }: see world.lua.
calls["GET options"] = function(world) return ok(json.copy(world.options)) end

calls["POST options"] = function(world, settings)
  for name, value in pairs(settings) do
    if world.options[name] == nil or type(world.options[name]) ~= type(value) then
      return bad("no such option, or of another type: " .. tostring(name))
    end
  end
  for name, value in pairs(settings) do world.options[name] = value end
  return ok(json.copy(world.options))
end

--- POST accounts { token, user, rules }: who may do what at the API server, as the service's account where nothing is
--- said; { token, remove = true } revokes it.
calls["POST accounts"] = function(world, settings)
  if type(settings.token) ~= "string" then return bad "token is missing" end
  world.accounts[settings.token] = settings.remove ~= true and {
    user = settings.user or demo.SERVICE_ACCOUNT.user, rules = settings.rules or demo.SERVICE_ACCOUNT.rules,
  } or nil
  return ok()
end

--- POST identities { token, isAnonymous, isAdmin, canonicalId, canonicalName }, or { token, answer = text }: what
--- Domino says of a credential; { token, remove = true } expires it.
calls["POST identities"] = function(world, settings)
  if type(settings.token) ~= "string" then return bad "token is missing" end
  world.identities[settings.token] = settings.remove ~= true and (settings.answer or domino.principal(settings)) or nil
  return ok()
end

--- POST faults: a rule or a list of them, see faults.lua. GET faults: what became of them. DELETE faults: honest again.
calls["POST faults"] = function(world, rules)
  for _, rule in ipairs(json.is_array(rules) and rules or { rules }) do
    local added, problem = world.faults:add(rule)
    if not added then return bad(problem) end
  end
  return ok()
end

calls["GET faults"] = function(world)
  local list = json.array {}
  for index, rule in ipairs(world.faults.rules) do
    list[index] = json.object { match = json.object(rule.match), fault = rule.fault, seen = rule.seen,
      applied = rule.applied }
  end
  return ok(list)
end

calls["DELETE faults"] = function(world)
  world.faults = faults.new()
  return ok()
end

function admin.answer(world, request, target)
  local call = calls[request.method .. " " .. target.call]
  if not call then return { status = 404, body = json.encode { error = "no such call" } .. "\n" } end
  local value, message = json.decode(request.body ~= "" and request.body or "{}")
  if message then return bad(message) end
  if type(value) ~= "table" or value == json.null then return bad "an object or a list is wanted" end
  return call(world, value, request.body)
end

return admin
