--- The API server: who is calling, what they may do, and where the request goes.
local json = require "spec.simulator.json"
local read = require "spec.simulator.read"
local resources = require "spec.simulator.resources"
local status = require "spec.simulator.status"
local watch = require "spec.simulator.watch"
local write = require "spec.simulator.write"

local GROUP <const> = resources.GROUP

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

local function resource_list(group)
  local list = json.array {}
  for _, plural in ipairs { "daskclusters", "mpiclusters", "pods", "rayclusters", "sparkclusters" } do
    local resource = resources.by_plural[plural]
    if resource.group == group then
      list[#list + 1] = { name = plural, singularName = resource.singular, namespaced = true, kind = resource.kind,
        verbs = json.array { "delete", "get", "list", "patch", "create", "watch" } }
    end
  end
  return list
end

local group_version <const> = { groupVersion = GROUP .. "/v1alpha1", version = "v1alpha1" }

local discovery <const> = {
  ["/version"] = function() return { major = "1", minor = "26", gitVersion = "v1.26.15", platform = "linux/amd64" } end,
  ["/api"] = function() return { kind = "APIVersions", versions = json.array { "v1" } } end,
  ["/apis"] = function()
    return { kind = "APIGroupList", apiVersion = "v1", groups = json.array {
      { name = GROUP, versions = json.array { group_version }, preferredVersion = group_version } } }
  end,
  ["/api/v1"] = function() return { kind = "APIResourceList", groupVersion = "v1", resources = resource_list "" } end,
  ["/apis/" .. GROUP .. "/v1alpha1"] = function()
    return { kind = "APIResourceList", apiVersion = "v1", groupVersion = GROUP .. "/v1alpha1",
      resources = resource_list(GROUP) }
  end,
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
    return status.answer(200, json.encode(document()) .. "\n")
  end
  if not allowed(account, target) then return forbidden(account, target) end
  if target.resource.unknown then return status.no_such_path() end
  if not acceptable(request) then return status.not_acceptable() end
  local run = verbs[target.verb]
  if not run then return status.method_not_allowed(target.resource, target.verb) end
  if target.subresource and target.subresource ~= "status" then return status.no_such_path() end
  return run(world, request, target)
end

return { answer = answer, account_of = account_of, forbidden = forbidden }
