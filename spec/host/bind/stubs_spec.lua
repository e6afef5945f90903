--- The stubs of host/bind say what the modules hold.
require "native.bind" -- bindings may ask for the host when they open

local lfs = require "lfs"

local function sorted_keys(map, wanted)
  local keys = {}
  for key, value in pairs(map) do
    if not wanted or type(value) == wanted then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

--- What a stub declares: functions of the module, and of each class its methods.
local function read_stub(path)
  local functions, classes, class_of, class = {}, {}, {}, nil
  for line in io.lines(path) do
    class = line:match("^%-%-%-@class ([%w._]+)") or class
    local variable = line:match("^local (%w+) = {}")
    if variable then
      class_of[variable] = class
      class = nil
    end
    local owner, name = line:match("^function (%w+)[.:]([%w_]+)%(")
    if owner and path:find("/" .. owner .. ".lua", 1, true) then
      functions[name] = true
    elseif owner then
      local methods = classes[class_of[owner]] or {}
      classes[class_of[owner]] = methods
      methods[name] = true
    end
  end
  return functions, classes
end

local function open(name)
  local library = assert(package.searchpath("native.bind", package.cpath))
  return assert(package.loadlib(library, "luaopen_bind_" .. name))(name)
end

describe("host/bind stubs", function()
  for file in lfs.dir("host/bind") do
    local name = file:match("^(%w+)%.lua$")
    if name and lfs.attributes("host/bind/" .. name .. ".c") then
      it("name the functions of " .. name, function()
        local functions, classes = read_stub("host/bind/" .. file)
        assert.same(sorted_keys(functions), sorted_keys(open(name), "function"))
        for class, methods in pairs(classes) do
          local metatable = assert(debug.getregistry()[class], class .. " is not the name of a metatable")
          assert.same(sorted_keys(methods), sorted_keys(metatable.methods or metatable.__index, "function"), class)
        end
      end)
    end
  end
end)
