local globals = require "native.globals"

--- { "1 read x", … }
local function find(text)
  local uses = globals.find(text)
  for i, use in ipairs(uses) do
    uses[i] = table.concat(use, " ")
  end
  return uses
end

describe("host/globals", function()
  it("finds what a chunk reads and assigns, by line", function()
    assert.same({ "1 read a", "2 assigned b", "3 read c", "4 read print" },
      find "local x = a\nb = x\nlocal y = c.d.e\nprint(x, y)")
    assert.same({}, find "")
    assert.same({}, find "local a, b = 1, { c = 2 }\nb.c = a\nreturn function(d) return d + a + b.c end")
  end)

  it("finds it in branches and functions that never run", function()
    assert.same({ "3 assigned b", "5 read a", "9 read c" }, find [[
local function never()
  local function inner()
    b = 1
  end
  if false then return a end
  return inner
end

return function() return function() return function() return c end end end, never]])
  end)

  it("tells the globals from a local table of their name", function()
    assert.same({ "1 read a" }, find "local x = _ENV.a; local _ENV = {}; b = c; return function() d = e end")
    assert.same({}, find "return function(_ENV) return a, function() b = a end end")
    assert.same({ "1 assigned a", "1 read b" }, find "return function() return function() _ENV.a = _ENV.b end end")
  end)

  it("finds it behind more constants than an instruction names", function()
    for _, constants in ipairs { 250, 254, 255, 256, 257, 300, 200000 } do
      local lines = { "local t = {}" }
      for i = 1, constants do
        lines[#lines + 1] = ("t[%q] = 1"):format("key" .. i)
      end
      lines[#lines + 1] = "local x = late"
      lines[#lines + 1] = "late = function() return x, early end"
      lines[#lines + 1] = "late.x = t[late]"
      assert.same({ constants + 2 .. " read late", constants + 3 .. " assigned late", constants + 3 .. " read early",
        constants + 4 .. " read late", constants + 4 .. " read late" }, find(table.concat(lines, "\n")))
    end
  end)

  it("knows the lines of functions whose lines lie far apart", function()
    local gap = ("\n"):rep(1000)
    assert.same({ "1 read a", "1001 read b", "2001 assigned c", "3001 read d" },
      find("local x = a" .. gap .. "x = b" .. gap .. "c = x" .. gap .. "return d"))
    local lines = {}
    for i = 1, 1000 do
      lines[i] = "a()"
    end
    local uses = globals.find(table.concat(lines, "\n"))
    assert.equal(1000, #uses)
    assert.same({ 1000, "read", "a" }, uses[1000])
  end)

  it("refuses code that is not whole", function()
    local text = "local x = a; b = function() return { c, 1.5, 7, nil, true, 'd' } end"
    local _, length = globals.find(text)
    for short = 0, length - 1 do
      assert.equal(length, (globals.find(text, short)))
    end
    assert.equal(length, (globals.find(text, length + 1)))
  end)
end)
