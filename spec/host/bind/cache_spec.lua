local native = require "native.bind_cache"

describe("host/bind/cache", function()
  local cache, json

  before_each(function()
    local modules = native.open()
    cache, json = modules.cache, modules.json
  end)
  after_each(function()
    collectgarbage() -- a flight that a failed spec left lands before its cache goes
    native.close()
  end)

  it("loads once and then remembers", function()
    local loads = 0
    local function load()
      loads = loads + 1
      return { id = "u1", admin = true, roles = { "a", "b" } }
    end
    assert.same({ id = "u1", admin = true, roles = { "a", "b" } }, cache.fetch("identity", "token", 60000, load))
    assert.same({ id = "u1", admin = true, roles = { "a", "b" } }, cache.fetch("identity", "token", 60000, load))
    assert.equal(1, loads)
    cache.fetch("tiers", "token", 60000, load)
    assert.equal(2, loads)
  end)

  it("keeps a value for its bundle, or beyond edits of its rules", function()
    local function fetch(value, options)
      return cache.fetch("s", "k", 60000, function() return value end, options)
    end
    native.revision("a1", "a")
    assert.equal(1, fetch(1))
    assert.equal(2, fetch(2, { beyond_rules = true }), "the two are kept apart")
    assert.equal(1, fetch(3, { beyond_rules = false }))
    native.revision("a2", "a")
    assert.equal(4, fetch(4))
    assert.equal(2, fetch(5, { beyond_rules = true }))
    native.revision("b1", "b")
    assert.equal(6, fetch(6, { beyond_rules = true }))
    native.revision("a", "b1") -- what is one's revision is no other's code
    assert.equal(7, fetch(7))
    cache.drop("s", "k")
    assert.equal(8, fetch(8, { beyond_rules = true }))
    assert.has_error(function() fetch(9, true) end)
    native.revision("", "")
  end)

  it("brings every kind of value back", function()
    local value = {
      1, -1, math.maxinteger, math.mininteger, 2.5, -0.0, 2.0 ^ 60, math.huge, "", "a\0b", ("x"):rep(1000), true, false,
      json.null, { {}, { { a = { 1 } } } }, [100] = "far", [-1] = "negative", [1.5] = "half", [true] = "yes",
      name = "é",
    }
    cache.fetch("s", "k", 60000, function() return value end)
    local copy = cache.fetch("s", "k", 60000, error)
    assert.same(value, copy)
    assert.equal("float", math.type(copy[7]))
    assert.equal("integer", math.type(copy[3]))
    assert.is_false(rawequal(value, copy))
    for _, scalar in ipairs { 5, "text", true, false, 0.5 } do
      cache.drop("s", "k")
      cache.fetch("s", "k", 60000, function() return scalar end)
      assert.equal(scalar, cache.fetch("s", "k", 60000, error))
    end
  end)

  it("keeps the mark of json.array", function()
    local function load() return { empty = json.array {}, object = {} } end
    cache.fetch("s", "k", 60000, load)
    local copy = cache.fetch("s", "k", 60000, load)
    assert.equal("[]", json.encode(copy.empty))
    assert.equal("{}", json.encode(copy.object))
  end)

  it("keeps no failure and nothing for a time to live of 0", function()
    local loads = 0
    local function fail()
      loads = loads + 1
      return nil, { code = "unavailable", status = 502 }
    end
    for _ = 1, 2 do
      local value, failure = cache.fetch("s", "k", 60000, fail)
      assert.is_nil(value)
      assert.same({ code = "unavailable", status = 502 }, failure)
    end
    assert.equal(2, loads)
    for i = 1, 2 do
      assert.equal(i, cache.fetch("s", "k0", 0, function() return i end))
    end
  end)

  it("lets an error through, and the next fetch loads again", function()
    assert.error_matches(function()
      cache.fetch("s", "k", 60000, function() error("broken") end)
    end, "broken")
    assert.equal(1, cache.fetch("s", "k", 60000, function() return 1 end))
  end)

  it("refuses what cannot be copied, and the next fetch loads again", function()
    local loop = {}
    loop.self = loop
    for _, value in ipairs { print, coroutine.create(print), io.stdout, { f = print }, { [print] = 1 }, loop,
      ("x"):rep(1024 * 1024 + 1) } do
      assert.error_matches(function() cache.fetch("s", "k", 60000, function() return value end) end, "cannot be kept")
    end
    assert.equal(1, cache.fetch("s", "k", 60000, function() return 1 end))
  end)

  it("fetches inside of a load", function()
    local value = cache.fetch("s", "outer", 60000, function()
      return { inner = cache.fetch("s", "inner", 60000, function() return 5 end) }
    end)
    assert.same({ inner = 5 }, value)
    assert.equal(5, cache.fetch("s", "inner", 60000, error))
    assert.same({ inner = 5 }, cache.fetch("s", "outer", 60000, error))
  end)

  it("refuses a load that fetches its own key", function()
    assert.error_matches(function()
      cache.fetch("s", "k", 60000, function()
        return cache.fetch("s", "k", 60000, function() return 1 end)
      end)
    end, "fetches the key that it loads")
    assert.equal(1, cache.fetch("s", "k", 60000, function() return 1 end))
  end)

  it("checks its arguments", function()
    local function load() return 1 end
    assert.has_error(function() cache.fetch("s", "k", -1, load) end)
    assert.has_error(function() cache.fetch("s", "k", 1) end)
    assert.has_error(function() cache.fetch("s", nil, 1, load) end)
    assert.has_error(function() cache.drop("s") end)
  end)

  it("is closed while a bundle loads", function()
    native.loading(true)
    assert.error_matches(function() cache.fetch("s", "k", 1, function() return 1 end) end, "while a bundle loads")
    native.loading(false)
  end)

  describe("between states", function()
    --- Another request's load is under way when act runs; gives that request's result or error.
    local function while_other_loads(body, act)
      return native.while_other(([[
        local value, failure = cache.fetch("s", "k", 60000, function()
          pause(100)
          %s
        end)
        return value or failure.code]]):format(body), function()
        while native.statistics() == 0 do
          native.pause(1)
        end
        act()
      end)
    end

    it("shares one load", function()
      assert.equal("theirs", while_other_loads([[return "theirs"]], function()
        assert.equal("theirs", cache.fetch("s", "k", 60000, error))
        assert.equal("theirs", cache.fetch("s", "k", 60000, error))
      end))
      assert.equal(1, (native.statistics()))
    end)

    it("hands a failure to those who wait", function()
      assert.equal("down", while_other_loads([[return nil, { code = "down" }]], function()
        assert.same({ nil, { code = "down" } }, { cache.fetch("s", "k", 60000, error) })
      end))
    end)

    it("gives up at the request's deadline", function()
      assert.equal("late", while_other_loads([[return "late"]], function()
        native.deadline(5)
        local value, failure = cache.fetch("s", "k", 60000, error)
        assert.is_nil(value)
        assert.equal("timeout", failure.code)
        assert.is_string(failure.message)
      end))
    end)

    it("lets one of those who wait lead when a leader's script dies", function()
      assert.matches("died", while_other_loads([[error("died")]], function()
        assert.equal("ours", cache.fetch("s", "k", 60000, function() return "ours" end))
      end))
    end)
  end)
end)
