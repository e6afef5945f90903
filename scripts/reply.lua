--- Answers. Errors are problem details (RFC 9457) that also carry `error`, `message` and `requestId`.
local json = require "json"
local log = require "log"
local etag = require "scripts.etag"

local reply = {}

--- By `error`: status and title.
local problems = {
  bad_request = { 400, "Bad request" },
  unauthenticated = { 401, "Not authenticated" },
  unauthorized = { 403, "Not allowed" },
  refused_by_policy = { 403, "Refused by a rule" },
  not_found = { 404, "Not found" },
  method_not_allowed = { 405, "Method not allowed" },
  conflict = { 409, "Changed by somebody else meanwhile" },
  not_scalable = { 409, "Not scalable" },
  precondition_failed = { 412, "Changed since it was read" },
  unsupported_media_type = { 415, "Not JSON" },
  rejected_by_cluster = { 422, "Rejected by the cluster" },
  upstream_failed = { 502, "A system behind this one failed" },
}

---@class problem_options
---@field status integer? other than the error's usual one
---@field headers table<string, string>?
---@field errors { field: string, message: string }[]? what is wrong with which field of the request
---@field causes table[]? what the cluster objects to

---@param request table
---@param error string
---@param detail string for the caller: what happened, and what can be done
---@param options problem_options?
function reply.problem(request, error, detail, options)
  local problem = problems[error]
  local status = options and options.status or problem[1]
  local headers = options and options.headers or {}
  headers["Content-Type"] = "application/problem+json"
  return {
    status = status,
    error = error,
    headers = headers,
    body = json.encode {
      type = "urn:rayclusterscaler:problem:" .. error,
      title = problem[2],
      status = status,
      detail = detail,
      error = error,
      message = detail,
      requestId = request.id,
      errors = options and options.errors and json.array(options.errors),
      causes = options and options.causes and json.array(options.causes),
    },
  }
end

---@param request table
---@param errors { field: string, message: string }[]
function reply.bad_request(request, errors)
  local sentences = {}
  for i, fault in ipairs(errors) do
    sentences[i] = fault.field .. " " .. fault.message
  end
  return reply.problem(request, "bad_request", table.concat(sentences, "; "), { errors = errors })
end

--- An object, as the API server wrote it.
---@param object kube.object
function reply.object(object)
  return { status = 200, headers = { ETag = etag.of(object) }, body = object }
end

function reply.not_modified(object)
  return { status = 304, headers = { ETag = etag.of(object) }, body = "" }
end

--- `{"<key>":[…]}` around the objects' own bytes.
---@param key string
---@param objects kube.object[]
function reply.list(key, objects)
  local body, last = { '{"' .. key .. '":[' }, 1
  for i = 1, #objects do
    if i > 1 then
      last = last + 1
      body[last] = ","
    end
    last = last + 1
    body[last] = objects[i]
  end
  body[last + 1] = "]}"
  return { status = 200, body = body }
end

--- Told to wait without being told how long.
local DEFAULT_WAIT_S = 1

--- What a failure of Domino or Kubernetes means for the caller. Its own words go to the log, unless they are about the
--- caller's own request.
---@param request table
---@param target "Domino"|"Kubernetes"
---@param failure { code: string, message: string?, status: integer?, retry_after: integer?, causes: table[]? }
---@param note string? what else the caller should know
function reply.upstream(request, target, failure, note)
  local code = failure.code
  if code == "not_found" then
    return reply.problem(request, "not_found", "there is no such cluster")
  elseif code == "conflict" then
    return reply.problem(request, "conflict", "the cluster is being changed by somebody else; try again")
  elseif code == "invalid" then
    return reply.problem(request, "rejected_by_cluster", failure.message, { causes = failure.causes })
  end

  log.warn("upstream failed", { target = target, code = code, status = failure.status, reason = failure.message })
  local status, detail, headers = nil, target .. " failed to answer", nil
  if code == "timeout" then
    status, detail = 504, target .. " did not answer in time"
  elseif code == "throttled" then
    local wait = math.max(failure.retry_after or DEFAULT_WAIT_S, 1)
    headers = { ["Retry-After"] = ("%d"):format(wait) }
    status, detail = 503, ("%s is busy; try again in %d s"):format(target, wait)
  elseif code == "forbidden" then
    detail = "this service lacks a right in " .. target .. "; an administrator has to grant it"
  elseif code == "unauthorized" then
    detail = target .. " does not accept this service's own credential"
  end
  return reply.problem(request, "upstream_failed", note and detail .. "; " .. note or detail,
    { status = status, headers = headers })
end

return reply
