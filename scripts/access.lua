--- The gate: loads what a request is about and asks the rule. What an endpoint then finds in its context is allowed.
local log = require "log"
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

local function refuse(ctx, name, reason)
  local action = ctx.route.action
  log.info("denied", { action = action, cluster = name, caller = ctx.caller.id or ctx.caller.name, reason = reason })
  local what = name and " cluster " .. name or ""
  return reply.problem(ctx.request, "unauthorized", ("you are not allowed to %s%s"):format(action, what))
end

local function admit_one(ctx, name, fresh)
  local object, failure = clusters.get(name, fresh)
  if not object then return reply.upstream(ctx.request, "Kubernetes", failure) end
  local cluster = clusters.view(object)
  local allowed, reason = rules.allows(ctx.caller, ctx.route.action, cluster)
  if not allowed then return refuse(ctx, name, reason) end
  ctx.object, ctx.cluster = object, cluster
  return nil
end

local function admit_each(ctx)
  local objects, failure = clusters.list()
  if not objects then return reply.upstream(ctx.request, "Kubernetes", failure) end
  local caller, action = ctx.caller, ctx.route.action
  local allowed, count = {}, 0
  for i = 1, #objects do
    local object = objects[i]
    if rules.allows(caller, action, clusters.view(object)) then
      count = count + 1
      allowed[count] = object
    end
  end
  ctx.objects = allowed
  return nil
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
  local allowed, reason = rules.allows(ctx.caller, ctx.route.action, nil)
  return not allowed and refuse(ctx, nil, reason) or nil
end

return access
