local disk = require "disk"
local last_good = require "native.last_good"
local uv = require "luv"

describe("host/last_good", function()
  local root, state

  local function save(text)
    disk.write(root .. "/scripts/app.lua", text)
    return last_good.save(state, root .. "/scripts", root .. "/policies")
  end

  local function entries()
    local names, list = {}, uv.fs_scandir(state)
    for name in function() return uv.fs_scandir_next(list) end do
      names[#names + 1] = name
    end
    table.sort(names)
    return names
  end

  local function refuses(pattern)
    local revision, message = last_good.read(state)
    assert.is_nil(revision)
    assert.matches(pattern, message)
  end

  before_each(function()
    root = disk.directory()
    state = disk.mkdir(root .. "/state")
    disk.fill(root .. "/scripts", { ["app.lua"] = "1", ["list.lua"] = "2" })
    disk.fill(root .. "/policies", { ["scaling.lua"] = "3" })
  end)

  after_each(function()
    disk.remove_all(root)
  end)

  it("gives back what was kept last, and keeps no more", function()
    refuses "keeps no bundle$"
    local first = assert(save "first")
    assert.equal(first, last_good.read(state))
    local second = assert(save "second")
    assert.not_equal(first, second)
    assert.equal(second, last_good.read(state))
    assert.same({ second, "current" }, entries())
    assert.equal(second, save "second")
    assert.equal(first, save "first")
    assert.equal(first, last_good.read(state))
  end)

  it("takes nothing for good that is not byte for byte what was kept", function()
    local revision = assert(save "first")
    local kept = state .. "/" .. revision .. "/scripts/"
    disk.write(kept .. "app.lua", "furst")
    refuses "was changed$"
    assert.equal(revision, save "first", "and mends it")
    assert.equal(revision, last_good.read(state))
    disk.write(kept .. "more.lua", "")
    refuses "was changed$"
    assert(save "first")
    disk.unlink(kept .. "list.lua")
    refuses "was changed$"
    assert(save "first")
    disk.rmdir(state .. "/" .. revision .. "/policies")
    refuses "No such file"
    assert.equal(revision, save "first")
    assert.equal(revision, last_good.read(state))
  end)

  it("is not harmed by what else lies there", function()
    disk.write(state .. "/current", "no link")
    refuses "keeps no bundle$"
    local revision = assert(save "first")
    assert.equal(revision, last_good.read(state))
    for _, target in ipairs { "nowhere", "..", "/", "0123456789ab", "0123456789abc", "." } do
      disk.unlink(state .. "/current")
      disk.link(target, state .. "/current")
      refuses(target == "0123456789ab" and "No such file" or "keeps no bundle$")
    end
  end)

  it("says why it cannot keep", function()
    disk.rmdir(state)
    local revision, message = save "first"
    assert.is_nil(revision)
    assert.matches("cannot keep revision %x+: No such file or directory$", message)
    disk.write(state, "a file")
    revision, message = save "first"
    assert.is_nil(revision)
    assert.matches("Not a directory$", message)
  end)
end)
