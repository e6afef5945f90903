--- The distributed-compute operator with its autoscaler: after a change of a cluster's spec, workers come and go one by
--- one. There are no timers: advance does what has fallen due since the last request.
local clock = require "clock"
local json = require "spec.simulator.json"
local managed_fields = require "spec.simulator.managed_fields"
local pods = require "spec.simulator.pods"
local resources = require "spec.simulator.resources"

local MANAGER <const> = "distributed-compute-operator"

local operator = {}
operator.__index = operator

--- world: store, options (operator, step_ms, capacity), next_uid.
function operator.new(world)
  local self = setmetatable({ world = world, work = {}, known = {}, next_due_ms = math.huge }, operator)
  table.insert(world.store.listeners, function(plural, event) self:notice(plural, event) end)
  return self
end

local function put_pod(self, cluster, role, ordinal, phase)
  local name = pods.name(cluster.resource, cluster.name, role, ordinal)
  local known = self.world.store:get("pods", cluster.namespace, name)
  self.world.store:put("pods", pods.make {
    name = name, namespace = cluster.namespace, resource = cluster.resource, cluster = cluster.name, role = role,
    phase = phase, uid = known and known.uid or self.world.next_uid(), created = clock.rfc3339(),
  })
end

local function delete_pod(self, cluster, role, ordinal)
  local name = pods.name(cluster.resource, cluster.name, role, ordinal)
  local entry = self.world.store:get("pods", cluster.namespace, name)
  if entry then self.world.store:delete("pods", entry) end
end

--- What the operator knows of a cluster: its head ("Pending", "Running" or nil) and its workers' count, the last of
--- which may be pending. A cluster with a status was running before the operator first saw it.
local function know(self, plural, entry, object)
  local cluster = self.known[plural .. entry.key]
  if cluster then return cluster end
  cluster = { resource = resources.by_plural[plural], namespace = entry.namespace, name = entry.name, workers = 0 }
  self.known[plural .. entry.key] = cluster
  local worker_prefix = pods.name(cluster.resource, entry.name, "worker", 0):sub(1, -2)
  for _, node in ipairs(json.get(object, "status", "nodes") or {}) do
    if node:sub(1, #worker_prefix) == worker_prefix then cluster.workers = cluster.workers + 1 end
    cluster.head = "Running"
  end
  if cluster.head then put_pod(self, cluster, "head", 0, "Running") end
  for ordinal = 0, cluster.workers - 1 do put_pod(self, cluster, "worker", ordinal, "Running") end
  return cluster
end

local function forget(self, plural, entry)
  local id = plural .. entry.key
  local cluster = self.known[id]
  self.known[id], self.work[id] = nil, nil
  if not cluster then return end
  delete_pod(self, cluster, "head", 0)
  for ordinal = 0, cluster.workers - 1 do delete_pod(self, cluster, "worker", ordinal) end
end

--- Listens to the store; only a change of the spec, which moves the generation, is worth a look.
function operator:notice(plural, event)
  local entry = event.entry
  if not resources.by_plural[plural].head or not self.world.options.operator then return end
  if event.type == "DELETED" then return forget(self, plural, entry) end
  local id = plural .. entry.key
  local changed = not event.previous or event.previous.generation ~= entry.generation
  if self.work[id] or entry.settled or not changed then return end
  local due_ms = clock.monotonic_ms() + self.world.options.step_ms
  self.work[id] = { plural = plural, namespace = entry.namespace, name = entry.name, due_ms = due_ms }
  self.next_due_ms = math.min(self.next_due_ms, due_ms)
end

--- Takes a cluster that has its status already, with its pods.
function operator:adopt(plural, entry, object)
  self.work[plural .. entry.key] = nil
  if self.world.options.operator then know(self, plural, entry, object) end
end

local function store_change(self, plural, old, new, manager, subresource)
  managed_fields.update(old, new, { manager = manager, subresource = subresource, time = clock.rfc3339(),
    api_version = resources.by_plural[plural].api_version })
  self.world.store:put(plural, new)
end

--- The autoscaler: keeps the wanted count between min and max, unless it is 0. Returns true when it wrote.
local function autoscale(self, plural, object)
  local autoscaling, replicas = json.get(object, "spec", "autoscaling"), json.get(object, "spec", "worker", "replicas")
  if not autoscaling or replicas == 0 then return false end
  replicas = replicas or 1
  local wanted = math.max(autoscaling.minReplicas or 1, math.min(autoscaling.maxReplicas, replicas))
  if wanted == replicas then return false end
  local new = json.copy(object)
  new.spec.worker.replicas = wanted
  new.metadata.generation = (object.metadata.generation or 0) + 1
  store_change(self, plural, object, new, "kube-controller-manager", "scale")
  return true
end

local function status_of(object, cluster, wanted)
  local nodes = json.array {}
  if cluster.head then nodes[1] = pods.name(cluster.resource, cluster.name, "head", 0) end
  for ordinal = 0, cluster.workers - 1 do
    nodes[#nodes + 1] = pods.name(cluster.resource, cluster.name, "worker", ordinal)
  end
  table.sort(nodes)
  local status = json.object {}
  for field, value in pairs(object.status or {}) do status[field] = value end
  local state = cluster.head == "Running" and "Running" or cluster.head and "Starting" or "Pending"
  if state == "Running" and status.clusterStatus ~= "Running" then status.startTime = clock.rfc3339() end
  status.clusterStatus = state
  status.nodes = #nodes > 0 and nodes or nil
  status.workerReplicas = wanted > 0 and wanted or nil
  status.workerSelector = pods.worker_selector(cluster.resource, cluster.name)
  return status
end

--- The object as it stands once the operator has brought all of it up.
function operator.running(plural, object)
  local wanted = json.get(object, "spec", "worker", "replicas") or 1
  local cluster = { resource = resources.by_plural[plural], name = object.metadata.name, workers = wanted,
    head = "Running" }
  local new = json.copy(object)
  new.status = status_of(object, cluster, wanted)
  managed_fields.update(object, new, { manager = MANAGER, subresource = "status", time = clock.rfc3339(),
    api_version = cluster.resource.api_version })
  return new
end

--- One step towards the wanted pods. Returns true when there is nothing more to do: all are there, or the next one
--- waits for room that the nodes do not have.
local function move(self, cluster, wanted)
  if not cluster.head then
    cluster.head = "Pending"
    put_pod(self, cluster, "head", 0, "Pending")
    return false
  elseif cluster.head == "Pending" then
    cluster.head = "Running"
    put_pod(self, cluster, "head", 0, "Running")
  end
  local room = cluster.workers <= self.world.options.capacity
  if cluster.pending and room then
    put_pod(self, cluster, "worker", cluster.workers - 1, "Running")
    cluster.pending = false
  end
  if cluster.workers > wanted then
    cluster.workers, cluster.pending = cluster.workers - 1, false
    delete_pod(self, cluster, "worker", cluster.workers)
  elseif cluster.workers < wanted and not cluster.pending then
    cluster.workers, cluster.pending = cluster.workers + 1, true
    put_pod(self, cluster, "worker", cluster.workers - 1, "Pending")
    return false
  end
  return cluster.workers == wanted or cluster.pending
end

--- Returns true when the cluster is where its spec wants it.
local function step(self, work)
  local entry = self.world.store:get(work.plural, work.namespace, work.name)
  if not entry then return true end
  local object = self.world.store.object(entry)
  local cluster = know(self, work.plural, entry, object)
  if autoscale(self, work.plural, object) then return false end
  local wanted = json.get(object, "spec", "worker", "replicas") or 1
  local settled = move(self, cluster, wanted)
  local status = status_of(object, cluster, wanted)
  if not json.equal(status, object.status) then
    local new = json.copy(object)
    new.status = status
    store_change(self, work.plural, object, new, MANAGER, "status")
  end
  return settled
end

local function due_now(self, now)
  local due = {}
  for id, work in pairs(self.work) do
    if work.due_ms <= now then due[#due + 1] = id end
  end
  table.sort(due)
  return due
end

--- Catches up with the clock.
function operator:advance()
  local now = clock.monotonic_ms()
  while self.next_due_ms <= now do
    for _, id in ipairs(due_now(self, now)) do
      local work = self.work[id]
      work.due_ms = work.due_ms + math.max(self.world.options.step_ms, 1)
      if step(self, work) then self.work[id] = nil end
    end
    self.next_due_ms = math.huge
    for _, work in pairs(self.work) do self.next_due_ms = math.min(self.next_due_ms, work.due_ms) end
  end
end

return operator
