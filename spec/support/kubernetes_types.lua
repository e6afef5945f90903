--- Kubernetes' own types, read from the TypeScript declarations that are generated from its OpenAPI description, and
--- a strict check of objects against them: an unknown field, a missing one or a wrong type is an error.
local lyaml = require "lyaml"

local root = "build/tools/kubernetes-types/"
local groups = {
  ["v1"] = "core/v1",
  ["apiextensions.k8s.io/v1"] = "apiextensions/v1",
  ["apps/v1"] = "apps/v1",
  ["networking.k8s.io/v1"] = "networking/v1",
  ["policy/v1"] = "policy/v1",
  ["rbac.authorization.k8s.io/v1"] = "rbac/v1",
}

local modules = {}

--- A declaration file: its interfaces' fields, its aliases, where its imported names come from.
local function load_module(name)
  if modules[name] then return modules[name] end
  local file = assert(io.open(root .. name .. ".d.ts"))
  local text = file:read("a"):gsub("/%*.-%*/", "")
  file:close()
  local module = { interfaces = {}, aliases = {}, origins = {} }
  for names, path in text:gmatch('import {(.-)} from "(.-)"') do
    local directory = name:match("^(.*)/")
    local origin = path:gsub("^%./", directory .. "/"):gsub("^%.%./", "")
    for imported in names:gmatch("%w+") do module.origins[imported] = origin end
  end
  for alias, type_text in text:gmatch("export type (%w+) = (.-);") do module.aliases[alias] = type_text end
  for interface, body in text:gmatch("export interface (%w+) (%b{})") do
    local fields = {}
    -- Maps span lines: { [name: string]: T; }
    body = body:sub(2, -2):gsub("{%s*%[name: string%]: (.-);%s*}", "Map<%1>")
    for field, optional, type_text in body:gmatch('"?([%w$_-]+)"?(%??): (.-);') do
      fields[field] = { type = type_text, required = optional == "" }
    end
    module.interfaces[interface] = fields
  end
  modules[name] = module
  return module
end

local check

local function check_fields(value, fields, module, path, problems)
  for name, field in pairs(fields) do
    if value[name] ~= nil then
      check(value[name], field.type, module, path .. "." .. name, problems)
    elseif field.required then
      problems[#problems + 1] = path .. "." .. name .. " is missing"
    end
  end
  for name in pairs(value) do
    if not fields[name] then problems[#problems + 1] = path .. "." .. tostring(name) .. " is unknown" end
  end
end

local function is_list(value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == #value
end

function check(value, type_text, module, path, problems)
  local function expect(right)
    if not right then
      problems[#problems + 1] = ("%s must be %s, not %s"):format(path, type_text, lyaml.dump({ value }):sub(5, -6))
    end
    return right
  end
  local element, entry = type_text:match("^Array<(.*)>$"), type_text:match("^Map<(.*)>$")
  if element then
    if expect(type(value) == "table" and is_list(value)) then
      for i, item in ipairs(value) do check(item, element, module, ("%s[%d]"):format(path, i), problems) end
    end
  elseif entry then
    if expect(type(value) == "table") then
      for key, item in pairs(value) do check(item, entry, module, path .. "." .. tostring(key), problems) end
    end
  elseif type_text:find("|", 1, true) then
    local fits
    for option in type_text:gmatch("[^|%s]+") do
      local of_option = {}
      check(value, option, module, path, of_option)
      fits = fits or #of_option == 0
    end
    expect(fits)
  elseif type_text:match('^"') then
    expect(value == type_text:sub(2, -2))
  elseif type_text == "string" or type_text == "number" or type_text == "boolean" then
    expect(type(value) == type_text)
  elseif module.interfaces[type_text] then
    if expect(type(value) == "table") then
      check_fields(value, module.interfaces[type_text], module, path, problems)
    end
  elseif type_text == "Quantity" then -- declared as a string; numbers are quantities too
    expect(type(value) == "number" or type(value) == "string" and value:match("^[%d.]+[eEkKMGTPm]?i?%d*$") ~= nil)
  elseif module.aliases[type_text] then
    check(value, module.aliases[type_text], module, path, problems)
  else
    local origin = assert(module.origins[type_text], path .. ": no type " .. type_text)
    check(value, type_text, load_module(origin), path, problems)
  end
end

local types = {}

--- Whether apiVersion is one of Kubernetes' own that is known here, not a custom resource's.
function types.knows(object)
  return groups[object.apiVersion] ~= nil
end

--- A sorted list of what is wrong with the object.
function types.problems(object)
  local problems = {}
  check(object, object.kind, load_module(groups[object.apiVersion]), object.kind, problems)
  table.sort(problems)
  return problems
end

return types
