local native = require "native.sandbox"

local MEMORY, SOFT_MS, HARD_MS = 32 << 20, 50, 250

describe("host/sandbox", function()
  local box

  setup(function() assert.is_true(native.start()) end)
  teardown(function() native.stop() end)
  before_each(function() box = native.open(MEMORY, SOFT_MS, HARD_MS) end)
  after_each(function() box:close() end)

  it("runs text and hands back its result", function()
    local run = box:run("return 'x' .. 1 + 2")
    assert.is_true(run.ok)
    assert.equal("x3", run.result)
    assert.is_false(run.spent)
    assert.equal(0, run.top)
  end)

  it("ends a run at the CPU limit, and the state with it", function()
    local run = box:run("while true do end", 0, "=endless")
    assert.is_false(run.ok)
    assert.matches("^endless:1: cpu time limit exceeded\n\tendless:1: in main chunk", run.error)
    assert.is_true(run.spent)
    assert.is_true(run.cpu_ms >= HARD_MS and run.cpu_ms < HARD_MS + 100, run.cpu_ms)
    run = box:run("return 1")
    assert.is_false(run.ok)
  end)

  it("ends a run at the memory limit, and the state with it", function()
    local run = box:run("local t = {} for i = 1, 1e9 do t[i] = { i } end")
    assert.is_false(run.ok)
    assert.equal("memory limit exceeded\n\tscript:1: in main chunk", run.error)
    assert.is_true(run.spent)
    assert.is_true(run.memory <= MEMORY)
  end)
end)
