--- The operator's validating admission webhook.
local json = require "spec.simulator.json"
local status = require "spec.simulator.status"

local INT32_MAX <const> = 2147483647

local fields <const> = {
  { "autoscaling", "minReplicas", owner = "Autoscaling.spec.autoscaling.minReplicas" },
  { "autoscaling", "maxReplicas", owner = "Autoscaling.spec.autoscaling.maxReplicas" },
}

local function invalid(causes, path, value, message)
  causes[#causes + 1] = status.cause("Invalid", path, ("Invalid value: %s: %s"):format(json.number(value), message))
end

local function check_autoscaling(autoscaling, causes)
  if not autoscaling then return end
  local least, most = autoscaling.minReplicas, autoscaling.maxReplicas
  if least and least < 1 then
    invalid(causes, "spec.autoscaling.minReplicas", least, "must be greater than or equal to 1")
  end
  if least and most < least then
    invalid(causes, "spec.autoscaling.maxReplicas", most, "cannot be less than spec.autoscaling.minReplicas")
  end
  if most < 1 then invalid(causes, "spec.autoscaling.maxReplicas", most, "must be greater than or equal to 1") end
end

local function check_requests(requests, causes)
  for _, name in ipairs { "cpu", "memory" } do
    if json.get(requests, name) == nil then
      causes[#causes + 1] = status.cause("Required", "spec.worker.resources.requests." .. name,
        "Required value: is mandatory")
    end
  end
end

--- nil when the webhook lets the object pass, else the API server's answer. The object has passed the schema.
local function refuse(object, resource)
  local name = "v" .. resource.singular .. ".kb.io"
  for _, field in ipairs(fields) do
    local value = json.get(object, "spec", table.unpack(field))
    if value and math.abs(value) > INT32_MAX then
      local why = ("json: cannot unmarshal number %s into Go struct field %s of type int32"):format(
        json.number(value), field.owner)
      return status.webhook_error(name, why)
    end
  end
  local causes = {}
  check_autoscaling(json.get(object, "spec", "autoscaling"), causes)
  local replicas = json.get(object, "spec", "worker", "replicas")
  if replicas and replicas < 0 then
    invalid(causes, "spec.worker.replicas", replicas, "should be greater than or equal to 0")
  end
  check_requests(json.get(object, "spec", "worker", "resources", "requests"), causes)
  if #causes == 0 then return nil end
  return status.invalid(resource, object.metadata.name, causes,
    ('admission webhook "%s" denied the request: '):format(name))
end

return { refuse = refuse }
