--- The host's json module for specs without the host: lua-cjson with integers kept apart from floats.
local cjson = require("cjson").new()
cjson.decode_invalid_numbers(false)
cjson.decode_max_depth(64)

local json = { null = cjson.null }

local list_mark = { __name = "json.array" }

local function integers(value)
  if type(value) == "table" then
    for key, item in pairs(value) do
      value[key] = integers(item)
    end
  elseif math.type(value) == "float" and math.abs(value) <= 2 ^ 53 then
    return math.tointeger(value) or value
  end
  return value
end

function json.decode(text)
  local ok, value = pcall(cjson.decode, text)
  if not ok then return nil, value end
  return integers(value)
end

function json.array(list)
  return setmetatable(list, list_mark)
end

function json.encode(value)
  if math.type(value) == "float" and math.tointeger(value) then return ("%d"):format(value) end
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if type(value) ~= "table" then return cjson.encode(value) end
  local parts = {}
  if getmetatable(value) == list_mark or #value > 0 then
    for i, item in ipairs(value) do
      parts[i] = json.encode(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do
    parts[#parts + 1] = cjson.encode(tostring(key)) .. ":" .. json.encode(item)
  end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

return json
