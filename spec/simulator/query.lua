--- Query strings.
local function decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- The parameters by name; the last one of a name wins.
local function parse(text)
  local parameters = {}
  for pair in text:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    parameters[decode(name)] = decode(value)
  end
  return parameters
end

return { parse = parse }
