local bind = require "native.bind"
local cjson = require "cjson"

describe("host/bind/decisions", function()
  local json = bind.open("json")
  local decisions = bind.open("decisions")
  local path, log_path

  local function read(file)
    local lines = {}
    for line in io.lines(file) do lines[#lines + 1] = line end
    return lines
  end

  --- The lines that body writes to a file of their own.
  local function lines_of(rate, body)
    os.remove(path)
    assert(bind.decisions_open(path, rate))
    bind.serve("request-1")
    local ok, message = pcall(body)
    bind.decisions_close()
    assert(ok, message)
    return read(path)
  end

  local function dropped()
    return tonumber(bind.metrics_text():match("\nrayclusterscaler_decisions_dropped_total (%d+)\n"))
  end

  setup(function()
    path, log_path = os.tmpname(), os.tmpname()
  end)
  teardown(function()
    os.remove(path)
    os.remove(log_path)
  end)
  after_each(function() bind.serve(nil) end)

  it("writes a line with time, request and revision, its fields in one order", function()
    local lines = lines_of(1, function()
      decisions.write {
        verdict = "deny", policy = "authorization", action = "get", caller = "u1", cluster = "ray-1",
        reason = 'not "hers"', given = { { id = "u1", admin = false }, "get", json.null },
      }
      decisions.write { policy = "scaling", verdict = "plan", plan = { replicas = 5 } }
      decisions.write { verdict = "list", clusters = 3, allowed = 1, reasons = { not_owner = 2 } }
    end)
    assert.equal(3, #lines)
    assert.matches('^{"time":"[^"]+","level":"info","message":"decision","request_id":"request%-1",'
      .. '"revision":"0123456789ab","policy":"authorization","action":"get","caller":"u1","cluster":"ray%-1",'
      .. '"verdict":"deny","reason":"not \\"hers\\"","given":%[.*%]}$', lines[1])
    local given = cjson.decode(lines[1]).given
    assert.same({ { id = "u1", admin = false }, "get", cjson.null }, { table.unpack(given, 1, 3) })
    local now = bind.open("clock").utc()
    assert.same({ hour = now.hour, minute = now.minute, weekday = now.weekday, utc = now.utc }, given[4])
    assert.equal(4, #given)
    assert.matches('"policy":"scaling","verdict":"plan","plan":{"replicas":5}}$', lines[2])
    assert.matches('"verdict":"list","clusters":3,"allowed":1,"reasons":{"not_owner":2}}$', lines[3])
  end)

  it("appends", function()
    lines_of(1, function() decisions.write { verdict = "allow" } end)
    assert(bind.decisions_open(path, 1))
    bind.serve("request-2")
    decisions.write { verdict = "deny" }
    bind.decisions_close()
    assert.equal(2, #read(path))
  end)

  it("goes on in a new file when the old one is renamed", function()
    local socket = require "socket"
    local lines = lines_of(1, function()
      decisions.write { verdict = "allow" }
      socket.sleep(1.05)
      assert(os.rename(path, path .. ".1"))
      decisions.write { verdict = "deny" }
    end)
    local old = read(path .. ".1")
    os.remove(path .. ".1")
    assert.matches('"verdict":"allow"', old[1])
    assert.same({ 1, 1 }, { #old, #lines })
    assert.matches('"verdict":"deny"', lines[1])
  end)

  it("cuts long text, but never what was given", function()
    local lines = lines_of(1, function()
      decisions.write { reason = ("x"):rep(2000), given = { ("y"):rep(2000) } }
    end)
    local line = cjson.decode(lines[1])
    assert.equal(("x"):rep(1024) .. "…", line.reason)
    assert.equal(("y"):rep(2000), line.given[1])
  end)

  it("loses and counts a line that cannot be made, and never raises", function()
    local before = dropped()
    local loop = {}
    loop.loop = loop
    assert.same({}, lines_of(1, function()
      decisions.write { given = { loop } }
      decisions.write { given = { print } }
      decisions.write { given = { 0 / 0 } }
      decisions.write { given = { ("x"):rep(300000) } }
    end))
    assert.equal(before + 4, dropped())
  end)

  it("counts what finds the queue full", function()
    local before = dropped()
    local line = { given = { ("x"):rep(250000) } }
    local written = lines_of(1, function()
      for _ = 1, 200 do decisions.write(line) end
    end)
    local kept = 0
    for _, text in ipairs(written) do
      if text:find('"message":"decision"', 1, true) then kept = kept + 1 end
    end
    assert.equal(200, kept + dropped() - before)
  end)

  it("is a line of the log unless it has a file, and as quiet as the log", function()
    assert(bind.decisions_open("", 1))
    for _, case in ipairs { { "info", true }, { "warn", false } } do
      assert(bind.log_start(case[1], log_path))
      bind.serve("request-1")
      assert.equal(case[2], decisions.wanted())
      if decisions.wanted() then decisions.write { verdict = "deny" } end
      bind.log_stop()
      assert.equal(case[2] and 1 or 0, #read(log_path))
    end
    bind.decisions_close()
    assert.is_false(decisions.wanted())
  end)

  it("wants a sample of the allowed views, and all else", function()
    for rate, range in pairs { [0] = { 0, 0 }, [1] = { 20000, 20000 }, [0.1] = { 1800, 2200 } } do
      lines_of(rate, function()
        local count = 0
        for _ = 1, 20000 do
          if decisions.wanted(true) then count = count + 1 end
          assert(decisions.wanted() and decisions.wanted(false) and decisions.wanted(nil))
        end
        assert.is_true(range[1] <= count and count <= range[2], ("%g: %d"):format(rate, count))
      end)
    end
  end)

  it("says which file cannot be written", function()
    local opened, message = bind.decisions_open("/nowhere/decisions.jsonl", 1)
    assert.is_false(opened)
    assert.equal("DECISION_LOG: cannot append to /nowhere/decisions.jsonl: No such file or directory", message)
    assert.is_false(decisions.wanted())
  end)

  it("writes only while a request is served", function()
    bind.serve(nil)
    assert.has_error(function() decisions.write {} end, "a decision is logged while a request is served")
  end)
end)
