local log = require "native.log"
local metrics = require "native.metrics"
local processes = require "processes"

--- The part of the text that tells of some families. They live as long as the process, so each spec has its own.
local function text_of(...)
  local parts, wanted = {}, {}
  for _, name in ipairs { ... } do
    wanted[name] = true
  end
  for part, name in metrics.text():gmatch("(# HELP (%S+) [^#]*# TYPE [^#]*)") do
    if wanted[name] then parts[#parts + 1] = part end
  end
  return table.concat(parts)
end

local function lines(text)
  local result = {}
  for line in text:gmatch("[^\n]+") do
    result[#result + 1] = line
  end
  return result
end

describe("host/metrics", function()
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
]], text_of("lua_states", "requests_total"))
  end)

  it("escapes help and labels", function()
    metrics.add(metrics.family("counter", "escaped_total", "x", 'back\\slash "quote"\nline'), 1, 'back\\slash "quote"')
    assert.equal([[
# HELP escaped_total back\\slash "quote"\nline
# TYPE escaped_total counter
escaped_total{x="back\\slash \"quote\""} 1
]], text_of("escaped_total"))
  end)

  it("shows a family without labels from the start, one with labels once it is touched", function()
    metrics.family("counter", "plain_total", "", "Plain.")
    metrics.family("counter", "labelled_total", "x", "Labelled.")
    assert.equal("# HELP plain_total Plain.\n# TYPE plain_total counter\nplain_total 0\n",
      text_of("plain_total", "labelled_total"))
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
]], text_of("took_seconds"))
    metrics.family("histogram", "plain_seconds", "")
    assert.matches('\nplain_seconds_bucket{le="0.0005"} 0\n.*\nplain_seconds_sum 0\nplain_seconds_count 0\n$',
      text_of("plain_seconds"))
  end)

  it("writes numbers so that they read back", function()
    local gauge = metrics.family("gauge", "number", "")
    for number, text in pairs {
      [0.1] = "0.1", [1 / 3] = "0.3333333333333333", [123456789012] = "123456789012", [1e300] = "1e+300",
      [math.huge] = "+Inf", [-math.huge] = "-Inf", [1700000000.123] = "1700000000.123",
    } do
      metrics.set(gauge, number)
      assert.equal("number " .. text, lines(text_of("number"))[3])
    end
    metrics.set(gauge, 0 / 0)
    assert.equal("number NaN", lines(text_of("number"))[3])
  end)

  it("ignores what would make a counter or a histogram nonsense", function()
    local counter = metrics.family("counter", "c_total", "")
    local histogram = metrics.family("histogram", "h_seconds", "")
    metrics.add(counter, 1)
    metrics.add(counter, -1)
    metrics.add(counter, 0 / 0)
    metrics.observe(histogram, 0 / 0)
    metrics.observe(counter, 5)
    local text = text_of("c_total", "h_seconds")
    assert.matches("\nc_total 1\n", text)
    assert.matches("\nh_seconds_sum 0\nh_seconds_count 0\n", text)
  end)

  it("gives the same family again, and none on a contradiction", function()
    local family = metrics.family("counter", "same_total", "x,y")
    assert.equal(family, metrics.family("counter", "same_total", "x,y", "Other help."))
    assert.equal(family, metrics.find("same_total"))
    assert.is_nil(metrics.find("unknown_total"))
    assert.is_nil(metrics.family("gauge", "same_total", "x,y"))
    for _, labels in ipairs { "", "x", "y,x", "x,y,z" } do
      assert.is_nil(metrics.family("counter", "same_total", labels))
    end
  end)

  it("refuses bad names", function()
    for _, name in ipairs { "", "1a", "a-b", "a b", "a\n", "détection" } do
      assert.is_nil(metrics.family("counter", name), name)
    end
    for _, labels in ipairs { ",", "a,", ",a", "a,,b", "1a", "a b", "a:b", "__a", "le", "a,a", "a,b,c,d,e,f,g" } do
      assert.is_nil(metrics.family("counter", "bad_total", labels), labels)
    end
    assert(metrics.family("counter", "a:b_1", "a,b,c,d,e,f_1"))
  end)

  it("tells values apart wherever they begin and end", function()
    local family = metrics.family("counter", "apart_total", "x,y")
    metrics.add(family, 1, "ab", "c")
    metrics.add(family, 2, "a", "bc")
    metrics.add(family, 4, "", "abc")
    metrics.add(family, 8, "abc", "")
    assert.same({ 'apart_total{x="",y="abc"} 4', 'apart_total{x="a",y="bc"} 2', 'apart_total{x="ab",y="c"} 1',
      'apart_total{x="abc",y=""} 8' }, { table.unpack(lines(text_of("apart_total")), 3) })
  end)

  it("counts under other what is too much, too long or not plain", function()
    local family = metrics.family("counter", "many_total", "x,y")
    for i = 1, 600 do
      metrics.add(family, 1, tostring(i), "y")
    end
    metrics.add(family, 1, "1", "y")
    local text = text_of("many_total")
    assert.equal(512 + 1 + 2, #lines(text))
    assert.matches('\nmany_total{x="1",y="y"} 2\n', text)
    assert.matches('\nmany_total{x="512",y="y"} 1\n', text)
    assert.matches('\nmany_total{x="other",y="other"} 88\n', text)

    local odd = metrics.family("counter", "odd_total", "x")
    for _, value in ipairs { ("v"):rep(128), ("v"):rep(129), "\xff", "line\nfeed", "détection" } do
      metrics.add(odd, 1, value)
    end
    assert.matches('\nodd_total{x="other"} 4\nodd_total{x="' .. ("v"):rep(128) .. '"} 1\n$', text_of("odd_total"))
  end)

  it("asks for figures while the text is made", function()
    local family = metrics.family("counter", "collections_total", "x")
    assert(metrics.on_collect(family))
    assert.matches('collections_total{x="collected"} 1\n', metrics.text())
    assert.matches('collections_total{x="collected"} 2\n', metrics.text())
  end)

  it("loses no update of several threads", function()
    local counter = metrics.family("counter", "worked_total", "route,method,code")
    local histogram = metrics.family("histogram", "worked_seconds", "route")
    metrics.work(counter, histogram, 4, 10000)
    local text = metrics.text()
    for _, code in ipairs { "200", "403", "404", "500" } do
      assert.matches(('worked_total{route="/raycluster/{name}",method="GET",code="%s"} 10000\n'):format(code), text)
    end
    assert.matches('worked_seconds_sum{route="/raycluster/{name}"} 10000\n', text)
    assert.matches('worked_seconds_count{route="/raycluster/{name}"} 40000\n', text)
  end)
end)

describe("host/metrics and host/process_metrics", function()
  setup(metrics.process_start)

  it("write what promtool accepts", function()
    metrics.work(metrics.family("counter", "rayclusterscaler_requests_total", "route,method,code"),
      metrics.family("histogram", "rayclusterscaler_request_duration_seconds", "route"), 1, 100)
    metrics.add(metrics.family("counter", "quoted_total", "x", 'back\\slash "quote"\nline'), 1, 'back\\slash "quote"')
    local said, code = processes.run({ "build/tools/promtool", "check", "metrics" }, { input = metrics.text() })
    assert.equal("", said)
    assert.equal(0, code)
  end)
  it("tell of the process", function()
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
