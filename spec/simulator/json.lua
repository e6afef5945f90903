--- JSON as the API server reads and writes it: keys sorted, integers exact, arrays stay arrays, Go's escapes.
local dkjson = require "dkjson"
local syntax = require "spec.simulator.syntax"

local json = {}

json.null = setmetatable({}, { __name = "null" })

local array_meta <const> = { __jsontype = "array" }
local object_meta <const> = { __jsontype = "object" }

--- Marks a table as an array, also when it is empty.
function json.array(list) return setmetatable(list or {}, array_meta) end

--- A JSON object. Without this a table with an element 1 is taken for an array.
function json.object(fields) return setmetatable(fields or {}, object_meta) end

--- An object whose keys are written in the order given, as the API server writes its built-in types.
function json.ordered(order, fields) return setmetatable(fields, { __jsontype = "object", __jsonorder = order }) end

function json.is_array(value)
  if type(value) ~= "table" or value == json.null then return false end
  local meta = getmetatable(value)
  if meta and meta.__jsontype then return meta.__jsontype == "array" end
  return value[1] ~= nil
end

function json.is_object(value) return type(value) == "table" and value ~= json.null and not json.is_array(value) end

--- The value of a text that is known to be JSON.
function json.read(text) return (dkjson.decode(text, 1, json.null, object_meta, array_meta)) end

--- The value, or nil and Go's message.
function json.decode(text)
  local ok, message = syntax.check(text)
  if not ok then return nil, message end
  return json.read(text)
end

local escapes <const> = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(character) return escapes[character] or ("\\u%04x"):format(character:byte()) end

function json.quote(text)
  if text:find '[\0-\31"\\<>&]' then text = text:gsub('[\0-\31"\\<>&]', escape) end
  if text:find("\u{2028}", 1, true) or text:find("\u{2029}", 1, true) then
    text = text:gsub("\u{2028}", "\\u2028"):gsub("\u{2029}", "\\u2029")
  end
  return '"' .. text .. '"'
end

--- Numbers as Go prints them: integral floats without a point, exponents from 1e21 on.
function json.number(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value == math.floor(value) and math.abs(value) < 1e21 then return ("%.0f"):format(value) end
  for digits = 1, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return (text:gsub("e([+-])0(%d)$", "e%1%2")) end
  end
  return "null"
end

local quoted_keys <const> = {}

local function quoted_key(key)
  local text = quoted_keys[key]
  if not text then
    text = json.quote(tostring(key)) .. ":"
    quoted_keys[key] = text
  end
  return text
end

local function sorted_keys(value)
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local append

local function append_object(out, value)
  local meta = getmetatable(value)
  out[#out + 1] = "{"
  local separator = ""
  for _, key in ipairs(meta and meta.__jsonorder or sorted_keys(value)) do
    if value[key] ~= nil then
      out[#out + 1] = separator
      out[#out + 1] = quoted_key(key)
      append(out, value[key])
      separator = ","
    end
  end
  out[#out + 1] = "}"
end

function append(out, value)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = json.quote(value)
  elseif kind == "number" then
    out[#out + 1] = json.number(value)
  elseif kind == "boolean" then
    out[#out + 1] = tostring(value)
  elseif value == json.null then
    out[#out + 1] = "null"
  elseif json.is_array(value) then
    out[#out + 1] = "["
    for index, element in ipairs(value) do
      if index > 1 then out[#out + 1] = "," end
      append(out, element)
    end
    out[#out + 1] = "]"
  else
    append_object(out, value)
  end
end

function json.encode(value)
  local out = {}
  append(out, value)
  return table.concat(out)
end

function json.equal(left, right)
  if left == right then return true end
  if type(left) ~= "table" or type(right) ~= "table" then return false end
  if left == json.null or right == json.null or json.is_array(left) ~= json.is_array(right) then return false end
  for key, value in pairs(left) do
    if not json.equal(value, right[key]) then return false end
  end
  for key in pairs(right) do
    if left[key] == nil then return false end
  end
  return true
end

function json.copy(value)
  if type(value) ~= "table" or value == json.null then return value end
  local result = {}
  for key, element in pairs(value) do result[key] = json.copy(element) end
  return setmetatable(result, getmetatable(value))
end

--- The value under a path of keys, nil where the path ends early.
function json.get(value, ...)
  for _, key in ipairs { ... } do
    if not json.is_object(value) then return nil end
    value = value[key]
  end
  return value
end

return json
