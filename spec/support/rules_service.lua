--- A service with a bundle of the spec's own and nothing behind it, and what its requests cost.
local client = require "client"
local disk = require "disk"
local program = require "program"
local socket = require "socket"

local rules_service = {}

local sanitized = require("build").sanitized

--- Of CPU time: the limit, a tick of the watchdog, the time until a run is torn out of Lua's own code, and the rest of
--- the process.
local LIMIT_MS <const> = 250 + 250 * (sanitized and 6 or 1)
local KUBECONFIG <const> = [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters: [{name: spec, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: spec, user: {token: token}}]
]]

---@param root string directory of the spec's own
---@param scripts table<string, string> texts by file name
---@param policies table<string, string>
---@return table process with its folder, port and admin_port
function rules_service.start(root, name, scripts, policies)
  local folder = disk.mkdir(("%s/%s"):format(root, name))
  disk.fill(folder .. "/scripts", scripts)
  disk.fill(folder .. "/policies", policies)
  disk.write(folder .. "/kubeconfig", KUBECONFIG)
  local process = program.start { arguments = { "serve" }, directory = folder, environment = {
    LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0", KUBECONFIG = folder .. "/kubeconfig",
    SCRIPTS_DIR = folder .. "/scripts", POLICIES_DIR = folder .. "/policies", DRAIN_SECONDS = "0",
  } }
  process.folder = folder
  local function port(pattern)
    return tonumber(program.eventually(function()
      if not process:running() then error(process:stderr() .. process:stdout(), 0) end
      return process:stdout():match(pattern)
    end, 30, pattern))
  end
  process.port, process.admin_port = port "listening on port (%d+)", port "admin on port (%d+)"
  return process
end

function rules_service.metric(process, name)
  local text = client.request(process.admin_port, { path = "/metrics" }).body
  return tonumber(text:match("\n" .. name .. " (%S+)"))
end

--- The document of GET /policy.
function rules_service.policy(process)
  return client.request(process.admin_port, { path = "/policy" }).json
end

--- Asks; a coroutine yields until the answer comes.
function rules_service.ask(process, path)
  local connection = client.send(process.port, { path = path })
  while coroutine.isyieldable() and not socket.select({ connection.tcp }, nil, 0)[1] do
    coroutine.yield()
  end
  return client.receive(connection)
end

--- The table that work returns, with what it cost the process.
function rules_service.cost(process, work)
  local before = rules_service.metric(process, "process_cpu_seconds_total")
  local record = work()
  record.cpu_ms = 1000 * (rules_service.metric(process, "process_cpu_seconds_total") - before)
  record.alive = process:running()
  return record
end

--- Raises when the process is gone, or took longer than the limits allow.
function rules_service.check_cost(record)
  assert(record.alive, "the process is gone")
  if record.cpu_ms > LIMIT_MS then error(("%.0f ms"):format(record.cpu_ms)) end
end

return rules_service
