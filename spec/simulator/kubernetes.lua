--- The API server: who is calling, what they may do, and where the request goes.
local administration = require "spec.simulator.administration"
local json = require "spec.simulator.json"
local read = require "spec.simulator.read"
local resources = require "spec.simulator.resources"
local status = require "spec.simulator.status"
local watch = require "spec.simulator.watch"
local write = require "spec.simulator.write"

local GROUP <const> = resources.GROUP
local EXTENSIONS <const> = resources.by_plural.customresourcedefinitions.group

local verbs <const> = {
  get = function(world, _, target) return read.get(world, target) end,
  list = function(world, _, target) return read.list(world, target) end,
  watch = function(world, _, target) return watch.open(world, target) end,
  patch = write.patch,
  create = write.create,
  delete = write.delete,
}

local function plain(text)
  return status.answer(200, text, { ["Content-Type"] = "text/plain; charset=utf-8", ["Cache-Control"] = false })
end

local function resource_list(world, group, version)
  local list = json.array {}
  for _, plural in ipairs { "customresourcedefinitions", "daskclusters", "mpiclusters", "namespaces", "pods",
    "rayclusters", "sparkclusters" } do
    local resource = resources.by_plural[plural]
    if resource.group == group and administration.serves(world, resource) then
      list[#list + 1] = { name = plural, singularName = resource.singular, kind = resource.kind,
        namespaced = not resource.cluster_scoped,
        verbs = json.array { "delete", "get", "list", "patch", "create", "watch" } }
    end
  end
  return { kind = "APIResourceList", apiVersion = "v1", groupVersion = version, resources = list }
end

local function group_of(name, version)
  local group_version = { groupVersion = name .. "/" .. version, version = version }
  return { name = name, versions = json.array { group_version }, preferredVersion = group_version }
end

local discovery <const> = {
  ["/version"] = function() return { major = "1", minor = "26", gitVersion = "v1.26.15", platform = "linux/amd64" } end,
  ["/api"] = function() return { kind = "APIVersions", versions = json.array { "v1" } } end,
  ["/apis"] = function()
    return { kind = "APIGroupList", apiVersion = "v1", groups = json.array { group_of(EXTENSIONS, "v1"),
      group_of(GROUP, "v1alpha1") } }
  end,
  ["/api/v1"] = function(world) return resource_list(world, "", "v1") end,
  ["/apis/" .. EXTENSIONS .. "/v1"] = function(world) return resource_list(world, EXTENSIONS, EXTENSIONS .. "/v1") end,
  ["/apis/" .. GROUP .. "/v1alpha1"] = function(world) return resource_list(world, GROUP, GROUP .. "/v1alpha1") end,
}

local probes <const> = { ["/readyz"] = true, ["/livez"] = true, ["/healthz"] = true }

--- The account that the bearer token belongs to, or nil.
local function account_of(world, request)
  local token = (request:header "Authorization" or ""):match "^[Bb]earer +(%S+)%s*$"
  return token and world.accounts[token]
end

local function contains(list, value)
  for _, element in ipairs(list) do
    if element == value or element == "*" then return true end
  end
  return false
end

local function allowed(account, target)
  local plural = target.resource.plural .. (target.subresource and "/" .. target.subresource or "")
  for _, rule in ipairs(account.rules) do
    if contains(rule.resources, plural) and contains(rule.verbs, target.verb)
      and (rule.namespace == "*" or rule.namespace == target.namespace) then
      return true
    end
  end
  return false
end

--- The refusal that RBAC gives this user for this target.
local function forbidden(account, target)
  return status.forbidden { user = account.user, verb = target.verb, resource = target.resource,
    subresource = target.subresource, namespace = target.namespace, name = target.name }
end

local function acceptable(request)
  local accept = request:header "Accept" or "*/*"
  for range in accept:gmatch "[^,]+" do
    local name = range:match "^%s*([^;%s]*)"
    if name == "*/*" or name == "application/*" or name == "application/json" or name == "" then return true end
  end
  return false
end

local function answer(world, request, target)
  if probes[request.path] then return plain "ok" end
  local account = account_of(world, request)
  if not account then return status.unauthorized() end
  if target.kind == "discovery" then
    local document = discovery[request.path]
    if not document then return status.no_such_path() end
    return status.answer(200, json.encode(document(world)) .. "\n")
  end
  if not allowed(account, target) then return forbidden(account, target) end
  if target.resource.unknown or not administration.serves(world, target.resource) then return status.no_such_path() end
  if not acceptable(request) then return status.not_acceptable() end
  if target.resource.plural == "namespaces" and target.subresource == "finalize" and target.verb == "update" then
    return administration.finalize(world, request, target)
  end
  local run = verbs[target.verb]
  if not run then return status.method_not_allowed(target.resource, target.verb) end
  if target.subresource and target.subresource ~= "status" then return status.no_such_path() end
  return run(world, request, target)
end

return { answer = answer, account_of = account_of, forbidden = forbidden }
