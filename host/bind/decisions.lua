---@meta decisions
--- The log of what rules decided: DECISION_LOG, DECISION_SAMPLE_RATE. Only scripts/rules.lua writes it.
local decisions = {}

--- Is a line wanted? Ask before any work on it: of the views that are allowed only a sample is.
---@param allowed_view boolean? the decision lets somebody see something, and changes nothing
---@return boolean
function decisions.wanted(allowed_view) end

--- One decision. The host adds time, request id and revision. A value that JSON cannot hold loses the line, and never
--- the request; lost lines are counted.
---@class decision
---@field policy "authorization"|"scaling"
---@field action action?
---@field caller string? id, or name of a caller without one
---@field cluster string? name
---@field verdict "allow"|"deny"|"plan"|"refuse"|"error"|"list"
---@field reason string?
---@field clusters integer? of a list: how many there are …
---@field allowed integer? … and how many of them the caller sees
---@field reasons table<string, integer>? of a list: why not the others
---@field plan table?
---@field given any[]? the arguments of the rule, with `json.null` for nil, without the time that comes last: the host
---appends that of the request, so that the line holds all of `decide --given`

---@param decision decision
function decisions.write(decision) end

return decisions
