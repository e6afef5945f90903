--- Every request: find its route, learn who calls, read its body, load and AUTHORIZE, run.
local json = require "json"
local access = require "scripts.access"
local identity = require "scripts.identity"
local read_only = require "scripts.read_only"
local reply = require "scripts.reply"
local router = require "scripts.router"
local text = require "scripts.text"

local match = router.new(require "scripts.routes")

local function unidentified(request, failure)
  if failure.code ~= "unauthenticated" then return reply.upstream(request, "Domino", failure) end
  return reply.problem(request, "unauthenticated", failure.message, { headers = { ["WWW-Authenticate"] = "Bearer" } })
end

local function is_json(media_type)
  if media_type == "application/json" then return true end
  if not media_type then return false end
  local stop = media_type:find(";", 1, true)
  return text.trim(media_type:sub(1, stop and stop - 1)):lower() == "application/json"
end

--- Reads the body into the context, or returns the answer that refuses it.
local function read_body(ctx)
  local request = ctx.request
  if not is_json(request:header("Content-Type")) then
    return reply.problem(request, "unsupported_media_type",
      "send the body as JSON, with the header Content-Type: application/json",
      { headers = { Accept = "application/json" } })
  end
  local value, message = json.decode(request.body)
  local fault
  if value == nil then
    fault = "is not valid JSON: " .. message
  elseif type(value) ~= "table" or request.body:find("^%s*%[") then -- [] decodes to the same table as {}
    fault = "must be a JSON object"
  end
  if fault then return reply.bad_request(request, { { field = "body", message = fault } }) end
  local errors
  ctx.body, errors = ctx.route.body(value)
  return errors and reply.bad_request(request, errors)
end

local function check_path(ctx)
  local field = ctx.route.field
  local fault = text.name_fault(ctx.parameters[field])
  return fault and reply.bad_request(ctx.request, { { field = field, message = fault } })
end

local function serve(request, route, parameters)
  local caller, failure = identity.caller(request)
  if not caller then return unidentified(request, failure) end
  local ctx = { request = request, route = route, caller = read_only(caller, "caller"), parameters = parameters }
  local response = (route.body and read_body(ctx)) or (route.source == "path" and check_path(ctx))
    or access.admit(ctx) or route.run(ctx)
  response.caller = caller.id or caller.name
  return response
end

local function unrouted(request, allow)
  if not allow then return reply.problem(request, "not_found", "there is nothing at this path") end
  return reply.problem(request, "method_not_allowed", "this path takes " .. allow, { headers = { Allow = allow } })
end

return function(request)
  local route, parameters = match(request.method, request.path)
  if not route then return unrouted(request, parameters) end
  local response = serve(request, route, parameters)
  response.route = route.path
  return response
end
