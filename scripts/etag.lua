--- Entity tags (RFC 9110): a cluster's is its resourceVersion.
local trim = require("scripts.text").trim
local find, sub = string.find, string.sub

local etag = {}

---@param object kube.object
---@return string
function etag.of(object)
  return '"' .. object.resource_version .. '"'
end

--- Does If-Match or If-None-Match name the object's tag? `*` names any.
---@param header string
---@param object kube.object
---@param weak boolean weak tags count: for If-None-Match
---@return boolean
function etag.listed(header, object, weak)
  if trim(header) == "*" then return true end
  local tag = etag.of(object)
  local start = 1
  repeat
    local stop = find(header, ",", start, true)
    local item = trim(sub(header, start, stop and stop - 1))
    if item == tag or (weak and sub(item, 1, 2) == "W/" and sub(item, 3) == tag) then return true end
    start = stop and stop + 1
  until not start
  return false
end

return etag
