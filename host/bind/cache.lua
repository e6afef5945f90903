---@meta cache
--- A process-wide cache with a time to live, shared by all Lua states of one revision. Keys are kept only as keyed
--- hashes, so a credential may be a key. Values are copied in and out: nil-free trees of booleans, numbers, strings and tables.
local cache = {}

--- The value for a key, loaded at most once at a time however many requests ask for it (single flight).
--- load returns the value, or nil and a failure; a failure is handed to everybody who waits and is not stored.
---@generic T
---@param scope string keeps uses apart, "identity"
---@param key string
---@param ttl_ms integer 0: nothing is stored, but requests under way still share a load
---@param load fun(): T?, any
---@param options { beyond_rules: boolean? }? beyond_rules: the value stays when rules are edited, and only they. For a load
---that asks no rule: what a rule had a part in would outlive that rule
---@return T?
---@return any failure what load returned as its second value; `{ code = "timeout", message = … }` when the request's deadline passed while waiting
function cache.fetch(scope, key, ttl_ms, load, options) end

--- Forgets one key.
---@param scope string
---@param key string
function cache.drop(scope, key) end

return cache
