--- Base64 with the URL alphabet and no padding, as continue tokens use it.
local ALPHABET <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

local digits, values = {}, {}
for index = 1, #ALPHABET do
  local digit = ALPHABET:sub(index, index)
  digits[index - 1], values[digit] = digit, index - 1
end

local function encode(text)
  local out = {}
  for position = 1, #text, 3 do
    local a, b, c = text:byte(position, position + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    out[#out + 1] = digits[bits >> 18] .. digits[bits >> 12 & 63]
    if b then out[#out + 1] = digits[bits >> 6 & 63] end
    if c then out[#out + 1] = digits[bits & 63] end
  end
  return table.concat(out)
end

--- nil when the text is not Base64.
local function decode(text)
  local out, bits, count = {}, 0, 0
  for digit in text:gmatch "." do
    local value = values[digit]
    if not value then return nil end
    bits, count = (bits << 6 | value) & 0xffffff, count + 6
    if count >= 8 then
      count = count - 8
      out[#out + 1] = string.char(bits >> count & 0xff)
    end
  end
  return table.concat(out)
end

return { encode = encode, decode = decode }
