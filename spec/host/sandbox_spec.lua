local native = require "native.sandbox"
local proc = require "proc"
local processes = require "processes"
local uv = require "luv"

local MEMORY, SOFT_MS, HARD_MS = 32 << 20, 50, 250
local sanitized = require("build").sanitized

describe("host/sandbox", function()
  local box

  setup(function() assert.is_true(native.start()) end)
  teardown(function() native.stop() end)
  before_each(function() box = native.open(MEMORY, SOFT_MS, HARD_MS) end)
  after_each(function() box:close() end)

  local function value(source)
    local run = box:run(source)
    assert.is_true(run.ok, run.error)
    return run.result
  end

  local function failure(source)
    local run = box:run(source)
    assert.is_false(run.ok, run.result)
    assert.is_false(run.spent)
    return run.error
  end

  describe("a run", function()
    it("hands back its result and leaves nothing on the stack", function()
      local run = box:run("return 'x' .. 1 + 2")
      assert.is_true(run.ok)
      assert.equal("x3", run.result)
      assert.is_false(run.spent)
      assert.equal(0, run.top)
      assert.equal(0, box:run("error {}").top)
      assert.equal(0, box:run("syntax error").top)
    end)

    it("names file, line and functions of an error", function()
      box:close()
      box = native.open(MEMORY, SOFT_MS, HARD_MS)
      local run = box:run("local function decide()\n  return nil + 1\nend\n\nlocal x = decide()\nreturn x",
        "@policies/scaling.lua")
      assert.equal("policies/scaling.lua:2: attempt to perform arithmetic on a nil value\n" ..
        "\tpolicies/scaling.lua:2: in local 'decide'\n\tpolicies/scaling.lua:5: in main chunk", run.error)
    end)

    it("names file and line of a text that does not parse", function()
      local run = box:run("local = 1", "@scripts/app.lua")
      assert.matches("^scripts/app.lua:1: <name> expected near '='", run.error)
    end)

    it("cuts what a text that does not parse quotes of itself", function()
      local run = box:run("return '" .. ("x"):rep(1 << 20) .. "\n")
      assert.is_true(#run.error < 5000, #run.error)
      assert.matches("%(cut%)$", run.error)
    end)

    it("shows the last calls of a deep one", function()
      local message = failure("local function f(n) if n == 0 then error 'deep' end f(n - 1) return 1 end f(100)")
      local _, lines = message:gsub("\n", "")
      assert.equal(21, lines)
      assert.matches("\n\t%.%.%.$", message)
    end)

    it("keeps nothing that a script wrote to a global", function()
      failure("counter = (rawget(_G, 'counter') or 0) + 1")
      assert.equal("nil", value("return tostring(rawget(_G, 'counter'))"))
    end)

    it("can be nested, and shares one budget", function()
      assert.equal("0", value("return nested(function() end)"))
      assert.equal("2", value("return nested(function() error 'x' end)"))
      local run = box:run("while true do nested(function() for _ = 1, 1e6 do end end) end")
      assert.matches("cpu time limit exceeded", run.error)
      assert.is_true(run.spent)
    end)

    it("may use a binding's userdata, but neither its finalizer nor its metatable", function()
      assert.equal("nil", value("return tostring(getmetatable(handle()))"))
      assert.equal("handle", value("return tostring(handle())"))
      assert.matches("attempt to index a handle value", failure("return handle().__gc"))
      assert.matches("table expected", failure("setmetatable(handle(), {})"))
    end)
  end)

  describe("limits", function()
    it("end a run at the CPU limit, and the state with it", function()
      local run = box:run("while true do end", "=endless")
      assert.is_false(run.ok)
      assert.equal("endless:1: cpu time limit exceeded\n\tendless:1: in main chunk", run.error)
      assert.is_true(run.spent)
      assert.is_true(run.cpu_ms >= HARD_MS and run.cpu_ms < HARD_MS + 100, run.cpu_ms)
      run = box:run("return 1")
      assert.is_false(run.ok)
    end)

    it("give every run its own time", function()
      for _ = 1, 4 do assert.is_true(box:run("burn(100)").ok) end
    end)

    it("do not count waiting", function()
      local run = box:run("wait(400) return 'served'")
      assert.equal("served", run.result)
      assert.is_false(run.spent)
      assert.is_true(run.elapsed_ms >= 400)
    end)

    it("count a run that ended over the limit without an instruction to stop it", function()
      local run = box:run("return burn(300)")
      assert.is_false(run.ok)
      assert.matches("cpu time limit exceeded", run.error)
      assert.is_true(run.spent)
    end)

    it("are off when they are zero", function()
      local free = native.open(MEMORY, 0, 0)
      local run = free:run("burn(400) return 'done'")
      assert.equal("done", run.result)
      free:close()
    end)

    it("end a run at the memory limit, say where, and end the state with it", function()
      local run = box:run("local s = 'x'\nlocal function grow() while true do s = s .. s end end\ngrow()")
      assert.is_false(run.ok)
      assert.equal("memory limit exceeded\n\tscript:2: in local 'grow'\n\tscript:3: in main chunk", run.error)
      assert.is_true(run.spent)
      assert.is_true(run.memory <= MEMORY)
    end)

    it("make no state that does not fit", function()
      assert.is_nil(native.open(1000, SOFT_MS, HARD_MS))
      assert.is_nil(native.open(10000, SOFT_MS, HARD_MS))
    end)

    it("free all memory of a state whatever ended its runs", function()
      local bombs = {
        "local t = {} while true do t[#t + 1] = {} end",
        "local n, t = 1 << 16, {} for i = 1, n do t[i * (2 * n - 1)] = 1 end t[-5] = 1",
        "local s = 'x' while true do s = s .. s end",
      }
      local function resident() return proc.status("self", "VmRSS") end
      local function explode()
        for _, bomb in ipairs(bombs) do
          local small = native.open(MEMORY, 10, 20)
          assert.is_true(small:run(bomb).spent)
          small:close()
        end
      end
      explode()
      local before = resident()
      for _ = 1, 10 do explode() end
      -- Sanitizers keep freed memory for a while.
      assert.is_true(sanitized or resident() - before < 16 << 10, resident() - before)
    end)

    it("reach every one of many threads, and no other", function()
      local good, endless = "for i = 1, 1e4 do end", "while true do end"
      assert.equal(8 * 50, native.crowd(8, 50, good))
      assert.equal(4 * 50, native.crowd(8, 50, good, endless))
      assert.equal(0, native.crowd(8, 1, endless, "while true do pcall(error) end"))
    end)

    it("are enforced again after a stop and a start", function()
      native.stop()
      assert.is_true(native.start())
      assert.is_true(box:run("while true do end").spent)
    end)
  end)

  describe("the watchdog", function()
    local path

    before_each(function() path = os.tmpname() end)
    after_each(function() os.remove(path) end)

    local function lines_of(source)
      local file = assert(io.open(path, "w"))
      file:close()
      local luv = require "luv"
      local descriptor = assert(luv.fs_open(path, "a", 384))
      native.log_to(descriptor)
      box:run(source, "=scripts.app")
      native.log_stop()
      luv.fs_close(descriptor)
      local lines = {}
      for line in io.lines(path) do lines[#lines + 1] = line end
      return lines
    end

    it("says once when a run passes the soft limit", function()
      local lines = lines_of("burn(120)")
      assert.equal(1, #lines)
      assert.matches([["level":"warning","message":"cpu soft limit reached"]], lines[1])
      assert.matches([["run":"=scripts.app","cpu_ms":%d+]], lines[1])
    end)

    it("says so when a run reaches the hard limit", function()
      local lines = lines_of("while true do end")
      assert.equal(2, #lines)
      assert.matches([["message":"cpu hard limit reached"]], lines[2])
    end)

    it("says nothing of a run within its limits", function()
      assert.same({}, lines_of("wait(100)"))
    end)

    it("calls a run stuck that nothing ends, two seconds on, and ends the process a second later", function()
      local program = ([[
        package.cpath = %q
        local native = require "native.sandbox"
        assert(native.start())
        assert(not native.stuck())
        native.open(1 << 25, 50, 250):run "burn(60000)"
      ]]):format(package.cpath)
      local script = assert(io.open(path, "w"))
      script:write(program)
      script:close()
      local started = uv.hrtime()
      local _, code = processes.run({ "lua5.4", path }, { native = true })
      assert.equal(70, code)
      assert.is_true(uv.hrtime() - started >= 3.2e9)
    end)

    it("leaves what to do with a stuck run to whoever asked for it", function()
      native.survive_stuck(true)
      assert.is_false(native.stuck())
      local run = box:run("burn(2600)")
      assert.is_true(native.stuck())
      assert.equal(1, native.stuck_calls())
      assert.is_true(run.spent)
      native.survive_stuck(false)
      native.stop()
      native.start()
      assert.is_false(native.stuck())
    end)
  end)
end)
