--- Everything that the simulator remembers.
local clock = require "clock"
local clusters = require "spec.simulator.clusters"
local demo = require "spec.simulator.demo"
local domino = require "spec.simulator.domino"
local faults = require "spec.simulator.faults"
local json = require "spec.simulator.json"
local operator = require "spec.simulator.operator"
local requests = require "spec.simulator.requests"
local store = require "spec.simulator.store"

local START_REVISION <const> = 1000

local world = {}
world.__index = world

local function default_options()
  return {
    operator = true, -- workers come and go after a change of the spec
    step_ms = 1000, -- one worker's time
    webhook = true, -- the operator's admission webhook
    bookmark_ms = 60000,
    bookmark_lead_ms = 2000, -- the last bookmark comes that long before a watch ends
    history_events = 5000, -- what a watch can go back to
  }
end

--- The accounts by bearer token: the service's, bound as the README of the recordings says, and one for everything.
local function default_accounts()
  return {
    [demo.SERVICE_ACCOUNT_TOKEN] = {
      user = "system:serviceaccount:domino-field:rayclusterscaler",
      rules = { { namespace = demo.NAMESPACE, resources = { "rayclusters" },
        verbs = { "get", "list", "watch", "patch" } } },
    },
    [demo.CLUSTER_ADMIN_TOKEN] = {
      user = "kubernetes-admin",
      rules = { { namespace = "*", resources = { "*" }, verbs = { "*" } } },
    },
  }
end

--- Uids that look random and are the same in every run.
local function uid_source()
  local state = 0x2545f4914f6cdd1d
  local function bits()
    state = state ~ state << 13
    state = state ~ state >> 7
    state = state ~ state << 17
    return state
  end
  return function()
    local high, low = bits(), bits()
    return ("%08x-%04x-4%03x-%04x-%012x"):format(high >> 32, high >> 16 & 0xffff, high & 0xfff,
      0x8000 | low >> 48 & 0x3fff, low & 0xffffffffffff)
  end
end

--- A running cluster, as if the operator had brought it up already. settings as clusters.make takes them.
function world:add_cluster(settings)
  settings.namespace = settings.namespace or demo.NAMESPACE
  settings.uid, settings.created = self.next_uid(), clock.rfc3339()
  local plural = settings.resource or "rayclusters"
  local object = clusters.make(settings)
  local running = operator.running(plural, object)
  local entry = self.store:put(plural, running)
  self.operator:adopt(plural, entry, running)
  return entry
end

--- Back to the start. settings: revision, clusters ("demo", the default, or "none").
function world:reset(settings)
  self.options = default_options()
  self.accounts = default_accounts()
  self.people = demo.identities
  self.identities = domino.identities(demo.identities)
  self.next_uid = uid_source()
  self.store = store.new(settings.revision or START_REVISION, self.options)
  self.operator = operator.new(self)
  self.faults = faults.new()
  self.requests = requests.new()
  self.watches = {} -- what each open watch is, with the time when its stream was last asked
  if settings.clusters ~= "none" then
    for _, cluster in ipairs(demo.clusters) do self:add_cluster(json.copy(cluster)) end
  end
end

--- Does what has fallen due.
function world:advance() self.operator:advance() end

function world.new()
  local self = setmetatable({}, world)
  self:reset {}
  return self
end

return world
