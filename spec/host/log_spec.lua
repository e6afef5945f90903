local cjson = require "cjson"
local log = require "native.log"

--- The lines of a text as tables; every line must be a JSON object and end with a newline.
local function parse(text)
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do
    lines[#lines + 1] = cjson.decode(line)
  end
  assert(text == "" or text:sub(-1) == "\n", "the last line is cut")
  return lines
end

--- Everything that is written while body runs, with the log at that level.
local function capture(level, body)
  local reader, writer = log.pipe()
  assert(log.start(level, writer))
  body()
  log.stop()
  log.close(writer)
  local text = {}
  repeat
    text[#text + 1] = log.read(reader)
  until text[#text] == ""
  log.close(reader)
  return parse(table.concat(text)), table.concat(text)
end

--- Waits until condition holds, a second at most.
local function eventually(condition)
  local socket = require "socket"
  for _ = 1, 200 do
    if condition() then return true end
    socket.sleep(0.005)
  end
  return false
end

describe("host/log", function()
  it("writes one JSON object a line", function()
    local lines, text = capture("debug", function()
      log.line("info", 'a "quoted"\nmessage')
      log.event("warn", "with fields", '"code":200,"route":"/x"')
      log.event("error", "without", "")
      log.raw('{"made":"elsewhere"}\n')
      log.line("debug", "\xff")
    end)
    assert.equal(5, #lines)
    assert.same({ time = lines[1].time, level = "info", message = 'a "quoted"\nmessage' }, lines[1])
    assert.same({ time = lines[2].time, level = "warning", message = "with fields", code = 200, route = "/x" },
      lines[2])
    assert.same({ time = lines[3].time, level = "error", message = "without" }, lines[3])
    assert.same({ made = "elsewhere" }, lines[4])
    assert.same({ time = lines[5].time, level = "debug", message = "\u{fffd}" }, lines[5])
    assert.matches('^{"time":"%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ","level":"info","message":', text)
    assert.equal(os.date("!%Y-%m-%dT%H"), lines[1].time:sub(1, 13))
  end)

  it("leaves out what is below the level", function()
    local names = { "debug", "info", "warn", "error" }
    for least, level in ipairs(names) do
      local lines = capture(level, function()
        for i, name in ipairs(names) do
          assert.equal(i >= least, log.enabled(name))
          log.line(name, name)
          log.event(name, name)
        end
      end)
      assert.equal(2 * (#names - least + 1), #lines)
    end
  end)

  it("writes what is for the audit at every level, as info", function()
    for _, level in ipairs { "debug", "info", "warn", "error" } do
      local lines = capture(level, function()
        assert.is_true(log.enabled("audit"))
        log.event("audit", "a change", '"to":5')
      end)
      assert.same({ { time = lines[1].time, level = "info", message = "a change", to = 5 } }, lines)
    end
  end)

  it("is silent before it starts and after it stops", function()
    for _, level in ipairs { "debug", "error", "audit" } do
      assert.is_false(log.enabled(level))
    end
    local dropped = log.dropped()
    log.line("error", "nobody hears")
    log.raw("nobody hears\n")
    log.stop()
    assert.equal(dropped, log.dropped())
  end)

  it("cuts a message that is too long", function()
    local lines = capture("info", function()
      log.line("info", ("x"):rep(4096))
      log.line("info", ("x"):rep(4097))
      log.event("info", ("x"):rep(10000))
      log.line("info", ("x"):rep(4095) .. "é")
    end)
    assert.equal(("x"):rep(4096), lines[1].message)
    assert.equal(("x"):rep(4096) .. "…", lines[2].message)
    assert.equal(("x"):rep(4096) .. "…", lines[3].message)
    assert.equal(("x"):rep(4095) .. "…", lines[4].message)
  end)

  it("writes a line soon, without being stopped", function()
    local reader, writer = log.pipe()
    assert(log.start("info", writer))
    for i = 1, 3 do
      log.line("info", "line " .. i)
      assert.equal("line " .. i, parse(log.read(reader))[1].message)
    end
    log.stop()
    log.close(writer)
    log.close(reader)
  end)

  for _, nonblocking in ipairs { false, true } do
    it("keeps lines whole and in order, whoever writes them, nonblocking " .. tostring(nonblocking), function()
      local reader, writer = log.pipe(nonblocking)
      log.slow_read(reader)
      assert(log.start("info", writer))
      log.burst(4, 500)
      log.stop()
      log.close(writer)
      local lines = parse(log.slow_result())
      log.close(reader)
      assert.equal(2000, #lines)
      local last = { 0, 0, 0, 0 }
      for _, line in ipairs(lines) do
        assert.equal(last[line.thread] + 1, line.number)
        last[line.thread] = line.number
      end
    end)
  end

  it("drops and counts what finds the queue full, and says so later", function()
    local reader, writer = log.pipe()
    local before = log.dropped()
    assert(log.start("info", writer))
    local took_us = log.burst(4, 10000) -- some 7 MB, to a reader that does not read
    local dropped = log.dropped() - before
    assert(dropped > 0)
    assert(took_us < 5000000, "producers waited")
    log.slow_read(reader)
    log.stop()
    log.close(writer)
    local text = log.slow_result()
    log.close(reader)
    local received, lost = 0, 0
    for _, line in ipairs(parse(text)) do
      received = received + (line.message == "request" and 1 or 0)
      lost = lost + (line.message == "log lines were lost" and line.lost or 0)
    end
    assert.equal(40000, received + dropped)
    assert.equal(dropped, lost)
  end)

  it("survives a reader that went away", function()
    local reader, writer = log.pipe()
    local before = log.dropped()
    assert(log.start("info", writer))
    log.close(reader)
    for i = 1, 3 do
      log.line("info", "lost")
      assert(eventually(function() return log.dropped() == before + i end))
    end
    log.stop()
    log.close(writer)
    assert.equal(before + 3, log.dropped())
  end)

  it("starts a new line after one that a full disk cut", function()
    local name = os.tmpname()
    local before = log.dropped()
    local descriptor = log.open(name)
    assert(log.start("info", descriptor))
    log.limit_file_size(100)
    log.raw(("x"):rep(150) .. "\n")
    assert(eventually(function() return log.dropped() == before + 1 end))
    log.limit_file_size()
    log.line("info", "again")
    log.stop()
    log.close(descriptor)
    local lines = {}
    for line in io.lines(name) do
      lines[#lines + 1] = line
    end
    os.remove(name)
    assert.equal(3, #lines)
    assert.equal(("x"):rep(100), lines[1])
    assert.equal("again", cjson.decode(lines[2]).message)
    assert.equal(1, cjson.decode(lines[3]).lost)
  end)

  it("gives up on a reader that does not read when it stops", function()
    local reader, writer = log.pipe()
    assert(log.start("info", writer))
    log.burst(1, 1000) -- more than a pipe holds
    local took_ms = log.stop()
    log.close(writer)
    log.close(reader)
    assert(took_ms >= 1900 and took_ms < 3000, took_ms)
  end)
end)
