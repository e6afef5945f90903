--- The host's cache module for specs without the host. `cache.now_ms` is the clock.
local cache = {}

local entries

function cache.reset()
  cache.now_ms, entries = 0, {}
end

local function copy(value)
  if type(value) ~= "table" then return value end
  local twin = {}
  for key, item in pairs(value) do
    twin[key] = copy(item)
  end
  return twin
end

function cache.fetch(scope, key, ttl_ms, load)
  local slot = scope .. "\0" .. key
  local entry = entries[slot]
  if entry and entry.until_ms > cache.now_ms then return copy(entry.value) end
  local value, failure = load()
  if value == nil then return nil, failure end
  entries[slot] = { value = copy(value), until_ms = cache.now_ms + ttl_ms }
  return value
end

function cache.drop(scope, key)
  entries[scope .. "\0" .. key] = nil
end

cache.reset()
return cache
