--- What a request asks for: its kind (what counts and faults go by), and for Kubernetes the verb and the resource.
local query = require "spec.simulator.query"
local resources = require "spec.simulator.resources"

local verbs <const> = { GET = "get", HEAD = "get", POST = "create", PUT = "update", PATCH = "patch", DELETE = "delete" }

local domino <const> = {
  ["/v4/auth/principal"] = "principal",
  ["/v4/hardwareTier"] = "hardware_tier",
  ["/access-token"] = "access_token",
}

local function verb_of(method, name, parameters)
  local verb = verbs[method] or method:lower()
  if verb == "get" and not name then
    local watch = parameters.watch
    return (watch == "1" or watch == "true") and "watch" or "list"
  end
  if verb == "delete" and not name then return "deletecollection" end
  return verb
end

--- A record for a resource that nobody knows, enough to refuse it.
local function unknown(group, plural)
  return { group = group, plural = plural, qualified = group == "" and plural or plural .. "." .. group,
    unknown = true }
end

local function resource_of(group, version, plural)
  local resource = resources.by_plural[plural]
  if resource and resource.group == group and resource.version == version then return resource end
  return unknown(group, plural)
end

local function kubernetes(method, path, parameters)
  local group, version, rest = path:match "^/apis/([^/]+)/([^/]+)/(.+)$"
  if not group then
    group, version, rest = "", path:match "^/api/([^/]+)/(.+)$"
  end
  if not rest then return { kind = "discovery" } end
  local namespace, below = rest:match "^namespaces/([^/]+)/(.+)$"
  if below == "finalize" then namespace, below = nil, nil end
  local plural, name, subresource = (below or rest):match "^([^/]+)/?([^/]*)/?([^/]*)$"
  if not plural then return { kind = "discovery" } end
  if name == "" then name = nil end
  if subresource == "" then subresource = nil end
  local verb = verb_of(method, name, parameters)
  return { kind = verb, verb = verb, namespace = namespace, resource = resource_of(group, version, plural),
    name = name, subresource = subresource }
end

local function classify(request)
  local method, path = request.method, request.path
  local parameters = query.parse(request.query or "")
  local target
  if path:sub(1, 12) == "/_simulator/" then
    target = { kind = "simulator", call = path:sub(13) }
  elseif domino[path] then
    target = { kind = domino[path] }
  elseif path:sub(1, 4) == "/v4/" then
    target = { kind = "domino" }
  else
    target = kubernetes(method, path, parameters)
  end
  target.parameters = parameters
  return target
end

return { classify = classify }
