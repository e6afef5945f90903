--- `make soak`: load, edited rules, failing upstreams and hostile clients at once. No answer may be wrong, no honest
--- request may fail but by a failing upstream, and memory stays level after the first minute.
---   lua5.4 spec/soak/run.lua [seconds]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
local uv = require "luv"
local hostile = require "spec.soak.hostile"
local honest = require "spec.soak.honest"
local proc = require "proc"
local program = require "program"
local stage = require "stage"
local trouble = require "spec.soak.trouble"

local SECONDS <const> = math.tointeger(arg[1]) or 600
local BUILD <const> = require("build").directory
local CALLERS <const>, CLUSTERS <const> = 12, 4
local WARM_S <const> = 60 -- memory may grow so long
local GROWTH <const>, GROWTH_MB <const> = 1.05, 1

local PLOT <const> = [[
set terminal pngcairo size 1000,500
set output '%s/soak.png'
set title 'rayclusterscaler under load, reloads, failing upstreams and hostile clients'
set xlabel 'seconds'
set ylabel 'MB'
set y2label 'threads, descriptors'
set ytics nomirror
set y2tics
set yrange [0:*]
set y2range [0:*]
set key bottom right
plot '%s/soak.tsv' using 1:2 with lines lw 2 title 'RSS', \
  '' using 1:3 axes x1y2 with lines title 'threads', '' using 1:4 axes x1y2 with lines title 'descriptors'
]]

local function callers_of(here)
  local callers = {}
  for index = 1, CALLERS do
    local person = here:person(index == CALLERS and
      { isAdmin = true, canonicalId = "5d1f1622fdfe52c4e2ffffff", canonicalName = "admin" } or nil)
    if index == CALLERS then person.id, person.admin = "5d1f1622fdfe52c4e2ffffff", true end
    person.clusters = {}
    local names = here:control("POST", "seed", { clusters = CLUSTERS, bytes = 6000, owners = { person.id },
      prefix = ("%08x"):format(index) }).clusters
    for place, name in ipairs(names) do person.clusters[place] = { name = name } end
    person.foreign = stage.clusters.umas
    callers[index] = person
  end
  -- Known to the service once the last one is.
  local last = callers[CALLERS].clusters[CLUSTERS].name
  program.eventually(function() return here:get(stage.admin, "/raycluster/" .. last).status == 200 end, 10, last)
  return callers
end

local function sample(pid)
  return { mb = proc.status(pid, "VmRSS") / 1024, threads = proc.status(pid, "Threads"),
    descriptors = proc.descriptors(pid) }
end

local function median_mb(samples, first, last)
  local values = {}
  for index = math.max(1, first), math.min(#samples, last) do values[#values + 1] = samples[index].mb end
  table.sort(values)
  return values[(#values + 1) // 2]
end

local function draw(samples)
  local lines = { "# seconds\tMB\tthreads\tdescriptors" }
  for second, one in ipairs(samples) do
    lines[#lines + 1] = ("%d\t%.2f\t%d\t%d"):format(second, one.mb, one.threads, one.descriptors)
  end
  program.write(BUILD .. "/soak.tsv", table.concat(lines, "\n") .. "\n")
  program.write(BUILD .. "/soak.gnuplot", PLOT:format(BUILD, BUILD))
  assert(os.execute(("gnuplot %s/soak.gnuplot"):format(BUILD)))
end

--- Every second a sample, until the time is over and what is running has ended.
local function watch(here, load, parts)
  local samples, timer, stopped = {}, uv.new_timer(), false
  timer:start(1000, 1000, function()
    samples[#samples + 1] = sample(here.service.pid)
    if not here.service:running() then error "the service ended" end
    if #samples >= SECONDS and not stopped then
      stopped = true
      for _, part in ipairs(parts) do part:stop() end
    end
  end)
  while not stopped or load.running > 0 do uv.run "once" end
  timer:close()
  return samples
end

local function verdict(load, samples)
  local faults = {}
  if load.wrong > 0 then faults[#faults + 1] = load.wrong .. " wrong answers" end
  if load.failed > 0 then faults[#faults + 1] = load.failed .. " failed requests that no upstream explains" end
  if #samples < WARM_S * 3 then
    print(("memory: %.1f MB; too short to say whether it is level"):format(samples[#samples].mb))
  else
    local early, late = median_mb(samples, WARM_S, WARM_S * 2), median_mb(samples, #samples - WARM_S, #samples)
    print(("memory: %.1f MB in the second minute, %.1f MB in the last"):format(early, late))
    if late > early * GROWTH + GROWTH_MB then faults[#faults + 1] = "memory grows" end
  end
  return faults
end

local function soak()
  local here = stage.open { policies = {} }
  local ran, faults = xpcall(function()
    here:control("POST", "options", { operator = false })
    local callers = callers_of(here)
    local before = sample(here.service.pid)
    local troubles = trouble.new(here, here.directory .. "/folder-1")
    local load, enemies = honest.new(here.service.port, troubles), hostile.new(here.service.port, stage.admin)
    load:start(callers)
    troubles:start()
    enemies:start()
    local samples = watch(here, load, { load, troubles, enemies })
    here:fault()
    draw(samples)
    print(("%d s: %d honest requests, %d explained by upstreams, %d failed, %d wrong; p50 %d ms, p99 %d ms"):format(
      SECONDS, load.answers, load.explained, load.failed, load.wrong, load:percentile(0.5), load:percentile(0.99)))
    print(("%d edits of a rule, %d times a failing upstream, %d hostile connections"):format(troubles.edits,
      troubles.faults, enemies.connections))
    print(("threads %d before, %d at last; descriptors %d before, %d at last; graph in %s/soak.png"):format(
      before.threads, samples[#samples].threads, before.descriptors, samples[#samples].descriptors, BUILD))
    return verdict(load, samples)
  end, debug.traceback)
  local closed, message = pcall(here.close, here)
  if not ran then error(faults, 0) end
  if not closed then faults[#faults + 1] = message end
  return faults
end

local ran, faults = pcall(soak)
if not ran then faults = { faults } end
for _, fault in ipairs(faults) do io.stderr:write("soak: ", fault, "\n") end
os.exit(#faults == 0)
