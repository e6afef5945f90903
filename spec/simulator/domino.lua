--- Domino: who a credential belongs to, and the hardware tiers.
local json = require "spec.simulator.json"

local domino = {}

local PRINCIPAL <const> = { "isAnonymous", "isAdmin", "canonicalId", "canonicalName", "allowedSystemOperations",
  "featureFlags", "booleanSettings" }

local function answer(code, body, content_type)
  return { status = code, headers = { ["Content-Type"] = content_type or "application/json" }, body = body }
end

--- fields: isAnonymous, isAdmin, canonicalId, canonicalName; what is missing is left out of the answer.
function domino.principal(fields)
  return json.encode(json.ordered(PRINCIPAL, {
    isAnonymous = fields.isAnonymous or false, isAdmin = fields.isAdmin or false,
    canonicalId = fields.canonicalId, canonicalName = fields.canonicalName,
    allowedSystemOperations = json.array(fields.isAdmin and { "ActAsProjectAdmin" } or {}),
    featureFlags = json.array {}, booleanSettings = json.array {},
  }))
end

local ANONYMOUS <const> = domino.principal { isAnonymous = true }

--- The answers by credential: the demo's people and the oddities that Domino is known to answer.
function domino.identities(people)
  local answers = {
    ["demo-without-id-token"] = domino.principal {},
    ["demo-null-id-token"] = domino.principal { canonicalId = json.null, canonicalName = json.null },
    ["demo-empty-id-token"] = domino.principal { canonicalId = "", canonicalName = "" },
    ["demo-anonymous-admin-token"] = domino.principal { isAnonymous = true, isAdmin = true },
  }
  for _, person in ipairs(people) do
    answers[person.token] = domino.principal { isAdmin = person.role == "admin", canonicalId = person.id,
      canonicalName = person.name }
  end
  return answers
end

--- The credential that counts: the API key, else the bearer token.
function domino.credential_of(request)
  return request:header "X-Domino-Api-Key" or (request:header "Authorization" or ""):match "^[Bb]earer +(%S+)%s*$"
end

local HARDWARE_TIER_ORDER <const> = { "id", "name", "nodePool", "hwtResources", "gpuConfiguration",
  "computeClusterRestrictions", "hwtFlags" }

local function hardware_tier(id, name, cores, gigabytes, gpus)
  local memory = json.ordered({ "value", "unit" }, { value = gigabytes, unit = "GiB" })
  return json.ordered(HARDWARE_TIER_ORDER, {
    id = id, name = name, nodePool = gpus > 0 and "default-gpu" or "default",
    hwtResources = json.ordered({ "cores", "coresLimit", "memory", "memoryLimit" },
      { cores = cores, coresLimit = cores, memory = memory, memoryLimit = memory }),
    gpuConfiguration = json.ordered({ "numberOfGpus", "gpuKey" }, { numberOfGpus = gpus, gpuKey = "nvidia.com/gpu" }),
    computeClusterRestrictions = { restrictToSpark = false, restrictToRay = false, restrictToDask = false,
      restrictToMpi = false },
    hwtFlags = { isDefault = id == "small-k8s", isVisible = true, isArchived = false },
  })
end

local HARDWARE_TIERS <const> = json.encode { hardwareTiers = json.array {
  hardware_tier("small-k8s", "Small", 1, 4, 0),
  hardware_tier("medium-k8s", "Medium", 4, 15, 0),
  hardware_tier("gpu-small-k8s", "GPU (small)", 4, 60, 1),
} }

function domino.answer(world, request, target)
  local method = request.method
  if method ~= "GET" and method ~= "HEAD" then return answer(405, '{"message":"method not allowed"}') end
  if target.kind == "access_token" then return answer(200, world.people[2].token, "text/plain") end
  local credential = domino.credential_of(request)
  if target.kind == "principal" then return answer(200, world.identities[credential] or ANONYMOUS) end
  if target.kind == "hardware_tier" then
    if not world.identities[credential] then return answer(401, '{"message":"unauthenticated"}') end
    return answer(200, HARDWARE_TIERS)
  end
  return answer(404, '{"message":"not found"}')
end

return domino
