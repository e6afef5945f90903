--- Callers who ask as they should, one after the other, and know what the answers must be.
local cjson = require "cjson"
local uv = require "luv"
local connection = require "spec.soak.connection"

local honest = {}
honest.__index = honest

local PAUSE_MS <const> = 10
local TIMEOUT_MS <const> = 30000
local SHOWN <const> = 20
local OWNER <const> = '"dominodatalab.com/starting-user-id":"%s"'

function honest.new(port, trouble)
  return setmetatable({ port = port, trouble = trouble, answers = 0, explained = 0, failed = 0, wrong = 0, said = 0,
    times = {} }, honest)
end

local function say(self, kind, caller, what, detail)
  self.said = self.said + 1
  if self.said > SHOWN then return end
  io.stderr:write(("%s: %s %s: %s\n"):format(kind, caller.token, what, tostring(detail):sub(1, 400)))
end

local function request_text(caller, method, path, body)
  local text = ("%s %s HTTP/1.1\r\nHost: service\r\nAuthorization: Bearer %s\r\n"):format(method, path, caller.token)
  if not body then return text .. "\r\n" end
  return ("%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(text, #body, body)
end

local function error_of(response)
  local decoded, problem = pcall(cjson.decode, response.body)
  return decoded and type(problem) == "table" and problem.error or nil
end

--- The answer, or nil when there is none that may be judged: it was an upstream's fault, or has been counted as failed.
local function ask(self, caller, method, path, body)
  uv.update_time()
  local began = uv.now()
  local what = method .. " " .. path
  local failure
  if not caller.connection then
    caller.connection, failure = connection.open(self.port)
    if caller.connection then caller.connection:start_reading() end
  end
  local response
  if caller.connection then
    caller.connection:send(request_text(caller, method, path, body))
    response, failure = caller.connection:response(TIMEOUT_MS)
  end
  uv.update_time()
  local ended = uv.now()
  self.answers = self.answers + 1
  if not response or response.head:find("\r\nConnection: close\r\n", 1, true) then
    if caller.connection then caller.connection:close() end
    caller.connection = nil
  end
  if response and response.status < 500 then
    self.times[#self.times + 1] = ended - began
    return response
  end
  local problem = response and error_of(response)
  if problem == "upstream_failed" and self.trouble:explains(began, ended) then
    self.explained = self.explained + 1
    return nil
  end
  self.failed = self.failed + 1
  say(self, "failed", caller, what, response and response.head .. response.body or failure)
  return nil
end

local function expect(self, caller, what, holds, response)
  if holds then return true end
  self.wrong = self.wrong + 1
  say(self, "WRONG", caller, what, response.head .. response.body)
  return false
end

local function refused(response, status, problem)
  return response.status == status and error_of(response) == problem
end

local function replicas_of(response)
  local decoded, object = pcall(cjson.decode, response.body)
  local spec = decoded and type(object) == "table" and object.spec
  if not spec then return nil end
  return math.tointeger(spec.worker.replicas), math.tointeger(spec.autoscaling.minReplicas),
    math.tointeger(spec.autoscaling.maxReplicas)
end

local function get_own(self, caller)
  local cluster = caller.clusters[math.random(#caller.clusters)]
  local response = ask(self, caller, "GET", "/raycluster/" .. cluster.name)
  if not response then return end
  expect(self, caller, "get " .. cluster.name, response.status == 200
    and response.body:find('"name":"' .. cluster.name .. '"', 1, true)
    and response.body:find(OWNER:format(caller.id), 1, true)
    and (not cluster.known or cluster.possible[replicas_of(response)]), response)
end

local function get_foreign(self, caller)
  local response = ask(self, caller, "GET", "/raycluster/" .. caller.foreign)
  if not response then return end
  expect(self, caller, "get " .. caller.foreign, caller.admin and response.status == 200
    or not caller.admin and refused(response, 403, "unauthorized"), response)
end

local function get_none(self, caller)
  local response = ask(self, caller, "GET", "/raycluster/ray-000000000000000000000000")
  if response then expect(self, caller, "get none", refused(response, 404, "not_found"), response) end
end

local function list(self, caller)
  local response = ask(self, caller, "GET", "/raycluster/list")
  if not response then return end
  local decoded, answer = pcall(cjson.decode, response.body)
  local clusters = decoded and answer.ray_clusters or {}
  local names, good = {}, response.status == 200 and (caller.admin or #clusters == #caller.clusters)
  for _, object in ipairs(clusters) do
    names[object.metadata.name] = true
    good = good and (caller.admin or object.metadata.labels["dominodatalab.com/starting-user-id"] == caller.id)
  end
  for _, cluster in ipairs(caller.clusters) do good = good and names[cluster.name] end
  expect(self, caller, "list", good, response)
end

--- Only this caller scales its clusters, so what it was told is what it has to see from then on.
local function scale(self, caller)
  local cluster = caller.clusters[math.random(#caller.clusters)]
  local n = math.random(0, 20)
  cluster.possible = cluster.possible or {}
  cluster.possible[n] = true
  local response = ask(self, caller, "POST", "/raycluster/scale",
    ('{"cluster_name":"%s","replicas":%d}'):format(cluster.name, n))
  if not response then return end
  if refused(response, 409, "conflict") and self.trouble:explains(uv.now(), uv.now()) then
    self.explained = self.explained + 1
    return
  end
  local replicas, least, most = replicas_of(response)
  local good = response.status == 200 and replicas == n and least == math.max(n, 1)
    and (most == (n == 0 and 1 or n + 1) or n > 0 and most == n + 2)
  if expect(self, caller, ("scale %s to %d"):format(cluster.name, n), good, response) then
    cluster.known, cluster.possible = true, { [n] = true }
  end
end

local function scale_badly(self, caller)
  local response = ask(self, caller, "POST", "/raycluster/scale",
    ('{"cluster_name":"%s","replicas":-1}'):format(caller.clusters[1].name))
  if response then expect(self, caller, "scale to -1", refused(response, 400, "bad_request"), response) end
end

local ACTIONS <const> = { get_own, get_own, get_own, get_own, list, list, scale, get_foreign, get_none, scale_badly }

local function run(self, caller)
  while not self.over do
    ACTIONS[math.random(#ACTIONS)](self, caller)
    connection.sleep(PAUSE_MS)
  end
  if caller.connection then caller.connection:close() end
  self.running = self.running - 1
end

--- callers: { token, id, clusters = { { name }, … }, foreign = a cluster's name, admin? }
function honest:start(callers)
  self.running = #callers
  for _, caller in ipairs(callers) do connection.spawn(run, self, caller) end
end

function honest:stop() self.over = true end

--- Milliseconds within which that share of the answers came that are the service's own.
function honest:percentile(share)
  table.sort(self.times)
  return self.times[math.max(1, math.ceil(#self.times * share))] or 0
end

return honest
