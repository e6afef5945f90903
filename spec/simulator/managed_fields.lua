--- metadata.managedFields: who set what, as the API server keeps it for updates and patches.
local json = require "spec.simulator.json"

--- Metadata that belongs to the API server and is owned by nobody.
local unowned <const> = { name = true, namespace = true, uid = true, resourceVersion = true, generation = true,
  creationTimestamp = true, managedFields = true, selfLink = true }

local function is_empty(node) return next(node) == nil end

--- Makes the path a member. A node without children is one by itself; one with children says so by ".".
local function insert(root, path)
  local node = root
  for index, key in ipairs(path) do
    local child = node[key]
    if not child then
      child = json.object {}
      node[key] = child
    elseif is_empty(child) ~= (index == #path) then
      child["."] = json.object {}
    end
    node = child
  end
end

--- Removes the member, and with whole all that lies below it. Returns true when the node itself has to go.
local function remove(node, path, whole, depth)
  depth = depth or 1
  if depth > #path then
    node["."] = nil
    return whole or is_empty(node)
  end
  local child = node[path[depth]]
  if not child or not remove(child, path, whole, depth + 1) then return false end
  node[path[depth]] = nil
  local member = node["."] ~= nil
  if member and next(node, next(node)) == nil then node["."] = nil end
  return not member and is_empty(node)
end

local function extended(path, key)
  local result = table.move(path, 1, #path, 1, {})
  result[#result + 1] = "f:" .. key
  return result
end

local function add_all(value, path, changes)
  changes[#changes + 1] = { path = path }
  if json.is_object(value) then
    for key, child in pairs(value) do add_all(child, extended(path, key), changes) end
  end
end

--- Lists what differs: lists count as one value, maps by their keys.
local function compare(old, new, path, changes, skip)
  if json.is_object(old) and json.is_object(new) then
    for key, value in pairs(new) do
      if not (skip and skip[key]) then
        if old[key] == nil then
          add_all(value, extended(path, key), changes)
        else
          compare(old[key], value, extended(path, key), changes)
        end
      end
    end
    for key in pairs(old) do
      if new[key] == nil and not (skip and skip[key]) then
        changes[#changes + 1] = { path = extended(path, key), removed = true }
      end
    end
  elseif not json.equal(old, new) then
    add_all(new, path, changes)
  end
end

local function differences(old, new, part)
  local changes = {}
  if part == "status" then
    compare(json.object { status = old.status }, json.object { status = new.status }, {}, changes)
  else
    compare(old.metadata or json.object {}, new.metadata, { "f:metadata" }, changes, unowned)
    compare(json.object { spec = old.spec }, json.object { spec = new.spec }, {}, changes)
  end
  return changes
end

local function before(left, right)
  if left.operation ~= right.operation then return left.operation < right.operation end
  if left.time ~= right.time then return left.time < right.time end
  if left.manager ~= right.manager then return left.manager < right.manager end
  return (left.subresource or "") < (right.subresource or "")
end

local function entry_of(entries, manager, subresource)
  for _, entry in ipairs(entries) do
    if entry.manager == manager and entry.operation == "Update" and entry.subresource == subresource then
      return entry
    end
  end
  local entry = json.object { manager = manager, operation = "Update", subresource = subresource,
    fieldsType = "FieldsV1", fieldsV1 = json.object {} }
  entries[#entries + 1] = entry
  return entry
end

--- Sets new.metadata.managedFields for a change from old to new. write: manager, subresource (nil, "status",
--- "scale"), api_version, time. Returns false, and keeps the old fields, when nothing differs.
local function update(old, new, write)
  local changes = differences(old, new, write.subresource)
  local entries = json.copy(json.get(old, "metadata", "managedFields")) or json.array {}
  if #changes > 0 then
    local own = entry_of(entries, write.manager, write.subresource)
    own.apiVersion, own.time = write.api_version, write.time
    for _, change in ipairs(changes) do
      for _, entry in ipairs(entries) do
        if entry ~= own or change.removed then remove(entry.fieldsV1, change.path, change.removed) end
      end
    end
    for _, change in ipairs(changes) do
      if not change.removed then insert(own.fieldsV1, change.path) end
    end
    local kept = json.array {}
    for _, entry in ipairs(entries) do
      if not is_empty(entry.fieldsV1) then kept[#kept + 1] = entry end
    end
    table.sort(kept, before)
    entries = kept
  end
  new.metadata.managedFields = #entries > 0 and entries or nil
  return #changes > 0
end

return { update = update }
