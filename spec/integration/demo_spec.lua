--- The demo as a newcomer meets it: start it, type what it prints, watch, Ctrl-C. Its ports are fixed.
local cjson = require "cjson"
local lfs = require "lfs"
local program = require "program"
local socket = require "socket"

describe("demo", function()
  local directory, demo

  setup(function()
    -- Somebody else on this machine may be showing the demo, too.
    for port = 6000, 6002 do
      local taken = ("port %d of 127.0.0.1, which somebody else has and the demo needs"):format(port)
      program.eventually(function()
        local free = socket.bind("127.0.0.1", port)
        if free then free:close() end
        return free
      end, 120, taken)
    end
    directory = program.directory()
    demo = program.start { arguments = { "demo" }, directory = directory }
    program.eventually(function()
      assert(demo:running(), demo:stderr())
      return demo:stdout():find("Ctrl-C", 1, true)
    end, 30)
  end)

  teardown(function()
    if demo and demo:running() then demo:stop() end
    if directory then program.remove(directory) end
  end)

  --- The commands that it prints, each as one line for the shell.
  local function printed()
    local commands = {}
    for command in demo:stdout():gsub("\\\n *", ""):gmatch "\n *(curl [^\n]+)" do
      commands[#commands + 1] = command
    end
    return commands
  end

  --- Runs it as it stands; what it prints.
  local function shell(command)
    local pipe = assert(io.popen(command:gsub("^curl ", "curl --silent --show-error ") .. " 2>&1"))
    local output = pipe:read "a"
    pipe:close()
    return output
  end

  it("tells what runs where and who may log in", function()
    local text = demo:stdout()
    for _, address in ipairs { "http://127.0.0.1:6000", "http://127.0.0.1:6001", "http://127.0.0.1:6002" } do
      assert.is_truthy(text:find(address, 1, true), address)
    end
    local roles = {}
    for role in text:gmatch "\n  (%l+) +%S+ +token " do
      roles[#roles + 1] = role
    end
    table.sort(roles)
    assert.same({ "admin", "user", "user" }, roles)
    assert.equal("", demo:stderr())
  end)

  it("prints a line for each endpoint, and each does what it says", function()
    local commands = printed()
    assert.equal(3, #commands)
    local list = cjson.decode(shell(commands[1]))
    assert(#list.ray_clusters > 0)
    local object = cjson.decode(shell(commands[2]))
    assert.equal("RayCluster", object.kind)
    local nodes = #object.status.nodes
    assert(nodes >= 1)

    local scaled = cjson.decode(shell(commands[3]))
    local wanted = scaled.spec.worker.replicas
    assert(wanted > nodes - 1, "the demo's scale brings no worker up")
    local seen = { nodes }
    program.eventually(function()
      local count = #cjson.decode(shell(commands[2])).status.nodes
      if count ~= seen[#seen] then seen[#seen + 1] = count end
      return count == wanted + 1
    end, 30)
    local expected = {}
    for count = nodes, wanted + 1 do
      expected[#expected + 1] = count
    end
    assert.same(expected, seen)
    assert.equal(wanted, cjson.decode(shell(commands[2])).status.workerReplicas)
  end)

  it("ends all of it with Ctrl-C", function()
    local listeners = {} -- port to process: once they are free, somebody else may take the ports at once
    for port, pid in shell "ss -Hltnp":gmatch "127%.0%.0%.1:(600[012])%s[^\n]-pid=(%d+)" do listeners[port] = pid end
    assert(listeners["6000"] and listeners["6001"] and listeners["6002"])
    demo:stop "sigint"
    assert.equal("", demo:stderr())
    for port, pid in pairs(listeners) do
      assert.is_nil(lfs.attributes("/proc/" .. pid), port)
    end
  end)
end)
