local native = require "native.cache"

local function pause(seconds)
  local socket = require "socket"
  socket.sleep(seconds)
end

describe("host/cache", function()
  local cache

  before_each(function()
    cache = native.new(100, 10000)
  end)

  local function load(key, value, ttl_ms, max_age_ms)
    local outcome, flight = cache:begin("s", key, max_age_ms or 60000)
    assert.equal("lead", outcome)
    cache:land(flight, true, value, ttl_ms or 60000)
  end

  it("leads once, then hits", function()
    load("a", "one")
    assert.same({ "hit", "one" }, { cache:begin("s", "a", 60000) })
    assert.same({ "hit", "one" }, { cache:begin("s", "a", 60000) })
    local statistics = cache:statistics()
    assert.same({ 2, 1, 1, 3 }, { statistics.hits, statistics.loads, statistics.entries, statistics.bytes })
  end)

  it("keeps scopes and keys apart", function()
    load("a", "one")
    for _, pair in ipairs { { "s", "b" }, { "t", "a" }, { "sa", "" }, { "", "sa" } } do
      local outcome, flight = cache:begin(pair[1], pair[2], 60000)
      assert.equal("lead", outcome)
      cache:land(flight, false, nil)
    end
  end)

  it("forgets after the time to live, and what is older than a caller takes", function()
    load("a", "one", 400) -- so long that a slow build looks twice before
    pause(0.015)
    local outcome, flight = cache:begin("s", "a", 5)
    assert.equal("lead", outcome, "too old for this caller")
    cache:land(flight, false, "no", 0)
    assert.equal("hit", (cache:begin("s", "a", 60000)), "still good for that one")
    pause(0.4)
    outcome, flight = cache:begin("s", "a", 60000)
    assert.equal("lead", outcome)
    cache:land(flight, false, nil)
    assert.equal(0, cache:statistics().entries)
  end)

  it("stores nothing for a time to live of 0, for a failure, for a leader that died", function()
    load("a", "one", 0)
    local outcome, flight = cache:begin("s", "a", 60000)
    assert.equal("lead", outcome)
    cache:land(flight, false, "failure", 60000)
    outcome, flight = cache:begin("s", "a", 60000)
    assert.equal("lead", outcome)
    cache:land(flight, true, nil, 60000)
    outcome, flight = cache:begin("s", "a", 60000)
    assert.equal("lead", outcome)
    cache:land(flight, false, nil)
  end)

  it("never hits with a maximal age of 0", function()
    load("a", "one")
    local outcome, flight = cache:begin("s", "a", 0)
    assert.equal("lead", outcome)
    cache:land(flight, true, "two", 60000)
    assert.same({ "hit", "two" }, { cache:begin("s", "a", 60000) })
  end)

  it("tells a thread that would wait for itself", function()
    local _, flight = cache:begin("s", "a", 60000)
    assert.equal("nested", (cache:begin("s", "a", 60000, 1000)))
    cache:land(flight, false, nil)
  end)

  it("drops a key, and a load under way is not stored", function()
    load("a", "one")
    cache:drop("s", "a")
    local _, old = cache:begin("s", "a", 60000)
    cache:drop("s", "a")
    local outcome, new = cache:begin("s", "a", 60000)
    assert.equal("lead", outcome, "nobody joins what began before the drop")
    cache:land(new, true, "new", 60000)
    cache:land(old, true, "old", 60000)
    assert.same({ "hit", "new" }, { cache:begin("s", "a", 60000) })
    cache:drop("s", "unknown")
  end)

  it("lets go of what is out of date as new entries come", function()
    for i = 1, 80 do load("old" .. i, "v", 1) end
    pause(0.02)
    for i = 1, 60 do load("new" .. i, "v") end
    assert.equal(60, cache:statistics().entries)
    assert.equal(0, cache:statistics().evictions)
  end)

  it("holds no more entries and bytes than it may; the least recently used go first", function()
    for i = 1, 100 do
      load("k" .. i, "v")
    end
    assert.equal("hit", (cache:begin("s", "k1", 60000)))
    load("k101", "v")
    assert.equal("hit", (cache:begin("s", "k1", 60000)))
    local outcome, flight = cache:begin("s", "k2", 60000)
    assert.equal("lead", outcome)
    cache:land(flight, false, nil)
    assert.equal(100, cache:statistics().entries)

    load("big", ("x"):rep(9000))
    load("big2", ("x"):rep(9500))
    assert.equal("hit", (cache:begin("s", "big2", 60000)))
    assert.is_true(cache:statistics().bytes <= 10000)
    load("huge", ("x"):rep(10001))
    assert.equal("hit", (cache:begin("s", "big2", 60000)), "what fits nowhere displaces nothing")
  end)

  it("loads once for a crowd", function()
    local counts = cache:crowd(100, 0, 0)
    assert.equal(1, counts.loads)
    assert.equal(99, counts.hit)
  end)

  it("hands a failure to those who wait, and the next one leads", function()
    local counts = cache:crowd(50, 0, 1)
    assert.is_true(counts.failed > 0)
    assert.equal(50, counts.failed + counts.hit + counts.lead)
  end)

  it("lets one of those who wait lead when the leader died", function()
    local counts = cache:crowd(50, 3, 0)
    assert.equal(4, counts.loads)
    assert.equal(46, counts.hit)
  end)

  it("gives up at the deadline", function()
    local _, flight = cache:begin("s", "key", 60000)
    assert.equal(3, cache:crowd(3, 0, 0, 30).timeout)
    cache:land(flight, true, "late", 60000)
    assert.equal(3, cache:crowd(3, 0, 0, 30).hit)
  end)

  it("never gives a value that is not the key's, whatever the threads do", function()
    assert.equal(0, native.new(20, 300):storm(4, 5000))
  end)
end)
