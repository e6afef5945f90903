local native = require "native.sandbox"
local escapes = require "spec.support.escapes"

local sanitized = os.getenv "BUILD_DIR" ~= nil
-- Sanitizers make our own loops several times slower.
local MEMORY, SOFT_MS, HARD_MS = 32 << 20, 20, sanitized and 200 or 60
-- A tick of the watchdog, and for work inside of Lua's own code the time until it is torn out.
local GRACE_MS = (100 + 60) * (sanitized and 4 or 1)
local CLOSE_MS = sanitized and 2000 or 200
-- Of a connection's thread: what recursion may use. Sanitizers keep data of their own there.
local STACK_KIB = sanitized and 2048 or 1024

-- Where they make filling the memory slow, either limit ends it.
local messages = {
  time = "cpu time limit exceeded",
  memory = sanitized and "limit exceeded" or "^memory limit exceeded",
}

describe("host/sandbox withstands", function()
  setup(function() assert.is_true(native.start()) end)
  teardown(function() native.stop() end)

  for _, escape in ipairs(escapes) do
    local name, source = escape[1], escape[2]
    it(name, function()
      local box = native.open(MEMORY, SOFT_MS, HARD_MS)
      local run = box:run(source, STACK_KIB, "=escape")
      local said = run.error or run.result
      assert.equal(escape.result ~= nil, run.ok, said)
      if escape.result then
        assert.equal(escape.result, said)
      elseif escape.error then
        assert.matches(escape.error, said)
      elseif messages[escape.limit] then
        assert.matches(messages[escape.limit], said)
      end
      assert.equal(escape.limit ~= nil, run.spent, said)
      assert.is_true(run.cpu_ms < HARD_MS + GRACE_MS, run.cpu_ms .. " ms")
      assert.is_true(run.memory <= MEMORY)
      assert.is_true(box:close() < CLOSE_MS)
      assert.is_false(native.stuck())
    end)
  end

  it("all of it, under names that are told apart", function()
    local seen = {}
    for _, escape in ipairs(escapes) do
      assert.is_nil(seen[escape[1]], escape[1])
      seen[escape[1]] = true
    end
    assert.is_true(#escapes >= 60)
  end)
end)
