local hash = require "native.hash"

local function bytes(count)
  local out = {}
  for i = 1, count do out[i] = string.char(i - 1) end
  return table.concat(out)
end

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

describe("the keyed hash", function()
  --- From the paper of SipHash and its reference implementation: key 00..0f, messages 00..n.
  for length, expected in pairs {
    [0] = "310e0edd47db6f72", [1] = "fd67dc93c539f874", [7] = "37d1018bf50002ab", [8] = "6224939a79f5f593",
    [15] = "e545be4961ca29a1", [63] = "724506eb4c328a95",
  } do
    it("is SipHash-2-4 of " .. length .. " bytes", function()
      assert.equal(expected, hex(hash.keyed(bytes(16), bytes(length))))
    end)
  end
end)
