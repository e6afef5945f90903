--- GET …/list: the clusters that the caller may see.
local reply = require "scripts.reply"

---@param ctx context
return function(ctx)
  return reply.list("ray_clusters", ctx.objects)
end
