--- `make fuzz`: every target for so many seconds, or those that are named.
---   lua5.4 spec/fuzz/run.lua directory seconds [target ...]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
local fuzzing = require "spec.fuzz.fuzzing"
local program = require "program"

local directory, seconds = arg[1], math.tointeger(arg[2])
local targets = arg[3] and { table.unpack(arg, 3) } or fuzzing.targets()
local failed = 0

for _, target in ipairs(targets) do
  local log = ("%s/%s.log"):format(directory, target)
  local done = os.execute(("%s >%s 2>&1"):format(
    fuzzing.command(target, directory, directory, ("-max_total_time=%d"):format(seconds)), log))
  local text = program.read(log)
  local runs, covered = text:match "Done (%d+) runs", text:match ".*cov: (%d+)"
  print(("%-14s %s"):format(target, done and ("%10d runs, %d edges covered"):format(runs, covered)
    or "FAILED: " .. log))
  if not done then failed = failed + 1 end
end

if failed > 0 then
  io.stderr:write(("%d of %d targets found something; the inputs are in %s/findings\n"):format(failed, #targets,
    directory))
  os.exit(1)
end
