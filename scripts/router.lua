--- Turns the route table into a tree of path segments, once, and finds a request's route in it.
local byte, find, sub = string.byte, string.find, string.sub

local router = {}

--- A route as the rest of the scripts see it.
---@class route
---@field path string template, "/raycluster/{name}"
---@field action action
---@field run fun(ctx: context): table
---@field body (fun(body: table): table?, table[]?)?
---@field source "path"|"body"|"each"|nil where the cluster's name comes from
---@field field string? its name there

---@class node
---@field fixed table<string, node> by segment
---@field any node? the parameter's
---@field parameter string?
---@field methods table<string, route>?
---@field allow string?

local SLASH = 47
local no_parameters = {}

local function new_node()
  return { fixed = {} }
end

local function compile(row)
  local title = ("route %s %s"):format(row[1], row[2])
  if type(row.action) ~= "string" or row.action == "" then error(title .. " names no action", 0) end
  if type(row.run) ~= "function" then error(title .. " has nothing to run", 0) end
  local source, field = row.cluster, nil
  if source and source ~= "each" then
    source, field = source:match("^(%l+)%.([%a_]+)$")
    if source ~= "path" and not (source == "body" and row.body) then error(title .. " misnames its cluster", 0) end
  end
  return { path = row[2], action = row.action, run = row.run, body = row.body, source = source, field = field }
end

local function insert(root, row)
  local node = root
  for segment in row[2]:gmatch("[^/]+") do
    local parameter = segment:match("^{([%a_]+)}$")
    if parameter then
      node.any = node.any or new_node()
      node = node.any
      node.parameter = parameter
    else
      node.fixed[segment] = node.fixed[segment] or new_node()
      node = node.fixed[segment]
    end
  end
  node.methods = node.methods or {}
  node.methods[row[1]] = compile(row)
  if row[1] == "GET" then node.methods.HEAD = node.methods.GET end

  local names = {}
  for method in pairs(node.methods) do
    names[#names + 1] = method
  end
  table.sort(names)
  node.allow = table.concat(names, ", ")
end

---@param rows table[]
---@return fun(method: string, path: string): route?, table<string, string>|string|nil
---the route and its parameters; nil and the methods that the path allows; or nil when there is no such path
function router.new(rows)
  local root = new_node()
  for _, row in ipairs(rows) do
    insert(root, row)
  end

  return function(method, path)
    if byte(path) ~= SLASH then return nil end
    local node, parameters, start = root, no_parameters, 2
    repeat
      local stop = find(path, "/", start, true)
      local segment = sub(path, start, stop and stop - 1)
      local child = node.fixed[segment]
      if not child then
        child = node.any
        if not child or segment == "" then return nil end
        if parameters == no_parameters then parameters = {} end
        parameters[child.parameter] = segment
      end
      node = child
      start = stop and stop + 1
    until not stop
    local methods = node.methods
    if not methods then return nil end
    local route = methods[method]
    if not route then return nil, node.allow end
    return route, parameters
  end
end

return router
