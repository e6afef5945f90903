--- Starts programs for specs and ends them by their own id.
-- busted forgets modules between files, but luv does not survive a second opening in one state.
local registry = debug.getregistry()
local uv = registry["processes.luv"] or require "luv"
registry["processes.luv"] = uv

local processes = {}

--- Waits until done() is true, at most for so many milliseconds. The loop's own timers and pipes go on meanwhile.
local function wait(ms, done)
  local timer = uv.new_timer()
  uv.update_time() -- the loop's clock stands still between its runs
  local over = false
  timer:start(ms, 0, function()
    over = true
  end)
  while not over and not done() do
    uv.run("once")
  end
  timer:close()
  uv.run("nowait")
  return done()
end

--- uv.spawn, which must not fail: luv crashes later when it does.
local function spawn(command, options, on_exit)
  if command[1]:find("/", 1, true) then
    assert(io.open(command[1])):close()
  end
  return assert(uv.spawn(command[1], options, on_exit), "cannot start " .. command[1])
end

--- Starts a command line (a list) and waits for the first line of its standard output, if asked for. quiet says that
--- nobody wants to see its standard error; input, that write and finish are wanted.
---@return { line: string, stop: function, text: function, write: function, finish: function }
function processes.start(command, options)
  options = options or {}
  local output, input = uv.new_pipe(false), options.input and uv.new_pipe(false) or nil
  local text, ended = "", false
  local process = spawn(command, {
    args = { table.unpack(command, 2) },
    stdio = { input, output, not options.quiet and 2 or nil },
  }, function()
    ended = true
  end)
  output:read_start(function(_, bytes)
    text = text .. (bytes or "")
  end)
  if options.line then
    wait(5000, function()
      return ended or text:find("\n")
    end)
  end
  local started = { line = text:match("^[^\n]*") }
  --- What it has written so far.
  function started.text()
    uv.run("nowait")
    return text
  end
  function started.write(bytes)
    input:write(bytes)
    uv.run("nowait")
  end
  --- Ends its input, and waits for its end; what it has written.
  function started.finish(ms)
    input:close()
    assert(wait(ms, function()
      return ended
    end), "it did not end")
    return started.text()
  end
  function started.stop()
    if not ended then
      process:kill("sigkill")
      wait(5000, function()
        return ended
      end)
    end
    output:close()
    process:close()
    if input and not input:is_closing() then
      input:close()
    end
    uv.run("nowait")
  end
  return started
end

--- The environment with the sanitizer that native modules need, see summary.lua.
local function native_environment()
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    list[#list + 1] = (name == "NATIVE_PRELOAD" and "LD_PRELOAD" or name) .. "=" .. value
  end
  return list
end

--- Runs a command line to its end, a minute at most: CPU time takes its time on a busy machine. input is for its
--- standard input; native says that it loads native modules, and so what this process preloaded for them.
---@return string output both kinds
---@return integer? code
function processes.run(command, options)
  options = options or {}
  local input, outputs = uv.new_pipe(false), { uv.new_pipe(false), uv.new_pipe(false) }
  local text, open, code = "", #outputs, nil
  local process = spawn(command, {
    args = { table.unpack(command, 2) },
    env = options.native and native_environment() or nil,
    stdio = { input, table.unpack(outputs) },
  }, function(status, signal)
    code = status + signal
  end)
  for _, output in ipairs(outputs) do
    output:read_start(function(_, bytes)
      text = text .. (bytes or "")
      if not bytes then
        open = open - 1
        output:close()
      end
    end)
  end
  input:write(options.input or "")
  input:shutdown(function()
    input:close()
  end)
  if not wait(60000, function()
    return code and open == 0
  end) then
    process:kill("sigkill")
  end
  process:close()
  uv.run("nowait")
  return text, code
end

--- A port of this machine that nobody listens on just now.
function processes.free_port()
  local socket = uv.new_tcp()
  socket:bind("127.0.0.1", 0)
  local port = socket:getsockname().port
  socket:close()
  uv.run("nowait")
  return port
end

--- True once somebody accepts connections there.
function processes.wait_for_port(port)
  for _ = 1, 100 do
    local socket = uv.new_tcp()
    local failure
    socket:connect("127.0.0.1", port, function(problem)
      failure = problem or false
    end)
    wait(1000, function()
      return failure ~= nil
    end)
    socket:close()
    uv.run("nowait")
    if failure == false then
      return true
    end
    uv.sleep(50)
  end
  return false
end

return processes
