--- Counts what was asked, for specs that assert how little was.
local requests = {}
requests.__index = requests

local WATCHED_HEADERS <const> = { "Accept", "Authorization", "Cookie", "Traceparent", "Tracestate", "User-Agent",
  "X-Domino-Api-Key", "X-Request-Id" }

function requests.new() return setmetatable({ total = 0, kinds = {}, resources = {}, last = {} }, requests) end

--- FNV-1a: enough to tell credentials apart without showing them.
local function fingerprint(text)
  local hash = 0xcbf29ce484222325
  for index = 1, #text do hash = (hash ~ text:byte(index)) * 0x100000001b3 end
  return ("%016x"):format(hash)
end

--- What says which request of whom this one belongs to; not secret, so it is shown.
local function trace_of(request)
  return { traceparent = request:header "Traceparent", tracestate = request:header "Tracestate",
    request_id = request:header "X-Request-Id" }
end

local function headers_of(request)
  local names, hashes = {}, {}
  for _, name in ipairs(WATCHED_HEADERS) do
    local value = request:header(name)
    if value then
      names[#names + 1] = name
      hashes[name] = fingerprint(value)
    end
  end
  return { headers = names, hashes = hashes, trace = trace_of(request) }
end

local function increment(counts, name) counts[name] = (counts[name] or 0) + 1 end

function requests:count(request, target)
  self.total = self.total + 1
  increment(self.kinds, target.kind)
  if target.resource then increment(self.resources, target.verb .. " " .. target.resource.plural) end
  self.last[target.kind] = headers_of(request)
end

return requests
