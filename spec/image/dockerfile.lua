--- Reads a Dockerfile and a .dockerignore: as much of their languages as this repository uses. Anything else is an
--- error, so that nothing is followed wrongly.
local cjson = require "cjson"

local dockerfile = {}

local readers = {}

local function add(stage, step)
  step.workdir = stage.workdir
  stage.steps[#stage.steps + 1] = step
end

function readers.FROM(stage, text)
  stage.base, stage.name = text:match("^(%S+) AS (%S+)$")
  stage.base = stage.base or text:match("^%S+$")
  assert(stage.base, "FROM " .. text)
end

function readers.COPY(stage, text)
  local from, rest = text:match("^%-%-from=(%S+) (.*)$")
  local paths = {}
  for path in (rest or text):gmatch("%S+") do
    paths[#paths + 1] = assert(path:match("^[%w._/][%w._/-]*$"), "COPY " .. text)
  end
  assert(#paths >= 2, "COPY " .. text)
  local target = table.remove(paths)
  add(stage, { kind = "COPY", text = text, from = from, sources = paths, target = target })
end

function readers.RUN(stage, text)
  assert(text:match("^[^%[-]"), "RUN " .. text) -- the shell form, without options
  add(stage, { kind = "RUN", text = text })
end

function readers.WORKDIR(stage, text)
  stage.workdir = assert(text:match("^/%S*$"), "WORKDIR " .. text)
  add(stage, { kind = "WORKDIR", text = text })
end

function readers.USER(stage, text)
  stage.user, stage.group = text:match("^(%d+):(%d+)$")
  assert(stage.user, "USER must be two numbers: " .. text)
end

function readers.ENV(stage, text)
  local name, value = text:match "^([%u_]+)=([%w_.=:]+)$"
  stage.environment[#stage.environment + 1] = assert(name, "ENV " .. text) .. "=" .. value
end

function readers.EXPOSE(stage, text)
  stage.ports = text
end

function readers.ENTRYPOINT(stage, text)
  stage.entrypoint = cjson.decode(text) -- the exec form is JSON
end

function readers.CMD(stage, text)
  stage.command = cjson.decode(text)
end

--- The stages in order: {name?, base, steps, workdir, environment, user, group, ports, entrypoint, command};
--- environment is a list of "NAME=value"; steps are what changes files: {kind, text, workdir} and for COPY {from?,
--- sources, target}.
function dockerfile.parse(text)
  local stages = {}
  text = ("\n" .. text):gsub("\n%s*#[^\n]*", ""):gsub("\\\n%s*", " ")
  for line in text:gmatch("[^\n]+") do
    local name, rest = line:match("^(%u+)%s+(.-)%s*$")
    local reader = assert(readers[name], "not understood: " .. line)
    if name == "FROM" then stages[#stages + 1] = { steps = {}, workdir = "/", environment = {} } end
    reader(assert(stages[#stages], "no FROM before " .. line), rest)
  end
  return stages
end

--- The paths that a .dockerignore leaves in the context: it must ignore all and then name exceptions.
function dockerfile.context(text)
  local paths, ignores_all = {}, false
  for line in text:gmatch("[^\n]+") do
    if line == "*" then
      ignores_all = true
    elseif not line:match("^#") then
      paths[#paths + 1] = assert(ignores_all and line:match("^!([%w._/-]+)$"), "not understood: " .. line)
    end
  end
  return paths
end

return dockerfile
