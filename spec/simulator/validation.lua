--- What the API server does with a custom resource before it stores it: prune unknown fields, check the schema, the
--- scale subresource and the metadata.
local json = require "spec.simulator.json"
local schema = require "spec.simulator.schema"
local status = require "spec.simulator.status"

local INT32_MAX <const> = 2147483647

local validation = {}

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function join(path, key) return path == "" and key or path .. "." .. key end

local function prune(value, rule, path, unknown)
  if json.is_array(value) then
    for index, element in ipairs(value) do
      prune(element, rule.items or { open = true }, ("%s[%d]"):format(path, index - 1), unknown)
    end
  elseif json.is_object(value) and not rule.open then
    for _, key in ipairs(sorted_keys(value)) do
      local child = rule.values or (rule.properties or {})[key]
      if child then
        prune(value[key], child, join(path, key), unknown)
      else
        unknown[#unknown + 1] = join(path, key)
        value[key] = nil
      end
    end
  end
end

--- Removes fields that the schema does not know from the object, in place; returns their paths.
function validation.prune(object)
  local unknown = {}
  prune(object, schema, "", unknown)
  return unknown
end

local function json_type(value)
  local kind = type(value)
  if kind == "number" then
    return (math.type(value) == "integer" or value == math.floor(value)) and "integer" or "number"
  end
  if value == json.null then return "null" end
  if kind == "table" then return json.is_array(value) and "array" or "object" end
  return kind
end

local check

local function check_object(value, rule, path, causes)
  for _, key in ipairs(rule.required or {}) do
    if value[key] == nil then causes[#causes + 1] = status.cause("Required", join(path, key), "Required value") end
  end
  for _, key in ipairs(sorted_keys(value)) do
    local child = rule.values or (rule.properties or {})[key]
    if child then check(value[key], child, join(path, key), causes) end
  end
end

function check(value, rule, path, causes)
  local kind = json_type(value)
  if kind ~= rule.type and not (rule.int_or_string and kind == "integer") then
    causes[#causes + 1] = status.cause("TypeInvalid", path,
      ('Invalid value: "%s": %s in body must be of type %s: "%s"'):format(kind, path, rule.type, kind))
  elseif kind == "object" then
    check_object(value, rule, path, causes)
  elseif kind == "array" then
    for index, element in ipairs(value) do
      check(element, rule.items, ("%s[%d]"):format(path, index - 1), causes)
    end
  end
end

local go_types <const> = { integer = "int64", number = "float64", string = "string", boolean = "bool",
  array = "[]interface {}", object = "map[string]interface {}", null = "<nil>" }

local function go_print(value)
  if type(value) == "number" then return json.number(value) end
  if type(value) == "table" then return json.is_array(value) and "[]" or "map[]" end
  return tostring(value)
end

--- The scale subresource reads spec.worker.replicas as an int64 and wants an int32 that is not negative.
local function check_scale(object, causes)
  local path <const> = ".spec.worker.replicas"
  local value = json.get(object, "spec", "worker", "replicas")
  if value == nil then return end
  local why
  if math.type(value) ~= "integer" then
    local go_type = type(value) == "number" and "float64" or go_types[json_type(value)]
    why = ("0: %s accessor error: %s is of the type %s, expected int64"):format(path, go_print(value), go_type)
  elseif value < 0 then
    why = ("%d: should be a non-negative integer"):format(value)
  elseif value > INT32_MAX then
    why = ("%d: should be less than or equal to %d"):format(value, INT32_MAX)
  end
  if why then causes[#causes + 1] = status.cause("Invalid", path, "Invalid value: " .. why) end
end

--- The causes for which the API server refuses the object; none when it takes it.
function validation.check(object, resource)
  local causes = {}
  check(object, schema, "", causes)
  if resource.head then check_scale(object, causes) end
  return causes
end

--- A patch may name the uid, as a precondition, but not change it. The API server says so twice.
function validation.check_uid(old, new)
  local uid = new.metadata.uid
  if uid == nil or uid == "" or uid == old.metadata.uid then return {} end
  local function cause()
    return status.cause("Invalid", "metadata.uid", ("Invalid value: %s: field is immutable"):format(json.quote(uid)))
  end
  return { cause(), cause() }
end

--- Metadata that cannot be read as ObjectMeta: the message, or nil.
function validation.check_metadata(metadata)
  if not json.is_object(metadata) then
    return "json: cannot unmarshal " .. json_type(metadata) .. " into Go struct field .metadata of type v1.ObjectMeta"
  end
  for _, field in ipairs { "name", "namespace", "uid", "resourceVersion" } do
    if metadata[field] ~= nil and type(metadata[field]) ~= "string" then
      return ("json: cannot unmarshal %s into Go struct field ObjectMeta.metadata.%s of type string"):format(
        json_type(metadata[field]), field)
    end
  end
  for _, field in ipairs { "labels", "annotations" } do
    local map = metadata[field]
    if map ~= nil and not json.is_object(map) then
      return ("json: cannot unmarshal %s into Go struct field ObjectMeta.metadata.%s of type map[string]string"):format(
        json_type(map), field)
    end
    for _, value in pairs(map or {}) do
      if type(value) ~= "string" then
        return ("json: cannot unmarshal %s into Go struct field ObjectMeta.metadata.%s of type string"):format(
          json_type(value), field)
      end
    end
  end
  return nil
end

return validation
