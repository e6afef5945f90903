--- POST …/scale: changes how many workers a cluster has.
local log = require "log"
local metrics = require "metrics"
local access = require "scripts.access"
local clusters = require "scripts.clusters"
local etag = require "scripts.etag"
local reply = require "scripts.reply"
local rules = require "scripts.rules"

local MAX_RETRIES = 3 -- the operator writes status often, so a conflict is routine

local results = metrics.counter("rayclusterscaler_scale_total", "Requests to scale that were allowed", { "result" })

local function refused(ctx, reason)
  if reason == "not_scalable" then
    return reply.problem(ctx.request, reason, "this cluster was started without autoscaling, so its size is fixed")
  end
  return reply.problem(ctx.request, "refused_by_policy", reason)
end

local function failed(ctx, failure)
  local unsure = failure.code == "timeout" or failure.code == "unavailable" or failure.code == "bad_answer"
  return reply.upstream(ctx.request, "Kubernetes", failure,
    unsure and "the cluster may have been scaled all the same" or nil)
end

---@param ctx context
---@return table response
---@return plan? plan
local function scale(ctx)
  local if_match = ctx.request:header("If-Match")
  -- The host's copy may lag behind what the caller has seen: only the API server can call a tag stale.
  local fresh = if_match and not etag.listed(if_match, ctx.object, false)
  local plan, reason
  for _ = 0, MAX_RETRIES do
    if fresh then
      local refusal = access.admit(ctx, true)
      if refusal then return refusal, plan end
      if if_match and not etag.listed(if_match, ctx.object, false) then
        return reply.problem(ctx.request, "precondition_failed",
          "the cluster has changed since you read it (If-Match); get it again"), plan
      end
    end
    plan, reason = rules.plan({ replicas = ctx.body.replicas }, ctx.cluster, ctx.caller)
    if not plan then return refused(ctx, reason) end
    local object, failure = clusters.scale(ctx.object, plan)
    if object then return reply.object(object), plan end
    if failure.code ~= "conflict" then return failed(ctx, failure), plan end
    fresh = true
  end
  return reply.upstream(ctx.request, "Kubernetes", { code = "conflict" }), plan
end

---@param ctx context
return function(ctx)
  local response, plan = scale(ctx)
  local result = response.error or "scaled"
  results:add(1, result)
  log.audit {
    action = ctx.route.action,
    cluster = ctx.body.cluster_name,
    caller = ctx.caller.id or ctx.caller.name,
    from = ctx.cluster.replicas,
    to = plan and plan.replicas or ctx.body.replicas,
    result = result,
  }
  return response
end
