--- Processes of the program under test. What they write goes to files in a directory of the spec's own; whatever way
--- the spec ends, they end with it.
local build = require "build"
local cjson = require "cjson"
local uv = require "luv"

local program = {}
program.__index = program

program.path = ("./%s/rayclusterscaler"):format(build.directory)

local EXIT_TIMEOUT_S <const> = 30
local PASSED_ON <const> = { "PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS" }

--- A fresh directory below /tmp.
function program.directory()
  return assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/rayclusterscaler-spec-XXXXXX"))
end

function program.remove(directory)
  assert(directory:find "rayclusterscaler%-spec%-")
  assert(os.execute(("rm -rf '%s'"):format(directory)))
end

function program.write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

function program.read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

local image -- the environment that the image gives it, once it was read

local function image_environment()
  if not image then
    local stages = require "spec.image.dockerfile".parse(program.read "Dockerfile")
    image = stages[#stages].environment
  end
  return image
end

local function environment_of(settings, directory)
  local environment = { "HOME=" .. directory, table.unpack(image_environment()) }
  for _, name in ipairs(PASSED_ON) do
    local value = os.getenv(name)
    if value then environment[#environment + 1] = name .. "=" .. value end
  end
  for name, value in pairs(settings or {}) do
    environment[#environment + 1] = name .. "=" .. value
  end
  return environment
end

local count = 0

---@param options { arguments: string[], environment: table<string, string>?, directory: string, path: string? }
---path: of another program
function program.start(options)
  count = count + 1
  local self = setmetatable({}, program)
  local name = options.path and options.path:match "[^/]+$" or options.arguments[1] or "none"
  local stem = ("%s/%d-%s"):format(options.directory, count, name)
  self.stdout_path, self.stderr_path = stem .. ".stdout", stem .. ".stderr"
  local stdout = assert(uv.fs_open(self.stdout_path, "w", 384))
  local stderr = assert(uv.fs_open(self.stderr_path, "w", 384))
  local process, pid = uv.spawn("setpriv", {
    args = { "--pdeathsig", "TERM", options.path or program.path, table.unpack(options.arguments) },
    env = environment_of(options.environment, options.directory),
    stdio = { nil, stdout, stderr },
  }, function(code, signal)
    self.code, self.signal = code, signal
    self.process:close()
  end)
  uv.fs_close(stdout)
  uv.fs_close(stderr)
  self.process, self.pid = process, assert(pid, "cannot start " .. program.path)
  return self
end

function program:stdout()
  return program.read(self.stdout_path)
end

function program:stderr()
  return program.read(self.stderr_path)
end

--- The log so far, decoded; with message, the lines that say that.
---@param message string?
function program:log(message)
  local lines = {}
  for text in self:stdout():gmatch "([^\n]*)\n" do
    local line = cjson.decode(text)
    if not message or line.message == message then lines[#lines + 1] = line end
  end
  return lines
end

--- Waits until condition returns something true, and returns that.
---@param condition fun(): any
---@param timeout_s number?
---@param what string? for the failure
function program.eventually(condition, timeout_s, what)
  local deadline = uv.hrtime() + (timeout_s or 10) * 1000000000
  repeat
    local value = condition()
    if value then return value end
    uv.run "nowait"
    uv.sleep(10)
  until uv.hrtime() > deadline
  return error("in vain waited for " .. (what or "a condition"), 2)
end

--- Waits for the end; returns the exit code, and the signal or 0.
function program:wait(timeout_s)
  program.eventually(function()
    uv.run "nowait"
    return self.code
  end, timeout_s or EXIT_TIMEOUT_S, "the end of process " .. self.pid)
  return self.code, self.signal
end

function program:running()
  uv.run "nowait"
  return not self.code
end

--- Ends it by signal, SIGTERM unless told; it has to end well.
function program:stop(signal)
  if self:running() then uv.kill(self.pid, signal or "sigterm") end
  local ended, code, killed_by = pcall(self.wait, self)
  if not ended then
    uv.kill(self.pid, "sigkill")
    self:wait()
    error("process " .. self.pid .. " did not end: " .. self:stderr(), 2)
  end
  if code ~= 0 or killed_by ~= 0 then
    error(("exit code %d, signal %d: %s"):format(code, killed_by, self:stderr()), 2)
  end
end

--- Ends it at once, however well it is.
function program:kill()
  uv.kill(self.pid, "sigkill")
  self:wait()
end

--- Runs it to its end: exit code, what it wrote, what it complained of.
function program.run(options)
  local process = program.start(options)
  local code, signal = process:wait()
  assert(signal == 0, "ended by signal " .. signal)
  return code, process:stdout(), process:stderr()
end

return program
