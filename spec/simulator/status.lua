--- Answers of the API server: its headers, and the Status bodies of its failures.
local json = require "spec.simulator.json"

local status = {}

local STATUS_ORDER <const> = { "kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code" }
local DETAILS_ORDER <const> = { "name", "group", "kind", "uid", "causes", "retryAfterSeconds" }
local CAUSE_ORDER <const> = { "reason", "message", "field" }

local function object(fields)
  local details = fields.details
  if details then
    if details.causes then
      local causes = json.array {}
      for index, cause in ipairs(details.causes) do causes[index] = json.ordered(CAUSE_ORDER, cause) end
      details.causes = causes
    end
    details = json.ordered(DETAILS_ORDER, details)
  end
  return json.ordered(STATUS_ORDER, {
    kind = "Status", apiVersion = "v1", metadata = fields.metadata or json.object {},
    status = fields.status or "Failure", message = fields.message, reason = fields.reason, details = details,
    code = fields.code,
  })
end

--- The JSON of a Status, without the newline that ends an answer.
function status.encode(fields) return json.encode(object(fields)) end

--- An answer with the headers that every answer of the API server has.
function status.answer(code, body, headers)
  local all = {
    ["Cache-Control"] = "no-cache, private",
    ["Content-Type"] = "application/json",
    ["X-Kubernetes-Pf-Flowschema-Uid"] = "0c7f9edf-902d-4af3-a51a-6bcf3b821025",
    ["X-Kubernetes-Pf-Prioritylevel-Uid"] = "d22ee90c-2a9b-48be-87c7-fc2835e9c963",
  }
  for name, value in pairs(headers or {}) do all[name] = value or nil end
  return { status = code, headers = all, body = body }
end

function status.failure(fields, headers)
  return status.answer(fields.code, status.encode(fields) .. "\n", headers)
end

local function subject(resource, name) return { name = name, group = resource.group ~= "" and resource.group or nil,
  kind = resource.plural } end

function status.unauthorized()
  return status.failure({ code = 401, reason = "Unauthorized", message = "Unauthorized" }, {
    ["X-Kubernetes-Pf-Flowschema-Uid"] = false, ["X-Kubernetes-Pf-Prioritylevel-Uid"] = false,
  })
end

--- attributes: user, verb, resource (its record, or just { group, plural, qualified }), subresource, namespace, name.
function status.forbidden(attributes)
  local resource = attributes.resource
  local suffix = attributes.subresource and "/" .. attributes.subresource or ""
  local message = ('%s%s is forbidden: User "%s" cannot %s resource "%s%s" in API group "%s" %s'):format(
    resource.qualified, attributes.name and (' "%s"'):format(attributes.name) or "", attributes.user, attributes.verb,
    resource.plural, suffix, resource.group,
    attributes.namespace and ('in the namespace "%s"'):format(attributes.namespace) or "at the cluster scope")
  return status.failure({
    code = 403, reason = "Forbidden", message = message, details = subject(resource, attributes.name),
  }, { ["X-Content-Type-Options"] = "nosniff" })
end

function status.bad_request(message)
  return status.failure { code = 400, reason = "BadRequest", message = message }
end

function status.not_found(resource, name)
  return status.failure {
    code = 404, reason = "NotFound", message = ('%s "%s" not found'):format(resource.qualified, name),
    details = subject(resource, name),
  }
end

function status.method_not_allowed(resource, verb)
  return status.failure {
    code = 405, reason = "MethodNotAllowed",
    message = ('%s is not supported on resources of kind "%s"'):format(verb, resource.qualified),
    details = subject(resource),
  }
end

function status.not_acceptable()
  return status.failure {
    code = 406, reason = "NotAcceptable",
    message = "only the following media types are accepted: application/json, application/yaml",
  }
end

function status.conflict(resource, name, why)
  return status.failure {
    code = 409, reason = "Conflict", details = subject(resource, name),
    message = ('Operation cannot be fulfilled on %s "%s": %s'):format(resource.qualified, name, why or
      "the object has been modified; please apply your changes to the latest version and try again"),
  }
end

function status.already_exists(resource, name)
  return status.failure {
    code = 409, reason = "AlreadyExists", message = ('%s "%s" already exists'):format(resource.qualified, name),
    details = subject(resource, name),
  }
end

function status.unsupported_media_type(accepted)
  return status.failure {
    code = 415, reason = "UnsupportedMediaType",
    message = "the body of the request was in an unknown format - accepted media types include: " .. accepted,
  }
end

--- One cause of a refusal. Its reason is one of Go's field errors; its message carries the value already.
function status.cause(reason, field, message)
  return { reason = "FieldValue" .. reason, field = field, message = message }
end

--- Causes that say the same are said once in the message. prefix stands before it where an admission webhook refused.
function status.invalid(resource, name, causes, prefix)
  local messages, said = {}, {}
  for _, cause in ipairs(causes) do
    local message = cause.field .. ": " .. cause.message
    if not said[message] then messages[#messages + 1] = message end
    said[message] = true
  end
  local text = table.concat(messages, ", ")
  if #messages > 1 then text = "[" .. text .. "]" end
  return status.failure {
    code = 422, reason = "Invalid",
    message = ('%s%s "%s" is invalid: %s'):format(prefix or "", resource.qualified_kind, name, text),
    details = { name = name, group = resource.group, kind = resource.kind, causes = causes },
  }
end

--- What becomes of a patch when an admission webhook cannot even read the object.
function status.webhook_error(webhook, message)
  return status.failure {
    code = 400, message = ('admission webhook "%s" denied the request: %s'):format(webhook, message),
  }
end

function status.too_old(requested, oldest)
  return { code = 410, reason = "Expired",
    message = ("too old resource version: %d (%d)"):format(requested, oldest) }
end

--- The plain text of the API server's router for a path that it does not serve.
function status.no_such_path()
  return status.answer(404, "404 page not found\n", {
    ["Content-Type"] = "text/plain; charset=utf-8", ["X-Content-Type-Options"] = "nosniff",
  })
end

return status
