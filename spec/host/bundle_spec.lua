local lfs = require "lfs"
local build = require "build"
local bundle = require "native.bundle"
local program = require "program"
local uv = require "luv"

describe("host/bundle", function()
  local root

  local function write(path, text)
    local file = assert(io.open(root .. "/" .. path, "w"))
    file:write(text)
    file:close()
  end

  local function directory(path)
    assert(lfs.mkdir(root .. "/" .. path))
    return root .. "/" .. path
  end

  local function read()
    return bundle.read { { "scripts", root .. "/scripts" }, { "policies", root .. "/policies" } }
  end

  before_each(function()
    root = os.tmpname()
    os.remove(root)
    assert(lfs.mkdir(root))
    directory "scripts"
    directory "policies"
    write("scripts/app.lua", "return 1")
    write("scripts/scale-up.lua", "")
    write("policies/authorization.lua", "return 2\0binary")
  end)

  after_each(function()
    os.execute(("rm -rf '%s'"):format(root))
  end)

  it("holds every .lua file as a module, in order, byte for byte", function()
    for _, name in ipairs { "scripts/.hidden.lua", "scripts/README.md", "scripts/x.lua~", "scripts/a b.lua",
      "scripts/x.y.lua", "scripts/.lua" } do
      write(name, "error 'not a module'")
    end
    lfs.mkdir(root .. "/scripts/below")
    local got = assert(read())
    local files = {}
    for i, file in ipairs(got.files) do
      files[i] = { file.module, file.path, file.source }
    end
    assert.same({
      { "policies.authorization", "policies/authorization.lua", "return 2\0binary" },
      { "scripts.app", "scripts/app.lua", "return 1" },
      { "scripts.scale-up", "scripts/scale-up.lua", "" },
    }, files)
    assert.same({ ["policies.authorization"] = "policies/authorization.lua", ["scripts.app"] = "scripts/app.lua",
      ["scripts.scale-up"] = "scripts/scale-up.lua" }, got.found)
    assert.is_false(got.found_nowhere)
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", got.files[3].sha256)
  end)

  it("has a revision that follows names and bytes and nothing else", function()
    local first = assert(read()).revision
    assert.matches("^" .. ("%x"):rep(12) .. "$", first)
    lfs.touch(root .. "/scripts/app.lua", 1, 1)
    assert.equal(first, assert(read()).revision)
    write("scripts/app.lua", "return 3")
    local second = assert(read()).revision
    assert.not_equal(first, second)
    write("scripts/app.lua", "return 1")
    assert.equal(first, assert(read()).revision)
    assert(os.rename(root .. "/scripts/scale-up.lua", root .. "/scripts/scale_up.lua"))
    assert.not_equal(first, assert(read()).revision)
  end)

  it("has a revision of its code that rules have no part in", function()
    local first = assert(read())
    assert.matches("^" .. ("%x"):rep(12) .. "$", first.code_revision)
    write("policies/authorization.lua", "return 3")
    write("policies/another.lua", "return 4")
    local second = assert(read())
    assert.not_equal(first.revision, second.revision)
    assert.equal(first.code_revision, second.code_revision)
    write("scripts/app.lua", "return 3")
    assert.not_equal(first.code_revision, assert(read()).code_revision)
  end)

  it("reads a ConfigMap's mount through its link", function()
    local one = directory "scripts/..2026_01"
    local two = directory "scripts/..2026_02"
    os.remove(root .. "/scripts/app.lua")
    os.remove(root .. "/scripts/scale-up.lua")
    for path, text in pairs { [one] = "return 'one'", [two] = "return 'two'" } do
      local file = assert(io.open(path .. "/app.lua", "w"))
      file:write(text)
      file:close()
    end
    assert(lfs.link("..2026_01", root .. "/scripts/..data", true))
    assert(lfs.link("..data/app.lua", root .. "/scripts/app.lua", true))
    assert.equal("return 'one'", assert(read()).files[2].source)
    assert(lfs.link("..2026_02", root .. "/scripts/..data_tmp", true))
    assert(os.rename(root .. "/scripts/..data_tmp", root .. "/scripts/..data"))
    os.execute(("rm -rf '%s'"):format(one))
    assert.equal("return 'two'", assert(read()).files[2].source)
  end)

  it("is none without a directory, a module or the right to read it", function()
    os.remove(root .. "/policies/authorization.lua")
    local got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/policies: holds no .lua file", message)

    os.remove(root .. "/policies")
    got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/policies: No such file or directory", message)
  end)

  it("is never a mixture, however often two ConfigMaps are swapped meanwhile", function()
    -- The writer swaps scripts first, then policies, both to the next number: so it was never the other way around.
    local writer = [[
package.path = "./spec/support/?.lua;" .. package.path
local disk, uv = require "disk", require "luv"
local root, swaps = arg[1], tonumber(arg[2])
local function version(n)
  return { ["a.lua"] = "return " .. n, ["b.lua"] = "return " .. n, ["c.lua"] = ("-"):rep(20000) .. "\nreturn " .. n }
end
for n = 1, swaps do
  disk.mount(root .. "/scripts", version(n))
  disk.mount(root .. "/policies", version(n))
  if n == 1 then disk.write(root .. "/ready", "") end
  uv.sleep(4)
end
]]
    local swaps = build.sanitized and 100 or 500
    os.execute(("rm -rf '%s'/*"):format(root))
    directory "scripts"
    directory "policies"
    write("writer.lua", writer)
    local ended
    local process
    process = uv.spawn("lua5.4", { args = { root .. "/writer.lua", root, tostring(swaps) }, stdio = { nil, nil, 2 } },
      function(code)
        ended = code
        process:close()
      end)
    program.eventually(function() return lfs.attributes(root .. "/ready") end)
    local reads, seen, versions = 0, 0, {}
    repeat
      local got, message = read()
      if not got then error(message) end
      local numbers = {}
      for i, file in ipairs(got.files) do
        numbers[i] = tonumber(file.source:match "return (%d+)$")
      end
      local policies, scripts = numbers[1], numbers[4]
      assert.same({ policies, policies, policies, scripts, scripts, scripts }, numbers)
      assert.truthy(scripts == policies or scripts == policies + 1)
      assert.truthy(scripts + policies >= seen)
      seen, reads, versions[scripts + policies] = scripts + policies, reads + 1, true
      uv.run "nowait"
    until ended
    uv.run "nowait"
    assert.equal(0, ended)
    local count = 0
    for _ in pairs(versions) do
      count = count + 1
    end
    assert.truthy(count > swaps / 4, "too few different ones to tell")
  end)

  it("follows a link, and reads every file of no more than there may be", function()
    directory "elsewhere"
    write("elsewhere/linked.lua", "return 'linked'")
    assert(lfs.link(root .. "/elsewhere/linked.lua", root .. "/scripts/linked.lua", true))
    assert.equal("return 'linked'", assert(read()).files[3].source)
    assert(lfs.link("nowhere.lua", root .. "/scripts/hanging.lua", true))
    local got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/scripts/hanging.lua: No such file or directory", message)
    os.remove(root .. "/scripts/hanging.lua")

    for i = 1, 253 do
      write(("scripts/f%d.lua"):format(i), "")
    end
    assert.equal(257, #assert(read()).files)
    write("scripts/f254.lua", "")
    got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/scripts: holds more than 256 .lua files", message)
    for i = 1, 4 do
      write(("scripts/f%d.lua"):format(i), (" "):rep(1048576))
    end
    os.remove(root .. "/scripts/f254.lua")
    got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/scripts: the files are larger than 4194304 bytes together", message)
  end)

  it("is none when a module is no file or too large", function()
    directory "scripts/folder.lua"
    local got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/scripts/folder.lua: not a regular file", message)
    os.remove(root .. "/scripts/folder.lua")

    write("scripts/app.lua", (" "):rep(1024 * 1024))
    assert(read())
    write("scripts/app.lua", (" "):rep(1024 * 1024 + 1))
    got, message = read()
    assert.is_nil(got)
    assert.equal(root .. "/scripts/app.lua: larger than 1048576 bytes", message)
  end)
end)
