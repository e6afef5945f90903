--- JSON merge patch, RFC 7396.
local json = require "spec.simulator.json"

--- What target becomes; neither argument is changed.
local function apply(target, patch)
  if not json.is_object(patch) then return patch end
  local result = json.object {}
  if json.is_object(target) then
    for key, value in pairs(target) do result[key] = value end
  end
  for key, value in pairs(patch) do
    if value == json.null then
      result[key] = nil
    else
      result[key] = apply(result[key], value)
    end
  end
  return result
end

return { apply = apply }
