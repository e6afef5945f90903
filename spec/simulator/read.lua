--- get and list.
local base64 = require "spec.simulator.base64"
local json = require "spec.simulator.json"
local selectors = require "spec.simulator.selectors"
local status = require "spec.simulator.status"
local store = require "spec.simulator.store"

local EXPIRED <const> = "The provided continue parameter is too old to display a consistent list result. You can "
  .. "start a new list without the continue parameter, or use the continue token in this response to retrieve the "
  .. "remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were "
  .. "created, modified, or deleted between the time the first chunk was returned and now may show up in the list."

local read = {}

function read.get(world, target)
  local entry = world.store:get(target.resource.plural, target.namespace, target.name)
  if not entry then return status.not_found(target.resource, target.name) end
  return status.answer(200, entry.bytes .. "\n")
end

local function token(revision, start)
  return base64.encode(json.encode(json.ordered({ "v", "rv", "start" },
    { v = "meta.k8s.io/v1", rv = revision, start = start })))
end

local function read_token(text)
  local content = base64.decode(text)
  local value = content and json.decode(content)
  if not json.is_object(value) or type(value.start) ~= "string" or math.type(value.rv) ~= "integer" then return nil end
  return value
end

--- Where the list goes on: the snapshot, the index of its next entry, and an answer when neither can be had.
local function resume(world, target, prefix)
  local plural = target.resource.plural
  local text = target.parameters.continue or ""
  if text == "" then
    local snapshot = world.store:snapshot(plural)
    return snapshot, store.seek(snapshot, prefix)
  end
  local position = read_token(text)
  if not position then return nil, nil, status.bad_request "continue key is not valid" end
  local snapshot
  if position.rv < 0 then
    snapshot = world.store:snapshot(plural)
  else
    snapshot = world.store:snapshot_at(plural, position.rv)
  end
  if not snapshot then
    return nil, nil, status.failure { code = 410, reason = "Expired", message = EXPIRED,
      metadata = json.object { continue = token(-1, position.start) } }
  end
  return snapshot, store.seek(snapshot, prefix .. position.start)
end

--- The first pieces of a list; a page's entries follow.
local function envelope(resource, metadata)
  if resource.group == "" then
    return ('{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":['):format(resource.kind, resource.api_version,
      json.encode(json.ordered({ "resourceVersion", "continue", "remainingItemCount" }, metadata))), "]}\n"
  end
  metadata.continue = metadata.continue or ""
  return ('{"apiVersion":"%s","items":['):format(resource.api_version),
    ('],"kind":"%sList","metadata":%s}\n'):format(resource.kind, json.encode(json.object(metadata)))
end

--- Items of built-in types say neither kind nor apiVersion in a list.
local function item(resource, entry)
  if resource.group ~= "" then return entry.bytes end
  return (entry.bytes:gsub('^{"kind":"%w+","apiVersion":"[^"]+",', "{", 1))
end

local function collect(snapshot, index, prefix, matches, limit)
  local page = {}
  local entries = snapshot.entries
  while entries[index] and entries[index].key:sub(1, #prefix) == prefix do
    if limit and #page == limit then return page, index end
    if not matches or matches(entries[index]) then page[#page + 1] = entries[index] end
    index = index + 1
  end
  return page
end

local function count_from(snapshot, index, prefix)
  local after = prefix == "" and #snapshot.entries + 1 or store.seek(snapshot, prefix:sub(1, -2) .. "0")
  return after - index
end

function read.list(world, target)
  local resource, parameters = target.resource, target.parameters
  local matches, malformed = selectors.parse(parameters)
  if malformed then return status.bad_request(malformed) end
  if (parameters.continue or "") ~= "" and (parameters.resourceVersion or "") ~= "" then
    return status.bad_request "specifying resource version is not allowed when using continue"
  end
  local limit = math.tointeger(tonumber(parameters.limit))
  -- With resourceVersion 0 the watch cache answers, which knows no pages.
  if limit and (limit <= 0 or parameters.resourceVersion == "0") then limit = nil end
  local prefix = target.namespace and target.namespace .. "/" or ""
  local snapshot, index, failure = resume(world, target, prefix)
  if not snapshot then return failure end
  local page, next_index = collect(snapshot, index, prefix, matches, limit)
  local metadata = { resourceVersion = tostring(snapshot.revision) }
  if next_index then
    world.store:keep(resource.plural, snapshot)
    metadata.continue = token(snapshot.revision, page[#page].key:sub(#prefix + 1) .. "\0")
    if not matches then metadata.remainingItemCount = count_from(snapshot, next_index, prefix) end
  end
  local head, tail = envelope(resource, metadata)
  local body = { head }
  for position, entry in ipairs(page) do
    if position > 1 then body[#body + 1] = "," end
    body[#body + 1] = item(resource, entry)
  end
  body[#body + 1] = tail
  return status.answer(200, body)
end

return read
