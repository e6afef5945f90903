--- watch: a stream with a cursor into the store's history.
local clock = require "clock"
local selectors = require "spec.simulator.selectors"
local status = require "spec.simulator.status"
local store = require "spec.simulator.store"
local streams = require "spec.simulator.streams"

local BATCH_BYTES <const> = 65536
local DEFAULT_TIMEOUT_S <const> = 1800
--- A stream that is not asked for so long has lost its reader.
local ALIVE_MS <const> = 1000

local watch = {}

local function line(kind, bytes) return ('{"type":"%s","object":%s}\n'):format(kind, bytes) end

--- An event's line as this watch sees it: what enters its selector is added for it, what leaves is deleted, as it was
--- before but at the new revision. nil when the watch does not see it at all.
local function seen(event, matches)
  if not matches then return line(event.type, event.entry.bytes) end
  local is = event.type ~= "DELETED" and matches(event.entry)
  local was = event.previous ~= nil and matches(event.previous)
  if is then return line(was and "MODIFIED" or "ADDED", event.entry.bytes) end
  if was then return line("DELETED", store.at_revision(event.previous.bytes, event.revision)) end
  return nil
end

local function selector_of(target)
  local matches, malformed = selectors.parse(target.parameters)
  if malformed then return nil, malformed end
  local namespace = target.namespace
  if not namespace then return matches end
  return function(entry) return entry.namespace == namespace and (not matches or matches(entry)) end
end

local function initial(world, plural, matches)
  local lines = {}
  for _, entry in ipairs(world.store:snapshot(plural).entries) do
    if not matches or matches(entry) then lines[#lines + 1] = line("ADDED", entry.bytes) end
  end
  return table.concat(lines)
end

--- A bookmark each minute, and one 2 s before the end.
local function next_bookmark(options, now, deadline)
  local periodic, last = now + options.bookmark_ms, deadline - options.bookmark_lead_ms
  if last > now and periodic > last then return last end
  return periodic
end

local function bookmark(world, resource)
  return line("BOOKMARK", ('{"apiVersion":"%s","kind":"%s","metadata":{"resourceVersion":"%d"}}'):format(
    resource.api_version, resource.kind, world.store.revision))
end

--- The events that wait, up to a batch; nil when the watch has fallen out of the history.
local function drain(world, state)
  local lines, bytes = {}, 0
  while bytes < BATCH_BYTES do
    local event = world.store:event(state.plural, state.cursor)
    if event == false then return nil end
    if not event then break end
    state.cursor = state.cursor + 1
    local text = seen(event, state.matches)
    if text then
      lines[#lines + 1] = text
      bytes = bytes + #text
    end
  end
  return table.concat(lines)
end

local function stream(world, state)
  return function()
    local now = clock.monotonic_ms()
    world.watches[state] = now
    world:advance()
    if state.epoch ~= world.epoch then return nil end
    if state.initial then
      local lines = state.initial
      state.initial = nil
      if lines ~= "" then return lines end
    end
    local lines = drain(world, state)
    if not lines then return nil end
    if lines ~= "" then return lines end
    if state.bookmarks and now >= state.bookmark_ms then
      state.bookmark_ms = next_bookmark(world.options, now, state.deadline_ms)
      return bookmark(world, state.resource)
    end
    if now >= state.deadline_ms then return nil end
    return false
  end
end

--- How many watches are still asked for their events; forgets the others.
function watch.count(world)
  local count, now = 0, clock.monotonic_ms()
  for state, asked_ms in pairs(world.watches) do
    if now - asked_ms < ALIVE_MS then
      count = count + 1
    else
      world.watches[state] = nil
    end
  end
  return count
end

function watch.open(world, target)
  local resource, parameters = target.resource, target.parameters
  local matches, malformed = selector_of(target)
  if malformed then return status.bad_request(malformed) end
  local text = parameters.resourceVersion or ""
  local revision = text == "" and 0 or math.tointeger(tonumber(text))
  if not revision then
    return status.bad_request(('Invalid value: "%s": strconv.ParseUint: invalid syntax'):format(text))
  end
  local answer = status.answer(200)
  local now = clock.monotonic_ms()
  local state = { resource = resource, plural = resource.plural, epoch = world.epoch, matches = matches,
    bookmarks = parameters.allowWatchBookmarks == "true" or parameters.allowWatchBookmarks == "1",
    deadline_ms = now + (tonumber(parameters.timeoutSeconds) or DEFAULT_TIMEOUT_S) * 1000 }
  state.bookmark_ms = next_bookmark(world.options, now, state.deadline_ms)
  if revision == 0 then
    state.initial = initial(world, resource.plural, matches)
    revision = world.store.revision
  end
  local cursor, oldest = world.store:cursor(resource.plural, revision)
  if not cursor then
    answer.stream = streams.once(line("ERROR", status.encode(status.too_old(revision, oldest))))
    return answer
  end
  state.cursor = cursor
  watch.count(world)
  world.watches[state] = now
  answer.stream = stream(world, state)
  return answer
end

return watch
