--- Who may do what with which cluster. Pure: no I/O, no clock, no state. See README.md beside this file.

--- Who is calling, as Domino says. Never anonymous.
---@class caller
---@field id string? Domino's user id; nil when Domino names none: such a caller owns nothing
---@field name string? for messages and logs, never for a decision: a user can change it
---@field admin boolean

--- A Ray cluster as rules see it. Reading a field is all that can be done with it.
---@class cluster
---@field name string
---@field owner string? id of the user who started it; nil when it belongs to nobody
---@field labels table<string, string>
---@field replicas integer? workers that are wanted now
---@field autoscaling { min_replicas: integer?, max_replicas: integer? }? nil: its size cannot be changed
---@field resource_version string

--- The time in UTC: the last argument of every rule, for those that ask for it.
---@class now
---@field hour integer 0 to 23
---@field minute integer
---@field weekday integer 1 is Monday, 7 is Sunday
---@field utc string "2026-11-22T21:05:20Z"

---@alias action
---| "list" is the cluster part of the caller's list? Asked once a cluster
---| "get"
---| "scale"

local actions = { list = true, get = true, scale = true }

---@param caller caller?
---@param action action
---@param cluster cluster? nil for an action that concerns no single cluster
---@return boolean allowed exactly true allows; any value but true and false fails the request
---@return string? reason one word for the log; the caller is never told
local function decide(caller, action, cluster)
  if not caller then return false, "no_caller" end
  if not actions[action] then return false, "unknown_action" end
  if caller.admin == true then return true end
  if not cluster then return false, "no_cluster" end
  if cluster.owner == nil or cluster.owner == "" then return false, "no_owner" end
  if cluster.owner ~= caller.id then return false, "not_owner" end
  return true
end

local admin = { id = "a1", name = "ada", admin = true }
local jane = { id = "u1", name = "jane", admin = false }
local nameless = { admin = false }
local janes = { name = "ray-1", owner = "u1" }
local nobodys = { name = "ray-2" }

return {
  decide = decide,
  actions = actions, -- what a route may name
  examples = {
    { name = "an owner sees their cluster in the list", given = { jane, "list", janes }, expect = { true } },
    { name = "an owner gets their cluster", given = { jane, "get", janes }, expect = { true } },
    { name = "an owner scales their cluster", given = { jane, "scale", janes }, expect = { true } },
    { name = "an admin sees everybody's", given = { admin, "list", janes }, expect = { true } },
    { name = "an admin gets everybody's", given = { admin, "get", janes }, expect = { true } },
    { name = "an admin scales everybody's", given = { admin, "scale", janes }, expect = { true } },
    { name = "an admin without an id is an admin", given = { { admin = true }, "get", janes }, expect = { true } },
    { name = "an admin sees what belongs to nobody", given = { admin, "list", nobodys }, expect = { true } },
    { name = "another user sees nothing in the list",
      given = { { id = "u2", admin = false }, "list", janes }, expect = { false, "not_owner" } },
    { name = "another user gets nothing",
      given = { { id = "u2", admin = false }, "get", janes }, expect = { false, "not_owner" } },
    { name = "another user scales nothing",
      given = { { id = "u2", admin = false }, "scale", janes }, expect = { false, "not_owner" } },
    { name = "a name is no id",
      given = { { id = "u2", name = "u1", admin = false }, "get", janes }, expect = { false, "not_owner" } },
    { name = "a cluster of nobody is not a user's", given = { jane, "list", nobodys }, expect = { false, "no_owner" } },
    { name = "nobody's cluster is not nameless users'",
      given = { nameless, "get", nobodys }, expect = { false, "no_owner" } },
    { name = "an empty owner is nobody, also for an empty id",
      given = { { id = "", admin = false }, "get", { name = "ray-3", owner = "" } }, expect = { false, "no_owner" } },
    { name = "a caller without an id owns nothing",
      given = { nameless, "get", janes }, expect = { false, "not_owner" } },
    { name = "only true makes an admin",
      given = { { id = "u2", admin = "true" }, "get", janes }, expect = { false, "not_owner" } },
    { name = "nobody in particular", given = { nil, "get", janes }, expect = { false, "no_caller" } },
    { name = "an action without a cluster is for admins",
      given = { jane, "scale", nil }, expect = { false, "no_cluster" } },
    { name = "an unknown action is for nobody",
      given = { admin, "delete", janes }, expect = { false, "unknown_action" } },
  },
}
