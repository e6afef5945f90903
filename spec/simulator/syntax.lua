--- Strict JSON syntax with the messages of Go's encoding/json, which the API server passes on. dkjson, which builds the
--- tables, forgives too much: comments, missing commas, whatever follows the value.

local MAX_DEPTH <const> = 10000
local END <const> = "unexpected end of JSON input"

local function quoted(character)
  if character == "'" then return [['\'']] end
  local code = character:byte()
  if code < 32 or code == 127 then return ("'\\x%02x'"):format(code) end
  return "'" .. character .. "'"
end

local function unexpected(text, position, context)
  local character = text:match("^" .. utf8.charpattern, position) or text:sub(position, position)
  if character == "" then return nil, END end
  return nil, "invalid character " .. quoted(character) .. " " .. context
end

local function skip_space(text, position)
  return text:find("[^ \t\r\n]", position) or #text + 1
end

--- Each scanner takes the position of its first character and returns the position behind its last one.
local function scan_string(text, position)
  position = position + 1
  while true do
    local stop = text:find('[%c"\\]', position)
    if not stop then return nil, END end
    local character = text:sub(stop, stop)
    if character == '"' then return stop + 1 end
    if character == "\\" then
      local escape = text:sub(stop + 1, stop + 1)
      if escape == "u" then
        for digit = stop + 2, stop + 5 do
          if not text:find("^%x", digit) then return unexpected(text, digit, "in \\u hexadecimal character escape") end
        end
        position = stop + 6
      elseif escape ~= "" and ('"\\/bfnrt'):find(escape, 1, true) then
        position = stop + 2
      else
        return unexpected(text, stop + 1, "in string escape code")
      end
    elseif character == "\127" then
      position = stop + 1
    else
      return unexpected(text, stop, "in string literal")
    end
  end
end

local function scan_digits(text, position, context)
  if not text:find("^%d", position) then return unexpected(text, position, context) end
  return text:find("%D", position) or #text + 1
end

local function scan_number(text, position)
  local failure
  if text:sub(position, position) == "-" then position = position + 1 end
  if text:sub(position, position) == "0" then
    position = position + 1
  else
    position, failure = scan_digits(text, position, "in numeric literal")
    if not position then return nil, failure end
  end
  if text:sub(position, position) == "." then
    position, failure = scan_digits(text, position + 1, "after decimal point in numeric literal")
    if not position then return nil, failure end
  end
  if text:find("^[eE]", position) then
    position = position + (text:find("^[+-]", position + 1) and 2 or 1)
    position, failure = scan_digits(text, position, "in exponent of numeric literal")
  end
  return position, failure
end

local function scan_word(text, position, word)
  for index = 2, #word do
    local expected = word:sub(index, index)
    if text:sub(position + index - 1, position + index - 1) ~= expected then
      return unexpected(text, position + index - 1,
        ("in literal %s (expecting '%s')"):format(word, expected))
    end
  end
  return position + #word
end

local function scan_scalar(text, position)
  local character = text:sub(position, position)
  if character == '"' then return scan_string(text, position) end
  if character == "t" then return scan_word(text, position, "true") end
  if character == "f" then return scan_word(text, position, "false") end
  if character == "n" then return scan_word(text, position, "null") end
  if character:find "^[%d-]" then return scan_number(text, position) end
  return unexpected(text, position, "looking for beginning of value")
end

local function scan_key(text, position)
  if text:sub(position, position) ~= '"' then
    return unexpected(text, position, "looking for beginning of object key string")
  end
  local failure
  position, failure = scan_string(text, position)
  if not position then return nil, failure end
  position = skip_space(text, position)
  if text:sub(position, position) ~= ":" then return unexpected(text, position, "after object key") end
  return skip_space(text, position + 1)
end

--- Behind a value: leaves every container that ends here. Returns the position of the next value (or of the top's end).
local function scan_tail(text, position, stack)
  while true do
    position = skip_space(text, position)
    local container = stack[#stack]
    if not container then return position end
    local character = text:sub(position, position)
    if character == "," then
      position = skip_space(text, position + 1)
      if container == "{" then return scan_key(text, position) end
      return position
    end
    if character ~= (container == "{" and "}" or "]") then
      return unexpected(text, position, container == "{" and "after object key:value pair" or "after array element")
    end
    stack[#stack] = nil
    position = position + 1
  end
end

--- True, or nil and what is wrong.
local function check(text)
  local stack, failure = {}, nil
  local position = skip_space(text, 1)
  repeat
    local character = text:sub(position, position)
    local closed = true
    if character == "{" or character == "[" then
      local inside = skip_space(text, position + 1)
      if text:sub(inside, inside) == (character == "{" and "}" or "]") then
        position = inside + 1
      else
        if #stack >= MAX_DEPTH then return nil, "exceeded max depth" end
        stack[#stack + 1] = character
        position, closed = inside, false
        if character == "{" then position, failure = scan_key(text, inside) end
      end
    else
      position, failure = scan_scalar(text, position)
    end
    if position and closed then position, failure = scan_tail(text, position, stack) end
    if not position then return nil, failure end
  until closed and #stack == 0
  if position <= #text then return unexpected(text, position, "after top-level value") end
  return true
end

return { check = check }
