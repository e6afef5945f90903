--- What happens to the service meanwhile: rules that are edited, rightly and wrongly, and upstreams that fail for a
--- while and recover.
local uv = require "luv"
local connection = require "spec.soak.connection"
local program = require "program"

local trouble = {}
trouble.__index = trouble

local EDIT_MS <const> = 500
local FAULT_MS <const>, PEACE_MS <const> = 3000, 4000
-- A request that began before an upstream was well again, or a stream that was still broken then, may fail so long.
local AFTERMATH_MS <const> = 1500

local FAULTS <const> = {
  { match = { kind = "principal" }, fault = { status = 500 } },
  { match = { kind = "principal" }, fault = { hang = true } },
  { match = { kind = "principal" }, fault = { answer = "<html>", code = 200, content_type = "text/html" } },
  { match = { kind = "principal" }, fault = { endless = 30000000 } },
  { match = { kind = "principal" }, fault = { redirect = "http://127.0.0.1:9/", code = 302 } },
  { match = { kind = "principal" }, fault = { delay_ms = 300 } },
  { match = { kind = "patch" }, fault = { status = 500 } },
  { match = { kind = "patch" }, fault = { status = 429, retry_after = 1 } },
  { match = { kind = "patch" }, fault = { cut = 10 } },
  { match = { kind = "patch" }, fault = { touch = true } },
  { match = { kind = "watch" }, fault = { expired = true } },
  { match = { kind = "watch" }, fault = { event = "no event", ending = "cut" } },
  { match = { kind = "watch" }, fault = { status = 503 } },
  { match = { kind = "list" },
    fault = { raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}" } },
  { match = { kind = "list" }, fault = { deep_json = 100000 } },
  { match = { kind = "get" }, fault = { slow = 100 } },
}

--- Rules under which n workers leave room for one or for two more; and files that must never serve.
local function editions()
  local text = program.read "policies/scaling.lua"
  local two = text:gsub("n %+ 1", "n + 2"):gsub("max_replicas = 6", "max_replicas = 7")
    :gsub("(replicas = 1, min_replicas = 1, max_replicas =) 2", "%1 3")
    :gsub("(replicas = 2, min_replicas = 2, max_replicas =) 3 } }", "%1 4 } }")
    :gsub("replicas = 2147483646, min_replicas = 2147483646", "replicas = 2147483645, min_replicas = 2147483645")
    :gsub("{ { replicas = 2147483646 }", "{ { replicas = 2147483645 }")
  return { { name = "one", text = text }, { name = "two", text = two },
    { name = "no Lua", text = text .. "\nend end" }, { name = "wrong", text = (text:gsub("n %+ 1", "n + 9")) },
    { name = "endless", text = "while true do end\n" .. text } }
end

function trouble.new(here, directory)
  return setmetatable({ here = here, directory = directory, edits = 0, faults = 0, windows = {} }, trouble)
end

--- Could a failure of a request that took place then be an upstream's?
function trouble:explains(began_ms, ended_ms)
  for index = #self.windows, 1, -1 do
    local window = self.windows[index]
    if began_ms <= (window.ended or math.huge) + AFTERMATH_MS and ended_ms >= window.began then return true end
    if window.ended and window.ended + 30000 < began_ms then break end
  end
  return false
end

local function edit(self)
  local all = editions()
  while not self.over do
    local edition = all[self.edits % #all + 1]
    self.edits = self.edits + 1
    local path = self.directory .. "/scaling.lua"
    program.write(path .. ".next", ("%s\n-- %d"):format(edition.text, self.edits))
    assert(os.rename(path .. ".next", path))
    connection.sleep(EDIT_MS)
  end
end

local function fail_upstreams(self)
  while not self.over do
    connection.sleep(PEACE_MS)
    if self.over then return end
    local rule = FAULTS[self.faults % #FAULTS + 1]
    self.faults = self.faults + 1
    local window = { began = uv.now() }
    self.windows[#self.windows + 1] = window
    self.here:fault(rule)
    if rule.match.kind == "list" then self.here:control("POST", "compact") end
    connection.sleep(FAULT_MS)
    self.here:fault()
    uv.update_time()
    window.ended = uv.now()
  end
end

function trouble:start()
  connection.spawn(edit, self)
  connection.spawn(fail_upstreams, self)
end

function trouble:stop() self.over = true end

return trouble
