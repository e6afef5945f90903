--- The gate: loads what a request is about and asks the rule. What an endpoint then finds in its context is allowed.
local clusters = require "scripts.clusters"
local reply = require "scripts.reply"
local rules = require "scripts.rules"

local access = {}

--- What an endpoint gets.
---@class context
---@field request table
---@field route route
---@field caller caller
---@field parameters table<string, string>
---@field body table? as route.body read it
---@field object kube.object? the cluster, and …
---@field cluster cluster? … as rules see it
---@field objects kube.object[]? of an "each" route: those that the caller may see

--- Why is in the decision log; the caller is not told.
local function refuse(ctx, name)
  local what = name and " cluster " .. name or ""
  return reply.problem(ctx.request, "unauthorized", ("you are not allowed to %s%s"):format(ctx.route.action, what))
end

local function admit_one(ctx, name, fresh)
  local object, failure = clusters.get(name, fresh)
  if not object then return reply.upstream(ctx.request, "Kubernetes", failure) end
  local cluster = clusters.view(object)
  if not rules.allows(ctx.caller, ctx.route.action, cluster) then return refuse(ctx, name) end
  ctx.object, ctx.cluster = object, cluster
  return nil
end

local function admit_each(ctx)
  local failure
  ctx.objects, failure = rules.visible(ctx.caller, ctx.route.action, clusters)
  return failure and reply.upstream(ctx.request, "Kubernetes", failure)
end

--- Fills in the context, or returns the answer that refuses.
---@param ctx context
---@param fresh boolean? read from the API server: before a change is tried again
---@return table? refusal
function access.admit(ctx, fresh)
  local source = ctx.route.source
  if source == "each" then return admit_each(ctx) end
  if source then
    local values = source == "path" and ctx.parameters or ctx.body
    return admit_one(ctx, values[ctx.route.field], fresh)
  end
  return not rules.allows(ctx.caller, ctx.route.action, nil) and refuse(ctx) or nil
end

return access
