--- Plain HTTP requests to the program under test, a connection each.
local cjson = require "cjson"
local rawsocket = require "rawsocket"

local client = {}

local function encode(options)
  local body = options.body
  local headers = {}
  for name, value in pairs(options.headers or {}) do
    headers[#headers + 1] = ("%s: %s\r\n"):format(name, value)
  end
  if type(body) == "table" then
    body = cjson.encode(body)
    headers[#headers + 1] = "Content-Type: application/json\r\n"
  end
  if options.token then headers[#headers + 1] = ("Authorization: Bearer %s\r\n"):format(options.token) end
  if body then headers[#headers + 1] = ("Content-Length: %d\r\n"):format(#body) end
  return ("%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sConnection: close\r\n\r\n%s"):format(options.method or "GET",
    options.path, table.concat(headers), body or "")
end

--- Sends a request and leaves its answer to be read from the connection that it returns.
---@param port integer
---@param options { method: string?, path: string, headers: table?, token: string?, body: (string|table)? }
---a table as body is sent as JSON
function client.send(port, options)
  local connection = rawsocket.connect(port)
  connection:send(encode(options)) -- a refusal may come, and close, before all of it is sent
  connection.method = options.method
  return connection
end

--- The answer on a connection of client.send, with `json` when its body is JSON.
function client.receive(connection)
  local response = assert(connection:response(connection.method))
  connection:close()
  if (response.headers["content-type"] or ""):find "json" and response.body ~= "" then
    response.json = cjson.decode(response.body)
  end
  return response
end

function client.request(port, options)
  return client.receive(client.send(port, options))
end

return client
