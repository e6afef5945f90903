local bind = require "native.bind"
local processes = require "processes"

describe("host/bind/metrics", function()
  local metrics = bind.open("metrics")

  after_each(function() bind.serve(nil) end)

  local function assert_raises(pattern, f, ...)
    local ok, message = pcall(f, ...)
    assert.is_false(ok)
    assert.matches(pattern, message)
  end

  it("counts", function()
    local counter = metrics.counter("scales_total", "Scalings.", { "result", "kind" })
    local plain = metrics.counter("bind_plain_total", "Plain.")
    bind.serve("id")
    counter:add(1, "ok", "ray")
    counter:add(2, "ok", "ray")
    counter:add(1, "refused", 422)
    plain:add(0.5)
    local text = bind.metrics_text()
    assert.matches('# TYPE scales_total counter\nscales_total{result="ok",kind="ray"} 3\n' ..
      'scales_total{result="refused",kind="422"} 1\n', text)
    assert.matches("# HELP bind_plain_total Plain.\n# TYPE bind_plain_total counter\nbind_plain_total 0.5\n", text)
  end)

  it("observes", function()
    local histogram = metrics.histogram("identity_seconds", "Time.", { "target" })
    histogram:observe(0.25, "domino")
    local text = bind.metrics_text()
    assert.matches('identity_seconds_bucket{target="domino",le="0.1"} 0\n', text)
    assert.matches('identity_seconds_bucket{target="domino",le="0.25"} 1\n', text)
    assert.matches('identity_seconds_sum{target="domino"} 0.25\n', text)
  end)

  it("gives the same metric to a reload", function()
    metrics.counter("again_total", "Help.", { "x" }):add(1, "a")
    metrics.counter("again_total", "Better help.", { "x" }):add(1, "a")
    assert.matches('again_total{x="a"} 2\n', bind.metrics_text())
    assert_raises("metric 'again_total': this metric exists with another type or other labels",
      metrics.counter, "again_total", "Help.", { "y" })
    assert(bind.declare_counter("bind_host_total"))
    assert_raises("another type", metrics.counter, "bind_host_total", "Help.")
  end)

  it("raises on a caller's mistake", function()
    for _, name in ipairs { "", "_total", "a", "A_total", "1a_total", "a-b_total", "a_seconds", ("a"):rep(200) } do
      assert_raises("ends in '_total'", metrics.counter, name, "Help.")
    end
    assert_raises("ends in '_seconds'", metrics.histogram, "a_total", "Help.")
    assert_raises("help", metrics.counter, "a_total", "")
    assert_raises("help", metrics.counter, "a_total", ("h"):rep(257))
    assert_raises("string expected", metrics.counter, "a_total")
    assert_raises("at most 6", metrics.counter, "a_total", "Help.", { "a", "b", "c", "d", "e", "f", "g" })
    for _, labels in ipairs { { 1 }, { "A" }, { "" }, { "a,b" }, { "__a" } } do
      assert_raises("labels are strings", metrics.counter, "a_total", "Help.", labels)
    end
    for _, labels in ipairs { { "le" }, { "a", "a" } } do
      assert_raises("no distinct Prometheus names", metrics.counter, "a_total", "Help.", labels)
    end

    local counter = metrics.counter("mistakes_total", "Help.", { "x" })
    local histogram = metrics.histogram("mistakes_seconds", "Help.")
    assert_raises("1 label values expected, got 0", counter.add, counter, 1)
    assert_raises("1 label values expected, got 0", counter.add, counter)
    assert_raises("1 label values expected, got 2", counter.add, counter, 1, "a", "b")
    assert_raises("string expected", counter.add, counter, 1, {})
    assert_raises("number expected", counter.add, counter, {}, "a")
    assert_raises("only grows", counter.add, counter, -1, "a")
    assert_raises("only grows", counter.add, counter, 0 / 0, "a")
    assert_raises("not negative", histogram.observe, histogram, -1)
    assert_raises("metrics.counter expected", counter.add, histogram, 1)
    assert.is_false(getmetatable(counter))
    assert_raises(".", function() counter.add = print end)
  end)

  it("declares nothing while it serves", function()
    bind.serve("id")
    assert_raises("while the bundle loads", metrics.counter, "late_total", "Help.")
    assert_raises("while the bundle loads", metrics.histogram, "late_seconds", "Help.")
  end)

  it("makes no more than 64 metrics in the life of the process", function()
    -- A process of its own, because the limit would hold for the other specs of this one too.
    local said, code = processes.run({ "lua5.4", "-e", ("package.cpath = %q"):format(package.cpath), "-e", [[
      local metrics = require("native.bind").open("metrics")
      for i = 1, 64 do metrics.counter("many_" .. i .. "_total", "Help.") end
      print(pcall(metrics.counter, "many_65_total", "Help."))
      metrics.counter("many_1_total", "Help."):add(1)
    ]] }, { native = true })
    assert.equal(0, code, said)
    assert.matches("^false%smetric 'many_65_total': scripts have made 64 metrics since the start", said)
  end)
end)
