--- Small questions about text, without patterns: these are asked of every request.
local byte, find, sub = string.byte, string.find, string.sub

local text = {}

local SPACE, TAB = 32, 9

--- Without the spaces and tabs around it.
---@param value string
---@return string
function text.trim(value)
  local first, last = 1, #value
  local b = byte(value, first)
  while b == SPACE or b == TAB do
    first = first + 1
    b = byte(value, first)
  end
  b = byte(value, last)
  while last > first and (b == SPACE or b == TAB) do
    last = last - 1
    b = byte(value, last)
  end
  return (first == 1 and last == #value) and value or sub(value, first, last)
end

local MAX_NAME_BYTES = 253
local DOT, HYPHEN = 46, 45

--- What keeps a value from being the name of a Kubernetes object (RFC 1123 subdomain); nil when nothing does.
---@param name string
---@return string?
function text.name_fault(name)
  if name == "" then return "is empty" end
  if #name > MAX_NAME_BYTES then return "is longer than 253 characters" end
  if find(name, "[^a-z0-9.-]") then return 'may hold only lower-case letters, digits, "-" and "."' end
  local first, last = byte(name, 1), byte(name, -1)
  if first == HYPHEN or first == DOT or last == HYPHEN or last == DOT
    or find(name, "..", 1, true) or find(name, ".-", 1, true) or find(name, "-.", 1, true) then
    return "must begin and end with a letter or digit, also around each \".\""
  end
  return nil
end

return text
