--- etcd and the watch cache: objects as their bytes, one revision counter, a bounded history for watches.
--- An entry is never changed once stored: { key, namespace, name, uid, generation, labels, revision, bytes }; settled
--- when the operator has nothing to do for it until its spec changes.
local json = require "spec.simulator.json"
local resources = require "spec.simulator.resources"

local SNAPSHOTS <const> = 16

local store = {}
store.__index = store

--- Watches older than revision are too old from the start. options.history_events bounds the history.
function store.new(revision, options)
  local self = setmetatable({ revision = revision, options = options, kinds = {}, listeners = {} }, store)
  for plural in pairs(resources.by_plural) do
    self.kinds[plural] = { entries = {}, keys = {}, history = {}, first = 1, last = 0, compacted = revision,
      snapshots = {} }
  end
  return self
end

local function key_of(namespace, name) return (namespace or "") .. "/" .. name end

--- Position of the first key that is not before key.
local function position_of(keys, key)
  local low, high = 1, #keys + 1
  while low < high do
    local middle = (low + high) // 2
    if keys[middle] < key then low = middle + 1 else high = middle end
  end
  return low
end

local function make_entry(object, bytes)
  local metadata = object.metadata
  return {
    key = key_of(metadata.namespace, metadata.name), namespace = metadata.namespace, name = metadata.name,
    uid = metadata.uid, generation = metadata.generation,
    labels = json.is_object(metadata.labels) and metadata.labels or {},
    revision = math.tointeger(tonumber(metadata.resourceVersion)), bytes = bytes,
  }
end

local function record(self, kind, event)
  kind.last = kind.last + 1
  kind.history[kind.last] = event
  while kind.last - kind.first >= self.options.history_events do
    kind.compacted = kind.history[kind.first].revision
    kind.history[kind.first] = nil
    kind.first = kind.first + 1
  end
end

local function place(kind, entry)
  local previous = kind.entries[entry.key]
  if not previous then table.insert(kind.keys, position_of(kind.keys, entry.key), entry.key) end
  kind.entries[entry.key] = entry
  return previous
end

local function announce(self, plural, event)
  for _, listener in ipairs(self.listeners) do listener(plural, event) end
end

local function commit(self, plural, entry)
  local kind = self.kinds[plural]
  local previous = place(kind, entry)
  local event = { type = previous and "MODIFIED" or "ADDED", revision = entry.revision, entry = entry,
    previous = previous }
  record(self, kind, event)
  announce(self, plural, event)
  return entry
end

function store:get(plural, namespace, name) return self.kinds[plural].entries[key_of(namespace, name)] end

--- The entry's object, a fresh copy each time.
function store.object(entry) return json.read(entry.bytes) end

--- Writes the object at the next revision and tells the watches. Its resourceVersion is set in place.
function store:put(plural, object)
  self.revision = self.revision + 1
  object.metadata.resourceVersion = tostring(self.revision)
  return commit(self, plural, make_entry(object, json.encode(object)))
end

--- The same for an object that is known by its entry's fields and by bytes that hold some resourceVersion.
function store:put_bytes(plural, entry, bytes)
  self.revision = self.revision + 1
  entry.key, entry.revision = key_of(entry.namespace, entry.name), self.revision
  entry.bytes = store.at_revision(bytes, self.revision)
  return commit(self, plural, entry)
end

--- An object's bytes with another resourceVersion, without decoding them.
function store.at_revision(bytes, revision)
  local _, key = bytes:find('"resourceVersion"', 1, true)
  local first, last = bytes:find('"%d*"', key + 1)
  return bytes:sub(1, first) .. ("%d"):format(revision) .. bytes:sub(last)
end

--- The entry as it would stand at a later revision.
local function at(entry, revision)
  local new = {}
  for field, value in pairs(entry) do new[field] = value end
  new.revision, new.bytes = revision, store.at_revision(entry.bytes, revision)
  return new
end

--- Writes an entry again with nothing but a new revision, without decoding it.
function store:touch(plural, entry)
  self.revision = self.revision + 1
  return commit(self, plural, at(entry, self.revision))
end

--- Takes the object over with exactly these bytes. One that is not newer than the store has always been there: the
--- watches hear nothing of it.
function store:adopt(plural, object, bytes)
  local entry = make_entry(object, bytes)
  if entry.revision > self.revision then
    self.revision = entry.revision
    return commit(self, plural, entry)
  end
  place(self.kinds[plural], entry)
  return entry
end

function store:delete(plural, entry)
  local kind = self.kinds[plural]
  self.revision = self.revision + 1
  local last = at(entry, self.revision)
  kind.entries[entry.key] = nil
  table.remove(kind.keys, position_of(kind.keys, entry.key))
  local event = { type = "DELETED", revision = self.revision, entry = last, previous = entry }
  record(self, kind, event)
  announce(self, plural, event)
  return last
end

--- All entries in the order of their keys, and the revision that they show. Kept for the pages of one list; a later
--- write makes a new one. Never changed by the caller.
function store:snapshot(plural)
  local kind = self.kinds[plural]
  local newest = kind.snapshots[#kind.snapshots]
  if newest and newest.revision == self.revision then return newest end
  local entries = {}
  for index, key in ipairs(kind.keys) do entries[index] = kind.entries[key] end
  return { revision = self.revision, entries = entries }
end

--- Keeps the snapshot for the pages to come.
function store:keep(plural, snapshot)
  local snapshots = self.kinds[plural].snapshots
  if snapshots[#snapshots] == snapshot then return end
  snapshots[#snapshots + 1] = snapshot
  if #snapshots > SNAPSHOTS then table.remove(snapshots, 1) end
end

--- The kept snapshot of a revision, nil when it is forgotten.
function store:snapshot_at(plural, revision)
  for _, snapshot in ipairs(self.kinds[plural].snapshots) do
    if snapshot.revision == revision then return snapshot end
  end
  return nil
end

--- Index of the first entry whose key is not before key.
function store.seek(snapshot, key)
  local low, high = 1, #snapshot.entries + 1
  while low < high do
    local middle = (low + high) // 2
    if snapshot.entries[middle].key < key then low = middle + 1 else high = middle end
  end
  return low
end

--- The cursor of the first event after revision; nil and the oldest revision that is known when that is too old.
function store:cursor(plural, revision)
  local kind = self.kinds[plural]
  if revision < kind.compacted then return nil, kind.compacted end
  local low, high = kind.first, kind.last + 1
  while low < high do
    local middle = (low + high) // 2
    if kind.history[middle].revision <= revision then low = middle + 1 else high = middle end
  end
  return low
end

--- The event at the cursor: nil when there is none yet, false when it is forgotten already.
function store:event(plural, cursor)
  local kind = self.kinds[plural]
  if cursor > kind.last then return nil end
  return kind.history[cursor] or false
end

--- Forgets all history and every kept list, as etcd does after five minutes.
function store:compact()
  for _, kind in pairs(self.kinds) do
    kind.history, kind.first, kind.compacted = {}, kind.last + 1, self.revision
    kind.snapshots = {}
  end
end

return store
