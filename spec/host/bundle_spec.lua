local lfs = require "lfs"
local bundle = require "native.bundle"

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

  it("is none when a module is no file, hangs in the air or is too large", function()
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
