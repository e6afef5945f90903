local directory_watch = require "native.directory_watch"
local disk = require "disk"
local uv = require "luv"

describe("host/directory_watch", function()
  local root, rules, watch

  local function changed()
    return watch:wait(1000) == "changed"
  end

  local function quiet()
    return watch:wait(40) == "quiet"
  end

  before_each(function()
    root = disk.directory()
    rules = disk.mkdir(disk.mkdir(root .. "/way") .. "/rules")
    disk.write(rules .. "/a.lua", "1")
    watch = directory_watch.open(rules)
    assert(quiet())
  end)

  after_each(function()
    watch:close()
    disk.remove_all(root)
  end)

  it("sees what an editor does, in whatever way it saves", function()
    disk.write(rules .. "/a.lua", "2")
    assert(changed())
    disk.replace(rules .. "/a.lua", "3")
    assert(changed())
    disk.write(rules .. "/b.lua", "")
    assert(changed())
    disk.unlink(rules .. "/b.lua")
    assert(changed())
    assert(quiet())
  end)

  it("is not woken by what is no rule", function()
    disk.write(rules .. "/.a.lua.swp", "1")
    disk.write(rules .. "/README.md", "1")
    disk.write(root .. "/way/else.lua", "1")
    disk.write(root .. "/else.lua", "1")
    assert(quiet())
  end)

  it("sees a ConfigMap's swap", function()
    disk.unlink(rules .. "/a.lua")
    disk.mount(rules, { ["a.lua"] = "1" })
    assert(changed())
    for i = 1, 5 do
      disk.mount(rules, { ["a.lua"] = tostring(i) })
      assert(changed())
      assert(quiet())
    end
  end)

  it("follows a directory that is replaced, or vanishes and comes back", function()
    for _ = 1, 3 do
      disk.rename(rules, root .. "/old")
      disk.fill(rules, { ["a.lua"] = "2" })
      assert(changed())
      disk.write(rules .. "/a.lua", "3")
      assert(changed())
      disk.write(root .. "/old/a.lua", "4")
      assert(quiet(), "the old one is of no interest")
      disk.rmdir(root .. "/old")
      disk.rmdir(rules)
      assert(changed())
      disk.fill(rules, { ["a.lua"] = "4" })
      assert(changed())
      disk.write(rules .. "/a.lua", "5")
      assert(changed())
    end
  end)

  it("follows a way that vanishes and comes back", function()
    disk.rename(root .. "/way", root .. "/elsewhere")
    assert(changed())
    disk.fill(disk.mkdir(root .. "/way") .. "/rules", { ["a.lua"] = "2" })
    assert(changed())
    disk.write(rules .. "/a.lua", "3")
    assert(changed())
  end)

  it("follows a link on the way that is swapped", function()
    disk.fill(disk.mkdir(root .. "/one") .. "/rules", { ["a.lua"] = "1" })
    disk.fill(disk.mkdir(root .. "/two") .. "/rules", { ["a.lua"] = "2" })
    disk.link("one", root .. "/current")
    watch = directory_watch.open(root .. "/current//rules/")
    assert(quiet())
    disk.link("two", root .. "/next")
    disk.rename(root .. "/next", root .. "/current")
    assert(changed())
    disk.write(root .. "/two/rules/a.lua", "3")
    assert(changed())
    disk.write(root .. "/one/rules/a.lua", "3")
    assert(quiet())
  end)

  it("begins before the directory is there", function()
    watch = directory_watch.open(root .. "/later/rules", rules)
    assert(quiet())
    disk.mkdir(root .. "/later")
    assert(changed())
    disk.fill(root .. "/later/rules", { ["a.lua"] = "1" })
    assert(changed())
    disk.write(rules .. "/a.lua", "2")
    assert(changed())
  end)

  it("takes a queue that ran over for a change", function()
    local limit = tonumber(disk.read "/proc/sys/fs/inotify/max_queued_events")
    if limit > 20000 then return pending("the kernel's queue is too long to fill") end
    disk.write(rules .. "/x.md", "")
    disk.write(rules .. "/y.md", "")
    for _ = 1, limit // 2 do -- two names in turn: the kernel joins equal events
      uv.fs_utime(rules .. "/x.md", 1, 1)
      uv.fs_utime(rules .. "/y.md", 1, 1)
    end
    disk.write(rules .. "/a.lua", "2")
    assert(changed())
    assert(quiet())
  end)

  it("ends at once", function()
    watch:finish()
    assert.equal("ended", watch:wait(10000))
  end)
end)
