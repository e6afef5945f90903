--- The host's http module for specs without the host. `http.handler` plays the other side; `http.requests` keeps what
--- was asked.
local http = {}

--- Back to nobody listening.
function http.reset()
  http.requests = {}
  http.handler = function()
    return nil, { code = "connect", message = "connection refused", sent = false }
  end
end

--- Answers one request after the other from a list of `{ status, body, headers }` or `{ failure = … }`; the last one
--- goes on for ever.
function http.script(answers)
  local turn = 0
  http.handler = function()
    turn = math.min(turn + 1, #answers)
    local answer = answers[turn]
    if answer.failure then return nil, answer.failure end
    return { status = answer.status or 200, body = answer.body or "", headers = answer.headers or {} }
  end
end

function http.request(request)
  http.requests[#http.requests + 1] = request
  return http.handler(request)
end

function http.get(url, options)
  local request = { method = "GET", url = url }
  for key, value in pairs(options or {}) do
    request[key] = value
  end
  return http.request(request)
end

http.reset()
return http
