--- How a wish for n workers becomes the cluster's spec. Pure: no I/O, no clock, no state.
--- See README.md beside this file.

--- What the caller asked for.
---@class wish
---@field replicas integer 0 to 2147483646

--- What is written to the cluster: spec.worker.replicas and spec.autoscaling, in one patch.
---@class plan
---@field replicas integer at least 0
---@field min_replicas integer at least 1: the operator refuses less
---@field max_replicas integer at least min_replicas

---@param wish wish
---@param cluster cluster
---@param caller caller
---@return plan? plan nil refuses
---@return string? reason of a refusal, told to the caller; "not_scalable" has an answer of its own
local function decide(wish, cluster, caller) -- luacheck: ignore 212/caller
  if not cluster.autoscaling then return nil, "not_scalable" end
  local n = wish.replicas
  -- The one way to zero: the operator refuses min 0, and its autoscaler leaves a cluster of 0 workers alone.
  if n == 0 then return { replicas = 0, min_replicas = 1, max_replicas = 1 } end
  return { replicas = n, min_replicas = n, max_replicas = n + 1 }
end

local jane = { id = "u1", name = "jane", admin = false }
local cluster = { name = "ray-1", owner = "u1", replicas = 2, autoscaling = { min_replicas = 2, max_replicas = 3 } }

return {
  decide = decide,
  examples = {
    { name = "five workers leave room for a sixth",
      given = { { replicas = 5 }, cluster, jane },
      expect = { { replicas = 5, min_replicas = 5, max_replicas = 6 } } },
    { name = "one worker",
      given = { { replicas = 1 }, cluster, jane },
      expect = { { replicas = 1, min_replicas = 1, max_replicas = 2 } } },
    { name = "no workers",
      given = { { replicas = 0 }, cluster, jane },
      expect = { { replicas = 0, min_replicas = 1, max_replicas = 1 } } },
    { name = "as many as an int32 counts",
      given = { { replicas = 2147483646 }, cluster, jane },
      expect = { { replicas = 2147483646, min_replicas = 2147483646, max_replicas = 2147483647 } } },
    { name = "what the cluster has now does not matter",
      given = { { replicas = 2 }, { name = "ray-1", replicas = 9, autoscaling = {} }, jane },
      expect = { { replicas = 2, min_replicas = 2, max_replicas = 3 } } },
    { name = "a cluster without autoscaling keeps its size",
      given = { { replicas = 5 }, { name = "ray-1", owner = "u1", replicas = 2 }, jane },
      expect = { nil, "not_scalable" } },
  },
}
