---@meta config
--- The settings that scripts use; read-only, fixed for the life of the process.
---@class config
---@field domino_nucleus_uri string without a trailing "/"
---@field compute_namespace string
---@field identity_ttl_seconds integer 0: off
local config = {}

return config
