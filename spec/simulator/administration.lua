--- What a cluster's administrator sets up before anybody else: namespaces, and the definitions of custom resources.
local clock = require "clock"
local json = require "spec.simulator.json"
local resources = require "spec.simulator.resources"
local status = require "spec.simulator.status"

local NAMESPACES <const> = { "default", "domino-compute", "domino-field", "domino-platform", "kube-system" }
local CREATED <const> = "2026-11-22T20:00:00Z"

local administration = {}

--- What the API server itself adds to a fresh object, by the plural name of its resource.
local complete <const> = {
  namespaces = function(object)
    object.spec = json.object { finalizers = json.array { "kubernetes" } }
    object.status = json.object { phase = "Active" }
  end,
  customresourcedefinitions = function(object)
    local conditions = json.array {}
    for index, kind in ipairs { "NamesAccepted", "Established" } do
      conditions[index] = json.object { type = kind, status = "True", lastTransitionTime = CREATED }
    end
    object.status = json.object { conditions = conditions, acceptedNames = json.get(object, "spec", "names") }
  end,
}

function administration.complete(resource, object) complete[resource.plural](object) end

local function add(world, plural, name, spec)
  local resource = resources.by_plural[plural]
  local object = json.object { apiVersion = resource.api_version, kind = resource.kind, spec = spec,
    metadata = json.object { name = name, uid = world.next_uid(), creationTimestamp = CREATED, resourceVersion = "1" } }
  administration.complete(resource, object)
  world.store:adopt(plural, object, json.encode(object))
end

--- What has always been there: the operator's definitions and Domino's namespaces.
function administration.found(world)
  for _, name in ipairs(NAMESPACES) do add(world, "namespaces", name) end
  for plural, resource in pairs(resources.by_plural) do
    if resource.group == resources.GROUP then
      add(world, "customresourcedefinitions", resource.qualified, json.object { group = resource.group,
        scope = "Namespaced", names = json.object { kind = resource.kind, plural = plural } })
    end
  end
end

--- False for a custom resource that is not, or no longer, defined.
function administration.serves(world, resource)
  return resource.group ~= resources.GROUP
    or world.store:get("customresourcedefinitions", nil, resource.qualified) ~= nil
end

--- Objects go with their namespace, and with their resource's definition.
function administration.deleted(world, plural, name)
  for kind, resource in pairs(resources.by_plural) do
    if not resource.cluster_scoped then
      for _, entry in ipairs(world.store:snapshot(kind).entries) do
        if plural == "namespaces" and entry.namespace == name
          or plural == "customresourcedefinitions" and resource.qualified == name then
          world.store:delete(kind, world.store:get(kind, entry.namespace, entry.name))
        end
      end
    end
  end
end

--- A namespace whose deletion nobody completes: the answer to who has asked for it. nil for anything else.
function administration.linger(world, resource, entry)
  if resource.plural ~= "namespaces" or world.options.namespace_controller then return nil end
  local object = world.store.object(entry)
  object.metadata.deletionTimestamp = object.metadata.deletionTimestamp or clock.rfc3339()
  object.status.phase = "Terminating"
  return status.answer(200, world.store:put(resource.plural, object).bytes .. "\n")
end

--- finalize: a namespace that is to be deleted goes with its last finalizer. What is in it does not.
function administration.finalize(world, request, target)
  local entry = world.store:get("namespaces", nil, target.name)
  if not entry then return status.not_found(target.resource, target.name) end
  local wanted, message = json.decode(request.body)
  if message then return status.bad_request(message) end
  local object = world.store.object(entry)
  object.spec = wanted.spec
  if object.metadata.deletionTimestamp and #(json.get(wanted, "spec", "finalizers") or {}) == 0 then
    world.store:delete("namespaces", entry)
    return status.answer(200, json.encode(object) .. "\n")
  end
  return status.answer(200, world.store:put("namespaces", object).bytes .. "\n")
end

return administration
