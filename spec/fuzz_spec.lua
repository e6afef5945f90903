--- A short run of each fuzz target over its stored inputs and some thousand more; `make fuzz` runs them for long.
local fuzzing = require "spec.fuzz.fuzzing"
local processes = require "processes"
local program = require "spec.support.program"

local BUILT <const> = os.getenv "FUZZ_DIR" or "build/fuzzing"

describe("fuzzing:", function()
  local directory

  setup(function()
    directory = program.directory()
  end)

  teardown(function()
    program.remove(directory)
  end)

  for _, target in ipairs(fuzzing.targets()) do
    it(("nothing is found in %s"):format(target), function()
      local command = fuzzing.command(target, BUILT, directory, "-seed=1 -runs=5000 -max_total_time=2")
      local output, code = processes.run { "sh", "-c", command }
      assert.equal(0, code, BUILT .. " holds no program, or: " .. output)
      assert(tonumber(output:match "stat::number_of_executed_units: (%d+)") > 100, output)
    end)
  end
end)
