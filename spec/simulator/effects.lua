--- The effects of faults, each a function of the fault and of what it happens to: world, request, target, answer (makes
--- the honest response), now_ms.
local json = require "spec.simulator.json"
local kubernetes = require "spec.simulator.kubernetes"
local status = require "spec.simulator.status"
local streams = require "spec.simulator.streams"

local effects = {}

--- What may stand beside an effect.
effects.parameters = { delay_ms = true, after_events = true, retry_after = true, body = true, content_type = true,
  reason = true, message = true, code = true, ending = true }

local domino_kinds <const> = { principal = true, hardware_tier = true, access_token = true, domino = true }

local failures <const> = {
  [400] = { "BadRequest", "the server rejected our request for an unknown reason" },
  [401] = { "Unauthorized", "Unauthorized" },
  [404] = { "NotFound", "the server could not find the requested resource" },
  [409] = { "Conflict", "the object has been modified; please apply your changes to the latest version and try again" },
  [410] = { "Expired", "The resourceVersion for the provided watch is too old." },
  [422] = { "Invalid", "the server could not process the request" },
  [500] = { "InternalError", "Internal error occurred: etcdserver: request timed out" },
  [503] = { "ServiceUnavailable", "the server is currently unable to handle the request" },
  [504] = { "Timeout", "the server was unable to return a response in the time allotted" },
}

local function kubernetes_failure(fault, context)
  local target, code = context.target, fault.status
  if code == 401 then return status.unauthorized() end
  if code == 403 and target.resource then
    local account = kubernetes.account_of(context.world, context.request) or { user = "system:anonymous" }
    return kubernetes.forbidden(account, target)
  end
  if code == 409 and target.name then return status.conflict(target.resource, target.name) end
  if code == 429 then
    return status.answer(429, "Too many requests, please try again later.\n",
      { ["Content-Type"] = "text/plain; charset=utf-8", ["X-Content-Type-Options"] = "nosniff" })
  end
  local known = failures[code] or { "Unknown", "an error on the server has prevented the request from succeeding" }
  return status.failure { code = code, reason = fault.reason or known[1], message = fault.message or known[2] }
end

local function domino_failure(fault)
  if fault.status < 500 then
    return { status = fault.status, headers = { ["Content-Type"] = "application/json" },
      body = json.encode { message = fault.message or "refused" } }
  end
  return { status = fault.status, headers = { ["Content-Type"] = "text/html" },
    body = ("<html><body><h1>%d</h1></body></html>\n"):format(fault.status) }
end

local by_name = {}
effects.by_name = by_name

--- status = code; body, content_type, reason, message, retry_after (seconds).
function by_name.status(fault, context)
  local response = domino_kinds[context.target.kind] and domino_failure(fault) or kubernetes_failure(fault, context)
  if fault.body then response.body = fault.body end
  if fault.content_type then response.headers["Content-Type"] = fault.content_type end
  if fault.retry_after then response.headers["Retry-After"] = tostring(fault.retry_after) end
  return response
end

--- hang = true: takes the request and never sends a byte.
function by_name.hang()
  return { status = 200, raw = true, stream = streams.silence }
end

--- cut = n: the connection is torn down n bytes into the body (into the event behind after_events, for a watch).
function by_name.cut(fault, context)
  return streams.wrap(context.answer(), streams.stop_after(fault.after_events, fault.cut, "cut"))
end

--- silent = n: as cut, but the connection stays open and nothing more comes.
function by_name.silent(fault, context)
  return streams.wrap(context.answer(), streams.stop_after(fault.after_events, fault.silent, "silent"))
end

--- event = object or text: one more line in a watch's stream behind after_events; ending = "end", "cut" or "silent"
--- says what follows, else the watch goes on.
function by_name.event(fault, context)
  local text = type(fault.event) == "string" and fault.event or json.encode(fault.event) .. "\n"
  return streams.wrap(context.answer(), streams.inject(fault.after_events, text, fault.ending))
end

--- expired = true: the watch ends with an ERROR event that says 410.
function by_name.expired(fault, context)
  local text = ('{"type":"ERROR","object":%s}\n'):format(status.encode(status.too_old(1, context.world.store.revision)))
  return streams.wrap(context.answer(), streams.inject(fault.after_events, text, "end"))
end

--- slow = n: the honest body, n bytes a second.
function by_name.slow(fault, context)
  return streams.wrap(context.answer(), streams.slow(fault.slow, context.now_ms))
end

--- endless = n: a body of n bytes of JSON that never closes.
function by_name.endless(fault)
  return { status = 200, headers = { ["Content-Type"] = "application/json" }, stream = streams.endless(fault.endless) }
end

--- redirect = location, code = 302.
function by_name.redirect(fault)
  return { status = fault.code or 302, headers = { Location = fault.redirect }, body = "" }
end

--- content_length = n: claims n bytes more (or fewer) than are sent, then closes.
function by_name.content_length(fault, context)
  return streams.claim(context.answer(), fault.content_length)
end

--- raw = bytes: these bytes, then the end of the connection.
function by_name.raw(fault)
  return { status = 200, raw = true, stream = streams.once(fault.raw) }
end

--- answer = text, code = 200: an answer with just this body, also "".
function by_name.answer(fault)
  return { status = fault.code or 200, headers = { ["Content-Type"] = fault.content_type or "application/json" },
    body = fault.answer }
end

--- deep_json = n: arrays in arrays, n deep.
function by_name.deep_json(fault)
  local depth = fault.deep_json
  return { status = 200, headers = { ["Content-Type"] = "application/json" },
    body = { ("["):rep(depth), ("]"):rep(depth) } }
end

--- touch = true: somebody else writes the object just before the request is handled.
function by_name.touch(_, context)
  local target, store = context.target, context.world.store
  local entry = target.name and store:get(target.resource.plural, target.namespace, target.name)
  if entry then store:touch(target.resource.plural, entry) end
  return context.answer()
end

--- compact = true: history is forgotten just before the request is handled.
function by_name.compact(_, context)
  context.world.store:compact()
  return context.answer()
end

return effects
