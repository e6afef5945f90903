--- Busted's plain output, closed by one line that names the totals: "12 passed, 0 failed, 1 skipped".
return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.plainTerminal"(options)

  local function close()
    io.write(("%d passed, %d failed, %d skipped\n"):format(handler.successesCount,
      handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    return nil, true
  end

  busted.subscribe({ "exit" }, close, { priority = 100 })
  return handler
end
