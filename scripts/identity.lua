--- Who is calling: Domino says, by the caller's own credential. Fails closed: whoever Domino cannot vouch for, for
--- whatever reason, is nobody. The credential goes to Domino and nowhere else.
local cache = require "cache"
local config = require "config"
local http = require "http"
local json = require "json"
local metrics = require "metrics"
local trim = require("scripts.text").trim

local identity = {}

local url = config.domino_nucleus_uri .. "/v4/auth/principal"
local ttl_ms = config.identity_ttl_seconds * 1000
local KEPT = { beyond_rules = true } -- who a caller is says Domino alone

local MAX_ATTEMPTS = 3 -- a GET may be asked again; at once, as the request's deadline runs
local MAX_ANSWER_BYTES = 1024 * 1024

local again_after = { connect = true, protocol = true }
local again_on = { [502] = true, [503] = true, [504] = true }

local loads = metrics.counter("rayclusterscaler_identity_total", "Answers of Domino to who is calling", { "result" })

--- The one header that goes on to Domino; nil when the caller sent no credential.
---@return string? name
---@return string? value
local function credential(request)
  local value = request:header("X-Domino-Api-Key")
  value = value and trim(value)
  if value and value ~= "" then return "X-Domino-Api-Key", value end
  value = request:header("Authorization")
  value = value and trim(value)
  -- A scheme alone is what a notebook sends when its token is the empty string.
  if value and value:find(" ", 1, true) then return "Authorization", value end
  return nil
end

local function ask(name, value)
  local options = {
    headers = { [name] = value, Accept = "application/json" },
    max_bytes = MAX_ANSWER_BYTES,
    target = "domino",
  }
  local answer, failure
  for _ = 1, MAX_ATTEMPTS do
    answer, failure = http.get(url, options)
    if answer then
      if not again_on[answer.status] or answer.headers["retry-after"] then break end
    elseif not again_after[failure.code] then
      break
    end
  end
  return answer, failure
end

--- Retry-After in seconds; nil when it is a date, which nothing here can compare with now.
local function seconds(header)
  return header and #header <= 4 and not header:find("%D") and math.tointeger(tonumber(header)) or nil
end

--- A principal from Domino's answer: `{ anonymous = true }`, or a caller; nil and a failure when it is neither.
local function read(answer)
  local status = answer.status
  if status == 401 or status == 403 then return { anonymous = true } end
  if status == 429 or (status == 503 and answer.headers["retry-after"]) then
    return nil, { code = "throttled", message = "told to wait", status = status,
                  retry_after = seconds(answer.headers["retry-after"]) }
  end
  if status ~= 200 then return nil, { code = "unavailable", message = "unexpected status", status = status } end

  local principal = json.decode(answer.body)
  if type(principal) ~= "table" or type(principal.isAnonymous) ~= "boolean" then
    return nil, { code = "bad_answer", message = "not a principal", status = status }
  end
  if principal.isAnonymous then return { anonymous = true } end
  local admin = principal.isAdmin
  if admin ~= nil and admin ~= json.null and type(admin) ~= "boolean" then
    return nil, { code = "bad_answer", message = "isAdmin is no boolean", status = status }
  end
  local id, label = principal.canonicalId, principal.canonicalName
  return {
    id = type(id) == "string" and id ~= "" and id or nil,
    name = type(label) == "string" and label ~= "" and label or nil,
    admin = admin == true,
  }
end

local function load(name, value)
  local answer, failure = ask(name, value)
  local principal
  if answer then
    principal, failure = read(answer)
  else
    local code = failure.code == "timeout" and "timeout" or "unavailable"
    failure = { code = code, message = failure.code .. ": " .. failure.message }
  end
  loads:add(1, principal and (principal.anonymous and "anonymous" or "authenticated") or failure.code)
  return principal, failure
end

---@return caller? caller
---@return { code: string, message: string }? failure code `unauthenticated`, or why Domino could not be asked
function identity.caller(request)
  local name, value = credential(request)
  if not name then
    return nil, { code = "unauthenticated", message = "send a Domino access token as Authorization: Bearer <token>, "
                  .. "or an API key as X-Domino-Api-Key" }
  end
  local principal, failure = cache.fetch("identity", name .. "\0" .. value, ttl_ms, function()
    return load(name, value)
  end, KEPT)
  if not principal then return nil, failure end
  if principal.anonymous then
    return nil, { code = "unauthenticated", message = "Domino does not accept this credential; a token expires after "
                  .. "some minutes, so fetch a new one" }
  end
  return principal
end

return identity
