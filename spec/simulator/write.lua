--- create, merge patch, delete.
local clock = require "clock"
local administration = require "spec.simulator.administration"
local json = require "spec.simulator.json"
local managed_fields = require "spec.simulator.managed_fields"
local merge_patch = require "spec.simulator.merge_patch"
local resources = require "spec.simulator.resources"
local status = require "spec.simulator.status"
local validation = require "spec.simulator.validation"
local webhook = require "spec.simulator.webhook"

local MERGE_PATCH <const> = "application/merge-patch+json"
local PATCH_TYPES <const> = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
--- Metadata that only the API server writes.
local SERVER_OWNED <const> = { "creationTimestamp", "generation", "managedFields", "uid", "resourceVersion" }

local write = {}

local function media_type(request) return ((request:header "Content-Type" or ""):match "^%s*([^;%s]*)"):lower() end

local function manager_of(request, parameters)
  local name = parameters.fieldManager or ""
  if name == "" then name = (request:header "User-Agent" or ""):match "^[^/]*" end
  return name ~= "" and name:sub(1, 128) or "unknown"
end

--- Prunes what the schema does not know. Returns the Warning header, or an answer where the request is strict.
local function prune(object, resource, parameters)
  local unknown = resource.cluster_scoped and {} or validation.prune(object)
  local mode = parameters.fieldValidation
  if #unknown == 0 or mode == "Ignore" then return nil end
  local problems, warnings = {}, {}
  for index, path in ipairs(unknown) do
    problems[index] = ("unknown field %s"):format(json.quote(path))
    warnings[index] = ("299 - %s"):format(json.quote(problems[index]))
  end
  if mode == "Strict" then
    return nil, status.bad_request("strict decoding error: " .. table.concat(problems, ", "))
  end
  return table.concat(warnings, ", ")
end

local function refuse(world, object, resource)
  if resource.cluster_scoped then return nil end
  local causes = validation.check(object, resource)
  if #causes > 0 then return status.invalid(resource, object.metadata.name, causes) end
  if world.options.webhook and resource.head then return webhook.refuse(object, resource) end
  return nil
end

--- What a patch leaves of the object once the API server has put back what is its own.
local function settle(old, new, subresource)
  for _, field in ipairs(SERVER_OWNED) do new.metadata[field] = old.metadata[field] end
  if subresource == "status" then
    local status_only = json.copy(old)
    status_only.status = new.status
    return status_only
  end
  new.status = old.status
  return new
end

local function patched(old, body)
  local patch, message = json.decode(body)
  if message then return nil, status.bad_request("error decoding patch: " .. message) end
  if not json.is_object(patch) then
    return nil, status.bad_request("error decoding patch: json: cannot unmarshal " ..
      (json.is_array(patch) and "array" or patch == json.null and "null" or type(patch)) ..
      " into Go value of type map[string]interface {}")
  end
  local new = merge_patch.apply(old, patch)
  new.metadata = new.metadata or json.object {}
  local unreadable = validation.check_metadata(new.metadata)
  if unreadable then return nil, status.bad_request(unreadable) end
  -- The merge shares what it did not touch, and pruning works in place.
  return json.copy(new)
end

--- The preconditions that a patch carries: an answer when one does not hold.
local function check_preconditions(old, new, target)
  for _, field in ipairs { "name", "namespace" } do
    if new.metadata[field] ~= old.metadata[field] then
      return status.bad_request(("the %s of the object (%s) does not match the %s on the URL (%s)"):format(field,
        new.metadata[field] or "", field, old.metadata[field]))
    end
  end
  local revision = new.metadata.resourceVersion or ""
  if revision ~= "" and revision ~= old.metadata.resourceVersion then
    return status.conflict(target.resource, target.name)
  end
  local causes = validation.check_uid(old, new)
  if #causes > 0 then return status.invalid(target.resource, target.name, causes) end
  return nil
end

function write.patch(world, request, target)
  local resource, parameters = target.resource, target.parameters
  if media_type(request) ~= MERGE_PATCH then return status.unsupported_media_type(PATCH_TYPES) end
  if target.subresource and target.subresource ~= "status" then return status.no_such_path() end
  local entry = world.store:get(resource.plural, target.namespace, target.name)
  if not entry then return status.not_found(resource, target.name) end
  local old = world.store.object(entry)
  local new, failure = patched(old, request.body)
  failure = failure or check_preconditions(old, new, target)
  if failure then return failure end
  new = settle(old, new, target.subresource)
  local warning, strict = prune(new, resource, parameters)
  failure = strict or refuse(world, new, resource)
  if failure then return failure end
  local headers = { Warning = warning }
  local differs = managed_fields.update(old, new, { manager = manager_of(request, parameters), time = clock.rfc3339(),
    subresource = target.subresource, api_version = resource.api_version })
  if not differs then return status.answer(200, entry.bytes .. "\n", headers) end
  if not json.equal(old.spec, new.spec) then new.metadata.generation = (old.metadata.generation or 0) + 1 end
  if parameters.dryRun then return status.answer(200, json.encode(new) .. "\n", headers) end
  return status.answer(200, world.store:put(resource.plural, new).bytes .. "\n", headers)
end

local function created(world, request, target, body)
  local object, message = json.decode(body)
  if message or not json.is_object(object) then
    return nil, status.bad_request("error decoding request body: " .. (message or "not an object"))
  end
  object.metadata = object.metadata or json.object {}
  local metadata = object.metadata
  local unreadable = validation.check_metadata(metadata)
  if unreadable then return nil, status.bad_request(unreadable) end
  if metadata.namespace and metadata.namespace ~= target.namespace then
    return nil, status.bad_request(
      "the namespace of the provided object does not match the namespace sent on the request")
  end
  if not metadata.name and metadata.generateName then
    metadata.name = metadata.generateName .. world.next_uid():sub(1, 5)
  end
  if not metadata.name then
    return nil, status.invalid(target.resource, "",
      { status.cause("Required", "metadata.name", "Required value: name or generateName is required") })
  end
  metadata.namespace, metadata.uid = target.namespace, world.next_uid()
  metadata.creationTimestamp, metadata.generation = clock.rfc3339(), 1
  metadata.managedFields, metadata.resourceVersion, object.status = nil, nil, nil
  managed_fields.update(json.object { metadata = json.object {} }, object, { time = clock.rfc3339(),
    manager = manager_of(request, target.parameters), api_version = target.resource.api_version })
  return object
end

function write.create(world, request, target)
  local resource = target.resource
  if target.name or not (resource.head or resource.cluster_scoped) then
    return status.method_not_allowed(resource, "create")
  end
  if media_type(request) ~= "application/json" then return status.unsupported_media_type "application/json" end
  if target.namespace and not world.store:get("namespaces", nil, target.namespace) then
    return status.not_found(resources.by_plural.namespaces, target.namespace)
  end
  local object, failure = created(world, request, target, request.body)
  if not object then return failure end
  if resource.cluster_scoped then administration.complete(resource, object) end
  local name = object.metadata.name
  local warning, strict = prune(object, resource, target.parameters)
  failure = strict or refuse(world, object, resource)
  if failure then return failure end
  if world.store:get(resource.plural, target.namespace, name) then return status.already_exists(resource, name) end
  if target.parameters.dryRun then return status.answer(201, json.encode(object) .. "\n", { Warning = warning }) end
  return status.answer(201, world.store:put(resource.plural, object).bytes .. "\n", { Warning = warning })
end

--- The preconditions of DeleteOptions: why they do not hold, or nil.
local function unmet(preconditions, entry)
  local uid, revision = json.get(preconditions, "uid"), json.get(preconditions, "resourceVersion")
  if uid and uid ~= entry.uid then
    return ("Precondition failed: UID in precondition: %s, UID in object meta: %s"):format(uid, entry.uid)
  end
  if revision and revision ~= tostring(entry.revision) then
    return ("Precondition failed: ResourceVersion in precondition: %s, ResourceVersion in object meta: %d"):format(
      revision, entry.revision)
  end
  return nil
end

function write.delete(world, request, target)
  local resource = target.resource
  local options = json.object {}
  if request.body ~= "" then
    local message
    options, message = json.decode(request.body)
    if message then return status.bad_request(message) end
  end
  local entry = world.store:get(resource.plural, target.namespace, target.name)
  if not entry then return status.not_found(resource, target.name) end
  local why = unmet(json.get(options, "preconditions"), entry)
  if why then return status.conflict(resource, target.name, why) end
  if not target.parameters.dryRun then
    local lingering = administration.linger(world, resource, entry)
    if lingering then return lingering end
    world.store:delete(resource.plural, entry)
    if resource.cluster_scoped then administration.deleted(world, resource.plural, target.name) end
  end
  return status.answer(200, status.encode {
    status = "Success",
    details = { name = target.name, group = resource.group, kind = resource.plural, uid = entry.uid },
  } .. "\n")
end

return write
