--- Reads the body of a scale request. The messages are for whoever wrote the notebook.
local json = require "json"
local text = require "scripts.text"

local MAX_REPLICAS = 2147483646 -- one more must still be an int32
local MAX_SHOWN = 40

--- What was found, as the caller would write it. Foreign text comes back only when it is short and plain.
local function found(value)
  if value == json.null then return "null" end
  local kind = type(value)
  if kind == "string" then
    if #value <= MAX_SHOWN and not value:find("[^ -~]") then return ("the string %q"):format(value) end
    return "a string"
  elseif kind == "number" then
    return math.type(value) == "integer" and tostring(value) or ("%.14g"):format(value)
  elseif kind == "table" then
    return "an object or array"
  end
  return tostring(value)
end

local function replicas_fault(value)
  if value == nil then return "is missing: how many workers the cluster should have" end
  local count = type(value) == "number" and math.tointeger(value)
  if type(value) ~= "number" or (not count and math.abs(value) <= MAX_REPLICAS) then
    return "must be a whole number, found " .. found(value)
  end
  if value < 0 then return "must be 0 or more, found " .. found(value) end
  if value > MAX_REPLICAS then return ("must be at most %d, found %s"):format(MAX_REPLICAS, found(value)) end
  return nil
end

local function name_fault(value)
  if value == nil then return "is missing: the name of the cluster, such as ray-655cb2de368ad4624b1e7d7b" end
  if type(value) ~= "string" then return "must be a string, found " .. found(value) end
  return text.name_fault(value)
end

---@param body table a JSON object; fields that are not known here are somebody else's
---@return { cluster_name: string, replicas: integer }?
---@return { field: string, message: string }[]? errors
return function(body)
  local errors = {}
  for _, check in ipairs { { "cluster_name", name_fault }, { "replicas", replicas_fault } } do
    local field, fault = check[1], check[2](body[check[1]])
    if fault then errors[#errors + 1] = { field = field, message = fault } end
  end
  if errors[1] then return nil, errors end
  return { cluster_name = body.cluster_name, replicas = math.tointeger(body.replicas) }
end
