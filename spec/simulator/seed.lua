--- Many clusters at once, and many changes at once, without decoding each.
local clock = require "clock"
local clusters = require "spec.simulator.clusters"
local demo = require "spec.simulator.demo"
local json = require "spec.simulator.json"
local operator = require "spec.simulator.operator"

local RUN <const> = "run-to-be-replaced"
local UID <const> = "uid-to-be-replaced"
local OWNER <const> = "owner-to-be-replaced"
local LISTED <const> = 100

local seed = {}

--- The ids that own the clusters in turn.
local function owners_of(settings)
  if type(settings.owners) == "table" then return settings.owners end
  local owners = {}
  for index = 1, settings.owners or 0 do owners[index] = ("5d1f1622fdfe52c4e28e%04x"):format(index) end
  if #owners == 0 then owners[1] = demo.identities[2].id end
  return owners
end

--- A running cluster with placeholders, of about the size that is wanted.
local function template(settings)
  local function make(padding)
    local object = clusters.make { name = "ray-" .. RUN, namespace = demo.NAMESPACE, uid = UID, owner = OWNER,
      created = clock.rfc3339(), workers = settings.workers, autoscaling = settings.autoscaling, padding = padding }
    object = operator.running("rayclusters", object)
    object.metadata.resourceVersion = "0"
    return object
  end
  local object = make()
  local missing = (settings.bytes or 0) - #json.encode(object)
  if missing > 0 then object = make(("x"):rep(missing)) end
  return object, json.encode(object)
end

--- The text cut at its placeholders, so that each cluster is one concatenation: { "…", "run", "…", "uid", … }.
local function cut(text)
  local parts, position = {}, 1
  while true do
    local first, last, field
    for placeholder, name in pairs { [RUN] = "run", [UID] = "uid", [OWNER] = "owner" } do
      local start, stop = text:find(placeholder, position, true)
      if start and (not first or start < first) then first, last, field = start, stop, name end
    end
    parts[#parts + 1] = text:sub(position, (first or 0) - 1)
    if not first then return parts end
    parts[#parts + 1] = field
    position = last + 1
  end
end

local function fill(parts, values)
  local out = {}
  for index, part in ipairs(parts) do out[index] = index % 2 == 0 and values[part] or part end
  return table.concat(out)
end

--- settings: clusters (how many), bytes, owners (a list of ids, or how many), workers, autoscaling, prefix (8 hex
--- digits that tell several seeds apart). Returns the first names.
function seed.clusters(world, settings)
  local object, bytes = template(settings)
  local parts, owners = cut(bytes), owners_of(settings)
  local names = {}
  for index = 1, settings.clusters or 1 do
    local run = ("%s%016x"):format(settings.prefix or "655cb2de", index)
    local values = { run = run, uid = world.next_uid(), owner = owners[(index - 1) % #owners + 1] }
    local labels = json.copy(object.metadata.labels)
    labels[clusters.OWNER_LABEL], labels["dominodatalab.com/execution-id"] = values.owner, run
    world.store:put_bytes("rayclusters", { namespace = demo.NAMESPACE, name = "ray-" .. run, uid = values.uid,
      generation = 1, labels = labels, settled = true }, fill(parts, values))
    if index <= LISTED then names[index] = "ray-" .. run end
  end
  return names
end

--- So many new revisions, cluster by cluster.
function seed.churn(world, events)
  local entries = world.store:snapshot "rayclusters".entries
  for index = 0, #entries > 0 and events - 1 or -1 do
    local entry = entries[index % #entries + 1]
    world.store:touch("rayclusters", world.store:get("rayclusters", entry.namespace, entry.name))
  end
end

return seed
