--- GET …/{name}: one cluster.
local etag = require "scripts.etag"
local reply = require "scripts.reply"

---@param ctx context
return function(ctx)
  local known = ctx.request:header("If-None-Match")
  if known and etag.listed(known, ctx.object, true) then return reply.not_modified(ctx.object) end
  return reply.object(ctx.object)
end
