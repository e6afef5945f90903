--- Sends a request to the handler of scripts/app.lua, with the fakes beside this file for the host's modules.
local json = require "json"

local function text_of(body)
  if body == nil or type(body) == "string" then return body or "" end
  if body.text then return body:text() end
  local parts = {}
  for i, part in ipairs(body) do
    parts[i] = text_of(part)
  end
  return table.concat(parts)
end

---@param method string
---@param path string
---@param options { headers: table<string, string>?, body: string|table|nil, id: string? }?
---@return table response with `text`, and `json` where the text is JSON
return function(method, path, options)
  options = options or {}
  local headers, body = {}, options.body or ""
  for name, value in pairs(options.headers or {}) do
    headers[name:lower()] = value
  end
  if type(body) == "table" then
    body = json.encode(body)
    headers["content-type"] = headers["content-type"] or "application/json"
  end
  local request = { method = method, path = path, query = "", body = body, id = options.id or "request-1" }
  function request:header(name) -- luacheck: ignore 212/self
    return headers[name:lower()]
  end
  local response = require("scripts.app")(request)
  response.headers = response.headers or {}
  response.text = text_of(response.body)
  response.json = response.text ~= "" and json.decode(response.text) or nil
  return response
end
