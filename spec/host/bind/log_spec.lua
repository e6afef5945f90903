local bind = require "native.bind"
local cjson = require "cjson"

describe("host/bind/log", function()
  local log = bind.open("log")
  local path

  setup(function() path = os.tmpname() end)
  teardown(function() os.remove(path) end)
  after_each(function() bind.serve(nil) end)

  --- The lines that body writes, without their time.
  local function lines_of(level, body)
    assert(bind.log_start(level, path))
    local ok, message = pcall(body)
    bind.log_stop()
    assert(ok, message)
    local lines = {}
    for line in io.lines(path) do
      lines[#lines + 1] = line:gsub('^{"time":"[^"]*",', "{")
    end
    return lines
  end

  it("writes a line at each level", function()
    assert.same({
      '{"level":"debug","message":"a"}', '{"level":"info","message":"b"}', '{"level":"warning","message":"c"}',
      '{"level":"error","message":"d"}',
    }, lines_of("debug", function()
      log.debug("a")
      log.info("b", nil)
      log.warn("c", {})
      log.error("d")
    end))
    assert.same({ '{"level":"warning","message":"c"}' }, lines_of("warn", function()
      log.debug("a")
      log.info("b")
      log.warn("c")
    end))
  end)

  it("writes the line of a change at every level", function()
    for _, level in ipairs { "debug", "info", "warn", "error" } do
      assert.same({ '{"level":"info","message":"audit","request_id":"id-1","from":1,"to":5}' },
        lines_of(level, function()
          bind.serve("id-1")
          log.audit { to = 5, from = 1 }
          bind.serve(nil)
        end))
    end
    local _, message = pcall(log.audit)
    assert.matches("bad argument #1 .*table expected", message)
    _, message = pcall(log.audit, { message = "m" })
    assert.matches("bad argument #1 .*'message' is a field that the host writes", message)
  end)

  it("writes scalar fields, sorted, and of other values the type", function()
    assert.same({
      '{"level":"info","message":"m","a":1,"b":2.5,"c":true,"d":false,"e":"x\\"y","f":null,"g":"(table)",' ..
      '"h":"(function)","i":"nan","j":"-inf","k":-9223372036854775808}',
    }, lines_of("info", function()
      log.info("m", { a = 1, b = 2.5, c = true, d = false, e = 'x"y', f = cjson.null, g = {}, h = print,
        i = math.abs(0 / 0), j = -math.huge, k = math.mininteger })
    end))
  end)

  it("names the request that is served", function()
    assert.same({ '{"level":"info","message":"m","request_id":"id-1","a":1}', '{"level":"info","message":"n"}' },
      lines_of("info", function()
        bind.serve("id-1")
        log.info("m", { a = 1 })
        bind.serve(nil)
        log.info("n")
      end))
  end)

  it("bounds a line", function()
    local fields = {}
    for i = 1, 100 do
      fields[("f%03d"):format(i)] = i
    end
    local many, long = table.unpack(lines_of("info", function()
      log.info("m", fields)
      log.info(("m"):rep(5000), { a = ("é"):rep(600), b = ("b"):rep(1024) })
    end))
    many = cjson.decode(many)
    for i = 1, 100 do
      assert.equal(i <= 32 and i or nil, many[("f%03d"):format(i)])
    end
    long = cjson.decode(long)
    assert.equal(("m"):rep(4096) .. "…", long.message)
    assert.equal(("é"):rep(512) .. "…", long.a)
    assert.equal(("b"):rep(1024), long.b)
  end)

  it("raises on a caller's mistake, at whatever level", function()
    for _, write in ipairs { log.debug, log.error } do
      assert.has_error(function() write() end)
      assert.has_error(function() write({}) end)
      assert.has_error(function() write("m", "fields") end)
      assert.has_error(function() write("m", { "positional" }) end)
      assert.has_error(function() write("m", { [("n"):rep(65)] = 1 }) end)
      assert.has_error(function() write("m", { ["a\0b"] = 1 }) end)
      for _, name in ipairs { "time", "level", "message", "request_id" } do
        local ok, message = pcall(write, "m", { [name] = 1 })
        assert.is_false(ok)
        assert.matches("'" .. name .. "' is a field that the host writes", message)
      end
    end
  end)
end)
