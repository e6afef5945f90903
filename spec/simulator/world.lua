--- Everything that the simulator remembers.
local clock = require "clock"
local administration = require "spec.simulator.administration"
local clusters = require "spec.simulator.clusters"
local demo = require "spec.simulator.demo"
local domino = require "spec.simulator.domino"
local faults = require "spec.simulator.faults"
local json = require "spec.simulator.json"
local operator = require "spec.simulator.operator"
local requests = require "spec.simulator.requests"
local store = require "spec.simulator.store"

local REVISION_GAP <const> = 1000

local world = {}
world.__index = world

local function default_options()
  return {
    operator = true, -- workers come and go after a change of the spec
    step_ms = 1000, -- one worker's time
    capacity = 50, -- workers of one cluster that the nodes have room for
    webhook = true, -- the operator's admission webhook
    bookmark_ms = 60000,
    bookmark_lead_ms = 2000, -- the last bookmark comes that long before a watch ends
    history_events = 5000, -- what a watch can go back to
    namespace_controller = true, -- without one, as with kube-apiserver and etcd alone, namespaces that are deleted stay
  }
end

--- The API server's accounts by bearer token.
local function default_accounts()
  return {
    [demo.SERVICE_ACCOUNT_TOKEN] = demo.SERVICE_ACCOUNT,
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

--- Ends every watch, forgets all history and leaves a gap in the revisions, so that everybody has to list again.
function world:restart()
  self.epoch = self.epoch + 1
  self.store.revision = self.store.revision + REVISION_GAP
  self.store:compact()
end

--- Back to the start. settings: revision (else one that nobody has seen yet), clusters ("demo", as without, or "none").
function world:reset(settings)
  local revision = settings.revision or self.store and self.store.revision + REVISION_GAP or REVISION_GAP
  self.epoch = (self.epoch or 0) + 1
  self.options = default_options()
  self.accounts = default_accounts()
  self.people = demo.identities
  self.identities = domino.identities(demo.identities)
  self.next_uid = uid_source()
  self.store = store.new(revision, self.options)
  self.operator = operator.new(self)
  self.faults = faults.new()
  self.requests = requests.new()
  self.watches = {} -- what each open watch is, with the time when its stream was last asked
  administration.found(self)
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
