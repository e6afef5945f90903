--- Speaks to the simulator in this process, for specs without sockets.
local clock = require "clock"
local dkjson = require "dkjson"

local client = {}
client.__index = client

client.RAYCLUSTERS = "/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/domino-compute/rayclusters"
client.SERVICE = "simulator-service-account-token"
client.ADMIN = "simulator-cluster-admin-token"

local function fresh_app()
  for name in pairs(package.loaded) do
    if name:find "^spec%.simulator%." then package.loaded[name] = nil end
  end
  clock.now_ms = 0
  return require "spec.simulator.app"
end

--- A simulator of its own.
function client.new() return setmetatable({ app = fresh_app(), token = client.SERVICE }, client) end

local function text_of(body) return type(body) == "table" and table.concat(body) or body or "" end

--- The answer: status, headers, body (a string; nil for a stream), stream.
function client:send(method, target, body, headers)
  local path, query = target:match "^([^?]*)%??(.*)$"
  local sent = {}
  if self.token then sent.authorization = "Bearer " .. self.token end
  for name, value in pairs(headers or {}) do sent[name:lower()] = value end
  local answer = self.app {
    method = method, path = path, query = query, body = body or "", id = "request-1",
    header = function(_, name) return sent[name:lower()] end,
  }
  if not answer.stream then answer.body = text_of(answer.body) end
  return answer
end

--- A call of /_simulator; its answer as a table.
function client:call(method, name, arguments)
  local answer = self:send(method, "/_simulator/" .. name, arguments and dkjson.encode(arguments))
  assert(answer.status == 200, answer.body)
  return dkjson.decode(answer.body)
end

function client:get(target) return self:send("GET", target) end

function client:patch(name, body, parameters)
  return self:send("PATCH", client.RAYCLUSTERS .. "/" .. name .. (parameters or ""), body,
    { ["Content-Type"] = "application/merge-patch+json" })
end

--- An object as a table.
function client:object(name) return dkjson.decode(self:get(client.RAYCLUSTERS .. "/" .. name).body) end

--- What a stream has to say now, and how it ended: "open", "end" or "abort".
function client.read(answer)
  local chunks = {}
  for _ = 1, 100000 do
    local chunk, abort = answer.stream()
    if chunk == false then return table.concat(chunks), "open" end
    if chunk == nil then return table.concat(chunks), abort or "end" end
    chunks[#chunks + 1] = chunk
  end
  return table.concat(chunks), "open"
end

return client
