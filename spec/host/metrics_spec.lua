local log = require "native.log"
local metrics = require "native.metrics"

local function lines(text)
  local result = {}
  for line in text:gmatch("[^\n]+") do
    result[#result + 1] = line
  end
  return result
end

describe("host/metrics", function()
  before_each(metrics.reset)
  after_each(metrics.reset)

  it("writes families by name and series by label, with help and type", function()
    local requests = metrics.family("counter", "requests_total", "route,code", "Requests.")
    local states = metrics.family("gauge", "lua_states", "", "States.")
    metrics.add(requests, 1, "/b", "200")
    metrics.add(requests, 2, "/a", "200")
    metrics.add(requests, 1, "/b", "200")
    metrics.set(states, -2.5)
    assert.equal([[
# HELP lua_states States.
# TYPE lua_states gauge
lua_states -2.5
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/a",code="200"} 2
requests_total{route="/b",code="200"} 2
]], metrics.text())
  end)

  it("escapes help and labels", function()
    metrics.add(metrics.family("counter", "a_total", "x", 'back\\slash "quote"\nline'), 1, 'back\\slash "quote"')
    assert.equal([[
# HELP a_total back\\slash "quote"\nline
# TYPE a_total counter
a_total{x="back\\slash \"quote\""} 1
]], metrics.text())
  end)

  it("shows a family without labels from the start, one with labels once it is touched", function()
    metrics.family("counter", "plain_total", "", "Plain.")
    metrics.family("counter", "labelled_total", "x", "Labelled.")
    assert.equal("# HELP plain_total Plain.\n# TYPE plain_total counter\nplain_total 0\n", metrics.text())
  end)

  it("writes histograms with cumulative buckets", function()
    local histogram = metrics.family("histogram", "took_seconds", "x", "Took.")
    for _, seconds in ipairs { 0, 1 / 4096, 1 / 1024, 0.375, 10, 10.5 } do
      metrics.observe(histogram, seconds, "y")
    end
    assert.equal([[
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{x="y",le="0.0005"} 2
took_seconds_bucket{x="y",le="0.001"} 3
took_seconds_bucket{x="y",le="0.0025"} 3
took_seconds_bucket{x="y",le="0.005"} 3
took_seconds_bucket{x="y",le="0.01"} 3
took_seconds_bucket{x="y",le="0.025"} 3
took_seconds_bucket{x="y",le="0.05"} 3
took_seconds_bucket{x="y",le="0.1"} 3
took_seconds_bucket{x="y",le="0.25"} 3
took_seconds_bucket{x="y",le="0.5"} 4
took_seconds_bucket{x="y",le="1"} 4
took_seconds_bucket{x="y",le="2.5"} 4
took_seconds_bucket{x="y",le="5"} 4
took_seconds_bucket{x="y",le="10"} 5
took_seconds_bucket{x="y",le="+Inf"} 6
took_seconds_sum{x="y"} 20.876220703125
took_seconds_count{x="y"} 6
]], metrics.text())
    metrics.reset()
    metrics.family("histogram", "plain_seconds", "")
    assert.matches('\nplain_seconds_bucket{le="0.0005"} 0\n.*\nplain_seconds_sum 0\nplain_seconds_count 0\n$',
      metrics.text())
  end)

  it("writes numbers so that they read back", function()
    local gauge = metrics.family("gauge", "g", "")
    for number, text in pairs {
      [0.1] = "0.1", [1 / 3] = "0.3333333333333333", [123456789012] = "123456789012", [1e300] = "1e+300",
      [math.huge] = "+Inf", [-math.huge] = "-Inf", [1700000000.123] = "1700000000.123",
    } do
      metrics.set(gauge, number)
      assert.equal("g " .. text, lines(metrics.text())[3])
    end
    metrics.set(gauge, 0 / 0)
    assert.equal("g NaN", lines(metrics.text())[3])
  end)

  it("ignores what would make a counter or a histogram nonsense", function()
    local counter = metrics.family("counter", "c_total", "")
    local histogram = metrics.family("histogram", "h_seconds", "")
    metrics.add(counter, 1)
    metrics.add(counter, -1)
    metrics.add(counter, 0 / 0)
    metrics.observe(histogram, 0 / 0)
    metrics.observe(counter, 5)
    local text = metrics.text()
    assert.matches("\nc_total 1\n", text)
    assert.matches("\nh_seconds_sum 0\nh_seconds_count 0\n", text)
  end)

  it("gives the same family again, and none on a contradiction", function()
    local family = metrics.family("counter", "a_total", "x,y")
    assert.equal(family, metrics.family("counter", "a_total", "x,y", "Other help."))
    assert.equal(family, metrics.find("a_total"))
    assert.is_nil(metrics.find("b_total"))
    assert.is_nil(metrics.family("gauge", "a_total", "x,y"))
    for _, labels in ipairs { "", "x", "y,x", "x,y,z" } do
      assert.is_nil(metrics.family("counter", "a_total", labels))
    end
  end)

  it("refuses bad names", function()
    for _, name in ipairs { "", "1a", "a-b", "a b", "a\n", "détection" } do
      assert.is_nil(metrics.family("counter", name), name)
    end
    for _, labels in ipairs { ",", "a,", ",a", "a,,b", "1a", "a b", "a:b", "__a", "le", "a,a", "a,b,c,d,e,f,g" } do
      assert.is_nil(metrics.family("counter", "a_total", labels), labels)
    end
    assert(metrics.family("counter", "a:b_1", "a,b,c,d,e,f_1"))
  end)

  it("tells values apart wherever they begin and end", function()
    local family = metrics.family("counter", "a_total", "x,y")
    metrics.add(family, 1, "ab", "c")
    metrics.add(family, 2, "a", "bc")
    metrics.add(family, 4, "", "abc")
    metrics.add(family, 8, "abc", "")
    assert.same({ 'a_total{x="",y="abc"} 4', 'a_total{x="a",y="bc"} 2', 'a_total{x="ab",y="c"} 1',
      'a_total{x="abc",y=""} 8' }, { table.unpack(lines(metrics.text()), 3) })
  end)

  it("counts under other what is too much, too long or not plain", function()
    local family = metrics.family("counter", "a_total", "x,y")
    for i = 1, 600 do
      metrics.add(family, 1, tostring(i), "y")
    end
    metrics.add(family, 1, "1", "y")
    local text = metrics.text()
    assert.equal(512 + 1 + 2, #lines(text))
    assert.matches('\na_total{x="1",y="y"} 2\n', text)
    assert.matches('\na_total{x="512",y="y"} 1\n', text)
    assert.matches('\na_total{x="other",y="other"} 88\n', text)

    local odd = metrics.family("counter", "odd_total", "x")
    for _, value in ipairs { ("v"):rep(128), ("v"):rep(129), "\xff", "line\nfeed", "détection" } do
      metrics.add(odd, 1, value)
    end
    assert.matches('\nodd_total{x="other"} 4\nodd_total{x="' .. ("v"):rep(128) .. '"} 1\n$', metrics.text())
  end)

  it("asks for figures while the text is made", function()
    local family = metrics.family("counter", "collections_total", "x")
    assert(metrics.on_collect(family))
    assert.matches('collections_total{x="collected"} 1\n', metrics.text())
    assert.matches('collections_total{x="collected"} 2\n', metrics.text())
    for _ = 2, 32 do
      assert(metrics.on_collect(family))
    end
    assert.is_false(metrics.on_collect(family))
  end)

  it("loses no update of several threads", function()
    local counter = metrics.family("counter", "requests_total", "route,method,code")
    local histogram = metrics.family("histogram", "took_seconds", "route")
    metrics.work(counter, histogram, 4, 10000)
    local text = metrics.text()
    for _, code in ipairs { "200", "403", "404", "500" } do
      assert.matches(('requests_total{route="/raycluster/{name}",method="GET",code="%s"} 10000\n'):format(code), text)
    end
    assert.matches('took_seconds_sum{route="/raycluster/{name}"} 10000\n', text)
    assert.matches('took_seconds_count{route="/raycluster/{name}"} 40000\n', text)
  end)
end)

describe("host/process_metrics", function()
  after_each(metrics.reset)

  it("tells of the process", function()
    metrics.reset()
    assert(metrics.process_start())
    local text = metrics.text()
    local function value(name)
      return tonumber(text:match("\n" .. name .. " (%S+)\n"))
    end
    assert.is_true(math.abs(value("process_start_time_seconds") - os.time()) < 5)
    assert.is_true(value("process_cpu_seconds_total") > 0)
    assert.is_true(value("process_resident_memory_bytes") > 1e6)
    local fds = value("process_open_fds")
    assert.is_true(fds >= 3)
    assert.equal(log.dropped(), value("rayclusterscaler_log_lines_lost_total"))
    assert.matches('\nrayclusterscaler_build_info{version="%d+%.%d+%.%d+"} 1\n', text)
    local file = assert(io.open("README.md"))
    text = metrics.text()
    assert.equal(fds + 1, value("process_open_fds"))
    file:close()
  end)
end)
