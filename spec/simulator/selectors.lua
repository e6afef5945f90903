--- Label and field selectors.
local selectors = {}

local function trim(text) return text:match "^%s*(.-)%s*$" end

--- Splits at commas that are not inside parentheses.
local function split(text)
  local parts, depth, start = {}, 0, 1
  for position = 1, #text do
    local character = text:sub(position, position)
    if character == "(" then depth = depth + 1 end
    if character == ")" then depth = depth - 1 end
    if character == "," and depth == 0 then
      parts[#parts + 1] = text:sub(start, position - 1)
      start = position + 1
    end
  end
  parts[#parts + 1] = text:sub(start)
  return parts
end

local KEY <const> = "([%w][%w./_-]*)"

local function set_of(text)
  local values = {}
  for value in (text .. ","):gmatch "([^,]*)," do values[trim(value)] = true end
  return values
end

--- One requirement as a function of the labels, nil when it cannot be read.
local function requirement(text)
  local key, operator, value = text:match("^" .. KEY .. "%s*([!=]=?)%s*([%w._-]*)$")
  if key and operator ~= "!" then
    if operator == "!=" then return function(labels) return labels[key] ~= value end end
    return function(labels) return labels[key] == value end
  end
  key, operator, value = text:match("^" .. KEY .. "%s+(%l+)%s*%((.*)%)$")
  if key and (operator == "in" or operator == "notin") then
    local values, wanted = set_of(value), operator == "in"
    return function(labels)
      local label = labels[key]
      return (label ~= nil and values[label] == true) == wanted
    end
  end
  key = text:match("^!%s*" .. KEY .. "$")
  if key then return function(labels) return labels[key] == nil end end
  key = text:match("^" .. KEY .. "$")
  if key then return function(labels) return labels[key] ~= nil end end
  return nil
end

--- A function of an object's labels; nil and a message when the selector is malformed.
function selectors.labels(text)
  local requirements = {}
  for _, part in ipairs(split(text or "")) do
    part = trim(part)
    if part ~= "" then
      local check = requirement(part)
      if not check then return nil, ("unable to parse requirement: %s"):format(part) end
      requirements[#requirements + 1] = check
    end
  end
  if #requirements == 0 then return nil end
  return function(labels)
    for _, check in ipairs(requirements) do
      if not check(labels) then return false end
    end
    return true
  end
end

--- The same for fields: custom resources know metadata.name and metadata.namespace.
function selectors.fields(text)
  local requirements = {}
  for part in (text or ""):gmatch "[^,]+" do
    local field, operator, value = part:match "^%s*([%w.]+)%s*([!=]=?)%s*(.-)%s*$"
    local key = field and field:match "^metadata%.(%l+)$"
    if key ~= "name" and key ~= "namespace" then
      return nil, ("field label not supported: %s"):format(field or part)
    end
    requirements[#requirements + 1] = { key = key, value = value, equal = operator ~= "!=" }
  end
  if #requirements == 0 then return nil end
  return function(entry)
    for _, check in ipairs(requirements) do
      if (entry[check.key] == check.value) ~= check.equal then return false end
    end
    return true
  end
end

--- Both selectors of a request as one function of a store's entry, nil when there is none; nil and a message when
--- one of them is malformed.
function selectors.parse(parameters)
  local by_labels, labels_failure = selectors.labels(parameters.labelSelector)
  local by_fields, fields_failure = selectors.fields(parameters.fieldSelector)
  if labels_failure or fields_failure then return nil, labels_failure or fields_failure end
  if not by_labels and not by_fields then return nil end
  return function(entry)
    return (not by_labels or by_labels(entry.labels)) and (not by_fields or by_fields(entry))
  end
end

return selectors
