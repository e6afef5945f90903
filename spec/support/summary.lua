--- Busted's plain output, closed by one line that names the totals: "12 passed, 0 failed, 1 skipped". Where TOTALS
--- names a file they are added to it instead, for whoever sums up several runs.
local uv = require "luv"

-- A sanitizer that was preloaded for native modules is none of the business of programs that specs start; one that
-- loads native modules itself finds it here.
local preloaded = uv.os_getenv "LD_PRELOAD"
if preloaded then
  uv.os_setenv("NATIVE_PRELOAD", preloaded)
  uv.os_unsetenv "LD_PRELOAD"
end

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.plainTerminal"(options)

  local function close()
    local path = os.getenv "TOTALS"
    local out = path and assert(io.open(path, "a")) or io.stdout
    out:write(("%d passed, %d failed, %d skipped\n"):format(handler.successesCount,
      handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    out:flush() -- a sanitizer may end the process before the libraries do
    if path then out:close() end
    io.stdout:flush()
    return nil, true
  end

  busted.subscribe({ "exit" }, close, { priority = 100 })
  return handler
end
