--- The fuzz targets and how they run. Stored inputs are in spec/fuzz/corpus/<target>; those that take Kubernetes' own
--- words also start from the recordings of the simulator.
local uv = require "luv"
local program = require "spec.support.program"

local fuzzing = {}

local SOURCES <const> = "spec/fuzz"
local FIXTURES <const> = "spec/simulator/fixtures"

-- What a target takes of a recording.
local RECORDED <const> = { json_span = "body", json_binding = "body", kube_list = "body", kube_watch = "body",
  kube_failure = "answer" }

local function names_in(directory, pattern)
  local names = {}
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(directory)) do
    names[#names + 1] = name:match(pattern)
  end
  table.sort(names)
  return names
end

--- The targets' names, of the C files.
function fuzzing.targets() return names_in(SOURCES, "^(.+)%.c$") end

function fuzzing.corpus(target) return ("%s/corpus/%s"):format(SOURCES, target) end

local function exists(path) return uv.fs_stat(path) ~= nil end

--- Writes what the target takes of each recording; returns the directory, or nil when it takes nothing.
local function recordings(target, directory)
  local part = RECORDED[target]
  if not part then return nil end
  local seeds = directory .. "/recorded-" .. part
  assert(os.execute(("mkdir -p '%s'"):format(seeds)))
  for _, name in ipairs(names_in(FIXTURES, "^(.+)%.http$")) do
    local answer = program.read(("%s/%s.http"):format(FIXTURES, name)):match "\n\n(.*)$"
    program.write(seeds .. "/" .. name, part == "answer" and answer or answer:match "\n\n(.*)$")
  end
  return seeds
end

--- The command that runs a target. built: where the programs are; directory: where new inputs and findings are kept.
---@param arguments string of libFuzzer
function fuzzing.command(target, built, directory, arguments)
  local found = ("%s/corpus/%s"):format(directory, target)
  assert(os.execute(("mkdir -p '%s' '%s/findings'"):format(found, directory)))
  local words = { ("%s/fuzz/%s"):format(built, target), arguments,
    -- Leaks are looked for once, at the end: looking for them after each run costs more than the run.
    "-detect_leaks=0 -timeout=10 -max_len=16384 -print_final_stats=1",
    ("-artifact_prefix=%s/findings/%s-"):format(directory, target) }
  local dictionary = ("%s/%s.dict"):format(SOURCES, target)
  if exists(dictionary) then words[#words + 1] = "-dict=" .. dictionary end
  words[#words + 1] = found
  words[#words + 1] = fuzzing.corpus(target)
  words[#words + 1] = recordings(target, directory)
  return table.concat(words, " ")
end

return fuzzing
