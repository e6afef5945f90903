--- A simulator, and the service pointed at it, for one spec file. Under `make test-cluster` the simulator is Domino
--- alone, and Kubernetes is a real one.
local busted = require "busted"
local cjson = require "cjson"
local client = require "client"
local program = require "program"
local real_cluster = require "real_cluster"
local simulated_cluster = require "simulated_cluster"

local stage = {}
stage.__index = stage

local START_TIMEOUT_S <const> = 30

--- As in demo.lua of the simulator.
stage.admin = { token = "demo-admin-token", id = "5d1f1622fdfe52c4e28e6001" }
stage.uma = { token = "demo-uma-token", id = "5d1f1622fdfe52c4e28e60d8" }
stage.urs = { token = "demo-urs-token", id = "60aa0b1cfe0e4b7d9c1c2d3e" }
stage.clusters = {
  umas = "ray-655cb2de368ad4624b1e7d01",
  umas_fixed = "ray-655cb2de368ad4624b1e7d02", -- without autoscaling
  urss = "ray-655cb2de368ad4624b1e7d03",
  nobodys = "ray-655cb2de368ad4624b1e7d04",
}

local REAL <const> = os.getenv "CLUSTER_NAMESPACE" ~= nil

--- block (it or describe), unless Kubernetes is real: then what it would have run is pending, because that needs what
--- no real one does on request.
---@param block function
---@param needs string
---@return function
function stage.only_simulated(block, needs)
  if not REAL then return block end
  return function(title) busted.pending(("%s (only simulated: %s)"):format(title, needs)) end
end

local function await(process, pattern)
  return program.eventually(function()
    if not process:running() then
      process.gone = true
      error("it ended: " .. process:stderr() .. process:stdout(), 0)
    end
    return process:stdout():match(pattern)
  end, START_TIMEOUT_S, pattern)
end

--- A directory for a setting that names one, with those files: { ["app.lua"] = text }. With origin, scripts or
--- policies, it is a copy of that one with changes.
function stage:folder(files, origin)
  self.folders = self.folders + 1
  local path = ("%s/folder-%d"):format(self.directory, self.folders)
  assert(os.execute(origin and ("cp -r '%s' '%s'"):format(origin, path) or ("mkdir '%s'"):format(path)))
  for name, text in pairs(files) do
    program.write(path .. "/" .. name, text)
  end
  return path
end

--- Starts a service beside the stage's own.
---@param settings table? the service's environment; SCRIPTS_DIR and POLICIES_DIR may be tables of files, and scripts
---and policies are tables of changes to the files that there are
function stage:serve(settings)
  local environment = {
    LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0", DRAIN_SECONDS = 0,
    DOMINO_NUCLEUS_URI = "http://127.0.0.1:" .. self.simulator_port,
  }
  for name, value in pairs(self.kubernetes:settings(self.directory)) do
    environment[name] = value
  end
  for name, value in pairs(settings or {}) do
    if name == "scripts" or name == "policies" then
      name, value = name:upper() .. "_DIR", self:folder(value, name)
    end
    environment[name] = type(value) == "table" and self:folder(value) or value
  end
  local process = program.start { arguments = { "serve" }, environment = environment, directory = self.directory }
  self.processes[#self.processes + 1] = process
  process.port = tonumber(await(process, "listening on port (%d+)"))
  process.admin_port = tonumber(await(process, "admin on port (%d+)"))
  return process
end

local function open(self, settings)
  local simulator = program.start { arguments = { "simulate", "127.0.0.1:0" }, directory = self.directory }
  self.processes[1] = simulator
  self.simulator_port = tonumber(await(simulator, "simulator on http://127%.0%.0%.1:(%d+)"))
  self.kubernetes = REAL and real_cluster.new {
    [stage.clusters.umas] = { owners = { stage.uma.id }, workers = 2 },
    [stage.clusters.umas_fixed] = { owners = { stage.uma.id }, autoscaling = false },
    [stage.clusters.urss] = { owners = { stage.urs.id }, workers = 3 },
    [stage.clusters.nobodys] = {},
  } or simulated_cluster.new(self.simulator_port)
  self.service = self:serve(settings)
  stage.await_ready(self.service)
end

---@param settings table? as of serve
function stage.open(settings)
  local self = setmetatable({ directory = program.directory(), processes = {}, folders = 0 }, stage)
  local opened, message = pcall(open, self, settings)
  if not opened then
    self:close()
    error(message, 2)
  end
  return self
end

function stage.await_ready(service)
  local reasons
  local ready = pcall(program.eventually, function()
    local response = client.request(service.admin_port, { path = "/readyz" })
    reasons = response.body
    return response.status == 200
  end, START_TIMEOUT_S)
  if not ready then error("not ready: " .. reasons, 2) end
end

--- Ends everything; each process has to end well.
function stage:close()
  local failures = {}
  for i = #self.processes, 1, -1 do
    local process = self.processes[i]
    local ended, message = pcall(process.stop, process)
    if not ended and not process.gone then failures[#failures + 1] = message end
  end
  program.remove(self.directory)
  assert(#failures == 0, table.concat(failures, "\n"))
end

--- Everything that the processes have written so far.
function stage:written()
  local texts = {}
  for _, process in ipairs(self.processes) do
    texts[#texts + 1] = process:stdout()
    texts[#texts + 1] = process:stderr()
  end
  return table.concat(texts)
end

--- What holds for every answer of the service.
local function check(response)
  local headers, status = response.headers, response.status
  assert(headers["cache-control"] == "no-store", response.head)
  assert(headers["x-request-id"] and headers["x-request-id"] ~= "", response.head)
  if status < 400 or response.body == "" then return end
  assert(headers["content-type"] == "application/problem+json", response.head)
  local problem = response.json
  assert(problem.type == "urn:rayclusterscaler:problem:" .. problem.error, response.body)
  assert(type(problem.title) == "string" and problem.title ~= "", response.body)
  assert(problem.status == status, response.body)
  assert(type(problem.detail) == "string" and problem.detail ~= "", response.body)
  assert(problem.message == problem.detail, response.body)
  assert(problem.requestId == headers["x-request-id"], response.body)
  response.error = problem.error
end

--- A request to the service; its answer also has `error`, of a problem. who: a person, nil for nobody.
---@param options table as of client.send, with the port of another service than the stage's own
function stage:request(who, options)
  options.token = options.token or (who and who.token)
  local response = client.request(options.port or self.service.port, options)
  check(response)
  return response
end

function stage:get(who, path, headers)
  return self:request(who, { path = path, headers = headers })
end

function stage:scale(who, name, replicas, headers)
  return self:request(who, { method = "POST", path = "/raycluster/scale", headers = headers,
    body = { cluster_name = name, replicas = replicas } })
end

--- Calls the simulator's own interface and returns its answer.
function stage:control(method, call, value)
  return simulated_cluster.new(self.simulator_port):control(method, call, value)
end

local made = 0

--- A person whom the service has not seen yet. principal: what Domino says, { isAdmin, canonicalId, … }, or { answer =
--- text }; without, a user with an id of their own.
function stage:person(principal)
  made = made + 1
  local id = ("5d1f1622fdfe52c4e2%06x"):format(made)
  local person = { token = ("spec-token-%d"):format(made), id = id }
  principal = principal or { canonicalId = id, canonicalName = "person " .. made }
  principal.token = person.token
  self:control("POST", "identities", principal)
  return person
end

--- The name of a fresh cluster, once the service knows it. settings: as of the simulator's seed; without an owner it is
--- Uma's. service: another than the stage's own.
function stage:cluster(settings, service)
  made = made + 1
  settings = settings or {}
  settings.owners = settings.owners or { stage.uma.id }
  local name = ("ray-%08x%016x"):format(made, 1)
  self.kubernetes:create(name, settings)
  local request = { port = service and service.port, path = "/raycluster/" .. name }
  program.eventually(function() return self:request(stage.admin, request).status == 200 end, 10, name)
  return name
end

--- Rules of misbehaviour for the simulator, instead of those before.
function stage:fault(...)
  self:control("DELETE", "faults")
  if ... then self:control("POST", "faults", { ... }) end
end

--- How often the simulator was asked: by kind ("principal") or by verb and resource ("patch rayclusters").
function stage:count(what)
  local counted = self:control("GET", "requests")
  return counted.kinds[what] or counted.resources[what] or 0
end

--- The bytes of an object as the API server has them.
function stage:bytes(name)
  return self.kubernetes:bytes(name)
end

--- The object as the API server has it, decoded.
function stage:object(name)
  return cjson.decode(self:bytes(name))
end

return stage
