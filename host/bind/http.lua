---@meta http
--- HTTP to the outside, for requests: while a bundle loads every call raises. Connections are reused, TLS is verified,
--- redirects are not followed. Every call ends within the request's deadline and carries its X-Request-Id and
--- traceparent. An unknown option or a value of the wrong type raises.
local http = {}

---@class http.response
---@field status integer
---@field body string
---@field headers table<string, string> names in lower case; repeated ones joined by ", "

--- `code`: `timeout` · `connect` · `tls` · `protocol` · `too_large` · `memory`
---@class http.failure
---@field code string
---@field message string for the log
---@field sent boolean false: certain that the request never reached the peer, so any method may be tried again

---@class http.options
---@field headers table<string, string>?
---@field timeout_ms integer? shortens the request's deadline, never extends it
---@field max_bytes integer? of the answer's body, 16 MiB unless given, never more
---@field target string? label in metrics, "other" unless given: 1 to 32 of a-z, 0-9, _ and -

---@class http.request: http.options
---@field method string
---@field url string http or https, without credentials
---@field body string?

---@param request http.request
---@return http.response?
---@return http.failure?
function http.request(request) end

---@param url string
---@param options http.options?
---@return http.response?
---@return http.failure?
function http.get(url, options) end

---@param url string
---@param body string
---@param options http.options?
---@return http.response?
---@return http.failure?
function http.post(url, body, options) end

---@param url string
---@param body string
---@param options http.options?
---@return http.response?
---@return http.failure?
function http.put(url, body, options) end

---@param url string
---@param body string
---@param options http.options?
---@return http.response?
---@return http.failure?
function http.patch(url, body, options) end

---@param url string
---@param options http.options?
---@return http.response?
---@return http.failure?
function http.delete(url, options) end

--- Several at once, at most 64; ends when all have. Element i of the result belongs to request i.
---@param requests http.request[]
---@return { response: http.response?, failure: http.failure? }[]
function http.all(requests) end

return http
