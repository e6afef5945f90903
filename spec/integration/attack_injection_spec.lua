--- What the program asks of the system fails at random: it neither crashes nor leaks, and every answer is right or a
--- clear failure. INJECT_ROUNDS and INJECT_SEED choose how many rounds and where they begin; see `make inject`.
local build = require "build"
local client = require "client"
local cjson = require "cjson"
local proc = require "proc"
local program = require "program"
local stage = require "stage"

local ROUNDS <const> = tonumber(os.getenv "INJECT_ROUNDS" or 30)
local SEED <const> = tonumber(os.getenv "INJECT_SEED" or 1)

local KINDS <const> = { memory = 1, sockets = 2, files = 4, threads = 8, curl = 16 }
local ALL <const> = 31
local ONE_IN <const> = { 30, 100, 300, 1000, 3000, 10000 }
local ADMIN_THREADS <const> = 16 -- host/serve.c
local MAX_GROWTH_BYTES <const> = 2 * 1024 * 1024

--- The file that a program with failures is told by.
local control = {}
control.__index = control

function control.new(directory)
  local self = setmetatable({ path = directory .. "/control" }, control)
  program.write(self.path, ("\0"):rep(48))
  return self
end

function control:arm(one_in, kinds, seed)
  local file = assert(io.open(self.path, "r+"))
  file:write(string.pack("<I8I8I8", one_in, seed, kinds))
  file:close()
end

function control:disarm()
  self:arm(0, 0, 0)
end

--- Of the threads that are begun from now on, the one of that number is not; 0 for none.
function control:refuse_thread(number)
  local file = assert(io.open(self.path, "r+"))
  file:seek("set", 40)
  file:write(string.pack("<I8", number))
  file:close()
end

function control:read()
  local one_in, _, _, injected, bytes = string.unpack("<I8I8I8I8i8", program.read(self.path))
  return { one_in = one_in, injected = injected, bytes = bytes }
end

--- Where the line that tells the port was lost: a log does without lines that it has no memory for.
local function is_listening(pid)
  local pipe = assert(io.popen "ss -Hltnp")
  local listeners = pipe:read "a"
  pipe:close()
  return listeners:find(("pid=%d,"):format(pid), 1, true) ~= nil
end

-- Sanitizers bring a malloc of their own.
if build.sanitized then return end

describe("when the system fails at random", function()
  local here, failures

  setup(function()
    here = stage.open { DRAIN_SECONDS = "0" }
    failures = control.new(here.directory)
  end)

  teardown(function()
    here:close()
  end)

  local function environment(settings)
    local out = {
      LD_PRELOAD = ("./%s/inject.so"):format(build.directory), INJECT = failures.path, DRAIN_SECONDS = "0",
      REQUEST_TIMEOUT_SECONDS = "2", IDENTITY_TTL_SECONDS = "0", LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0",
      KUBECONFIG = here.directory .. "/kubeconfig", DOMINO_NUCLEUS_URI = "http://127.0.0.1:" .. here.simulator_port,
    }
    for name, value in pairs(settings or {}) do out[name] = value end
    return out
  end

  local right = {
    { "uma", "/raycluster/" .. stage.clusters.umas, 200, function(json) return json.metadata.name end,
      stage.clusters.umas },
    { "urs", "/raycluster/" .. stage.clusters.umas, 403 },
    { "urs", "/raycluster/list", 200, function(json) return #json.ray_clusters end, 1 },
    { nil, "/raycluster/list", 401 },
    { "nobody", "/raycluster/list", 401 },
    { "uma", "/raycluster/ray-nothing", 404 },
    { "uma", "/nowhere", 404 },
  }

  --- Asks for something; what comes is right, a clear failure, or a closed connection. True when it was right.
  local function ask(port, i)
    local who, path, status, part, expected = table.unpack(right[i % #right + 1], 1, 5)
    local token = who and (stage[who] and stage[who].token or who)
    local connected, response = pcall(client.request, port, { path = path, token = token })
    if not connected then
      local known = tostring(response)
      assert(known:find "closed" or known:find "refused" or known:find "reset", known)
      return false
    end
    if response.status >= 500 then
      assert.matches("^application/problem%+json", response.headers["content-type"])
      assert.is_string(cjson.decode(response.body).error)
      return false
    end
    assert.equal(status, response.status, ("%s for %s: %s"):format(path, tostring(who), response.body))
    if part then assert.equal(expected, part(response.json)) end
    return true
  end

  --- Its port; nil when it ended, or serves without having told.
  local function await_port(process, what)
    local port, asked = nil, os.time()
    program.eventually(function()
      port = tonumber(process:stdout():match "listening on port (%d+)")
      return port or not process:running() or os.time() - asked > 5 and is_listening(process.pid)
    end, 20, what)
    return port
  end

  --- Start, serve, new rules, serve, stop, with failures all the way. True when it served.
  local function round(seed)
    local kinds = seed % 3 == 0 and ({ 1, 2, 4, 8, 16 })[seed // 3 % 5 + 1] or ALL
    failures:arm(ONE_IN[seed % #ONE_IN + 1], kinds, seed)
    local policies = here:folder({}, "policies")
    local process = program.start { arguments = { "serve" }, directory = here.directory,
      environment = environment { POLICIES_DIR = policies } }
    finally(function() if process:running() then process:kill() end end)
    local port = await_port(process, "round " .. seed)
    local function ask_some()
      for i = 1, 5 do
        local done, wrong = pcall(ask, port, i + seed)
        assert(done, ("round %d: %s"):format(seed, tostring(wrong)))
      end
    end
    if port then
      ask_some()
      program.write(policies .. "/extra.lua", "return { examples = {} } -- " .. seed)
      ask_some()
    end
    if process:running() then require "luv".kill(process.pid, "sigterm") end
    local code, signal = process:wait(20)
    failures:disarm()
    assert.equal(0, signal, ("round %d ended by signal %d: %s"):format(seed, signal, process:stderr()))
    assert(code == 0 or code == 1, ("round %d ended with %d: %s"):format(seed, code, process:stderr()))
    if code == 1 then assert.matches("^rayclusterscaler: [^\n]+\n$", process:stderr()) end
    os.execute(("rm -rf '%s' '%s' '%s'"):format(policies, process.stdout_path, process.stderr_path))
    return port ~= nil
  end

  it("a service that could not begin one of its threads does without it or does not start", function()
    local function serves_or_ends(number)
      failures:refuse_thread(number)
      local process = program.start { arguments = { "serve" }, directory = here.directory, environment = environment() }
      finally(function() if process:running() then process:kill() end end)
      local port = await_port(process, "without thread " .. number)
      failures:refuse_thread(0)
      if port then
        program.eventually(function()
          return client.request(port, { path = "/raycluster/list" }).status == 401
        end, 5, "callers' answers without thread " .. number)
        local admin_port = tonumber(process:stdout():match "admin on port (%d+)")
        assert.equal(200, client.request(admin_port, { path = "/healthz" }).status)
        process:stop()
      else
        assert.equal(1, (process:wait(20)))
        assert.matches("^rayclusterscaler: [^\n]+\n$", process:stderr())
      end
    end
    local service = here:serve(environment())
    stage.await_ready(service)
    local last = proc.status(service.pid, "Threads") - 1
    service:stop()
    -- The service's own, those of the administrators' server and, last of them, the one that accepts; then callers'.
    local accepts = 5 + ADMIN_THREADS
    for _, number in ipairs { 1, 2, 3, 4, 5, accepts - 1, accepts, accepts + 1, last - 1, last } do
      serves_or_ends(number)
    end
  end)

  it(("%d rounds of start, serve, reload, stop end well"):format(ROUNDS), function()
    local served = 0
    for seed = SEED, SEED + ROUNDS - 1 do
      if round(seed) then served = served + 1 end
    end
    assert(served > ROUNDS / 4, served .. " rounds served")
  end)

  it("a program that serves on neither leaks nor lies, and is well when it is over", function()
    local policies = here:folder({}, "policies")
    local service = here:serve(environment { POLICIES_DIR = policies })
    stage.await_ready(service)
    local function serve_well()
      program.eventually(function()
        for i = 1, #right do
          if not ask(service.port, i) then return false end
        end
        return true
      end, 30, "good answers")
    end
    local function disturb(from, to)
      for seed = from, to do
        failures:arm(ONE_IN[seed % #ONE_IN + 1], seed % 2 == 0 and ALL or KINDS.memory, seed)
        for i = 1, 10 do ask(service.port, i + seed) end
        if seed % 5 == 0 then program.write(policies .. "/extra.lua", "return { examples = {} } -- " .. seed) end
        failures:disarm()
      end
      serve_well()
      require "socket".sleep(1)
      return failures:read().bytes, proc.descriptors(service.pid)
    end
    serve_well()
    disturb(SEED, SEED + ROUNDS)
    local bytes, descriptors = disturb(SEED + ROUNDS, SEED + 2 * ROUNDS)
    local later_bytes, later_descriptors = disturb(SEED + 2 * ROUNDS, SEED + 4 * ROUNDS)
    assert(later_bytes - bytes < MAX_GROWTH_BYTES, ("it grew by %d bytes"):format(later_bytes - bytes))
    assert(later_descriptors - descriptors < 20, ("%d, then %d descriptors"):format(descriptors, later_descriptors))
    assert(failures:read().injected > ROUNDS)
    service:stop()
  end)
end)
