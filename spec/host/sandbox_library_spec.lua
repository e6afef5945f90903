local native = require "native.sandbox"

-- What scripts call instead of the library's own functions must do the same. Each text makes many calls with arguments
-- that a small generator picks and returns what came of them, a line a call; it runs here and in the sandbox.
local prelude = [==[
  local state = %d
  local function random(n)
    state = (state * 1103515245 + 12345) %% 2147483648
    return state // 65536 %% n + 1
  end
  local function pick(list) return list[random(#list)] end
  local function show(ok, ...)
    if not ok then return "error" end
    local shown = table.pack(...)
    for i = 1, shown.n do
      local value = shown[i]
      if type(value) == "table" then
        local items = {}
        for j = -3, 12 do items[#items + 1] = tostring(rawget(value, j)) end
        value = "{" .. table.concat(items, " ") .. "}"
      end
      shown[i] = tostring(value)
    end
    return table.concat(shown, "|")
  end
  local lines = {}
  local function try(title, f, ...) lines[#lines + 1] = title .. " -> " .. show(pcall(f, ...)) end
]==]

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

describe("host/sandbox_library", function()
  setup(function() assert.is_true(native.start()) end)
  teardown(function() native.stop() end)

  local function same_as_the_original(body)
    for seed = 1, 5 do
      local source = prelude:format(seed) .. body .. "\nreturn table.concat(lines, '\\n')"
      local expected = lines_of(assert(load(source, "=script"))())
      local box = native.open(256 << 20, 0, 0)
      local run = box:run(source)
      box:close()
      assert.is_true(run.ok, run.error)
      local actual = lines_of(run.result)
      for i, line in ipairs(expected) do
        if line ~= actual[i] then assert.equal(line, actual[i]) end
      end
      assert.equal(#expected, #actual)
      assert.is_true(#actual > 500)
    end
  end

  it("matches patterns like the original", function()
    same_as_the_original [==[
      local items = { "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%A", "%.", "%%", "[ab]", "[^a]", "[a-c]", "[%a_]",
        "[]]", "[^]]", "[a-]", "[%-a]", "[a", "%", "(", ")", "()", "(a", ")", "^", "$", "%b()", "%bab", "%b", "%f[a]",
        "%f[%W]", "%fa", "%1", "%2", "%0", "\0", "[\0-a]", "(.)", "(a*)", "(.-)", "]", "%g", "%p", "%x" }
      local suffixes = { "", "", "", "", "*", "+", "-", "?", "**" }
      local characters = { "a", "b", "c", "(", ")", "1", " ", "_", "-", "%", "]", "\0", "\n", "\255" }
      local replacements = { "", "x", "%0", "%1", "%2", "%%", "%", "<%1>", "%9", 7, { a = "A", b = false, c = 3 },
        { a = {} }, function(...) return select("#", ...) end, function() end, function(x) return x end, true }
      for _ = 1, 3000 do
        local pattern, subject = {}, {}
        for i = 1, random(5) do pattern[i] = pick(items) .. pick(suffixes) end
        for i = 1, random(10) - 1 do subject[i] = pick(characters) end
        local p, s = table.concat(pattern), table.concat(subject)
        local title = ("%q %q"):format(s, p):gsub("\n", "n")
        local init = random(25) - 13
        try("find " .. title .. init, string.find, s, p, init)
        try("find plain " .. title, string.find, s, p, 1, true)
        try("match " .. title .. init, string.match, s, p, init)
        try("gsub " .. title, string.gsub, s, p, pick(replacements))
        try("gsub n " .. title, string.gsub, s, p, pick(replacements), random(4) - 2)
        try("gmatch " .. title, function()
          local found = {}
          for a, b in s:gmatch(p, init) do found[#found + 1] = tostring(a) .. "," .. tostring(b) end
          return table.concat(found, ";")
        end)
      end]==]
  end)

  it("handles tables like the original", function()
    same_as_the_original [==[
      local numbers = { -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 1.5, "2", "x", math.maxinteger, math.mininteger }
      local function list()
        local t = {}
        for i = 1, random(7) - 1 do t[i] = pick { i, "s" .. i, i + 0.5 } end
        return t
      end
      local function sparse()
        local t = list()
        t[random(5) - 1] = pick { true, "x", 1 }
        return t
      end
      local function near() return pick { -2, -1, 0, 1, 2, 3, 4, 5, 6 } end
      for _ = 1, 1000 do
        local t = pick { list, sparse } ()
        local a, b, c = pick(numbers), pick(numbers), near()
        try("insert", function() table.insert(t, a) return t end)
        try("insert at " .. a, function() table.insert(t, a, b) return t end)
        try("insert too much", table.insert, t, 1, 2, 3)
        try("remove", function() return table.remove(t), t end)
        try("remove at " .. a, function() return table.remove(t, a), t end)
        try("concat", table.concat, t, pick { ",", "", 1, {} })
        try("concat part", table.concat, t, ",", near(), near())
        try("unpack", table.unpack, t)
        try("unpack part", table.unpack, t, near(), near())
        try("move", function() return table.move(t, near(), near(), c) end)
        try("move away", function() return table.move(t, near(), near(), c, list()) end)
        try("move far", function() return table.move(t, 1, b, math.maxinteger - 1, {}) end)
        local sorted = {}
        for i = 1, random(30) do sorted[i] = random(100) end
        try("sort", function() table.sort(sorted) return table.concat(sorted, " ") end)
        try("sort down", function()
          table.sort(sorted, function(x, y) return x > y end)
          return table.concat(sorted, " ")
        end)
        try("sort mixed", table.sort, { 1, "a", 2 })
        try("sort by no function", table.sort, { 1, 2 }, 1)
      end
      local last = math.maxinteger
      try("concat of the last integers", table.concat, { [last] = "x" }, ",", last, last)
      for _, f in ipairs { table.insert, table.remove, table.concat, table.unpack, table.sort } do
        try("no table", f, 1, 1)
      end
      try("metamethods", function()
        local log = {}
        local t = setmetatable({}, { __len = function() return 3 end, __index = function(_, i) return i * 10 end,
          __newindex = function(_, i, v) log[#log + 1] = i .. "=" .. tostring(v) end })
        table.insert(t, 2, "x")
        table.remove(t, 1)
        return table.concat(log, " "), table.concat(t, " "), table.unpack(t)
      end)]==]
  end)

  it("repeats, formats and shows strings like the original", function()
    same_as_the_original [==[
      for _ = 1, 500 do
        local s, n, separator = ("xyz"):sub(1, random(4) - 1), random(20) - 3, ("-+"):sub(1, random(3) - 1)
        try("rep", string.rep, s, n)
        try("rep separated", string.rep, s, n, separator)
      end
      local values = { 1, -7, 2.5, "text", "12", true, false, "a\0b" }
      for _ = 1, 1000 do
        local format = pick { "%s", "%5s", "%-5.2s", "%d", "%5.1f", "%%", "%q", "%i%%%s", "%x %s", "%c", "%s %s", "%y",
          "%", "%10.123f", "a%%b%sc" }
        try("format " .. format, string.format, format, pick(values), pick(values))
        try("tostring", tostring, pick(values))
      end
      try("tostring nil", tostring, nil)
      try("tostring nothing", tostring)
      try("format nothing", string.format, "%s")
      try("format nil", string.format, "%s %s", nil, nil)
      try("__tostring", tostring, setmetatable({}, { __tostring = function() return "me" end }))
      try("__tostring in format", string.format, "%5s", setmetatable({}, { __tostring = function() return "me" end }))
      try("__tostring that is no string", tostring, setmetatable({}, { __tostring = function() return 1 end }))
      try("__name", string.format, "%.4s", setmetatable({}, { __name = "mine" }))]==]
  end)

  it("runs coroutines and catches errors like the original", function()
    same_as_the_original [==[
      local function body(kind)
        return function(...)
          local _ <close> = setmetatable({}, { __close = function(_, e)
            if kind == 6 then error(tostring(e) .. "+", 0) end
          end })
          local x = coroutine.yield(...)
          if kind == 1 then error("plain", 0) end
          if kind == 2 then error({ 1 }) end
          if kind == 3 then return select("#", ...), pcall(coroutine.yield, x) end
          if kind == 4 then
            return xpcall(function() coroutine.yield(x) error("inside", 0) end, function(m) return m .. "!" end)
          end
          if kind == 5 then return coroutine.wrap(function() coroutine.yield(1) error("wrapped", 0) end)() end
          return "end", x
        end
      end
      for _ = 1, 200 do
        local co, wrapped, kind = coroutine.create(body(random(7))), coroutine.wrap(body(random(7))), random(3)
        for i = 1, 4 do
          try("resume", coroutine.resume, co, i, nil)
          try("status", coroutine.status, co)
          if i == kind then
            try("close", coroutine.close, co)
            try("close again", coroutine.close, co)
          end
          try("wrapped", wrapped, i)
        end
      end
      try("resume itself", function() return coroutine.resume((coroutine.running())) end)
      try("resume no coroutine", coroutine.resume, 1)
      try("wrap no function", coroutine.wrap, 1)
      try("close a normal one", function()
        local outer
        outer = coroutine.create(function() return coroutine.wrap(function() return coroutine.close(outer) end)() end)
        return coroutine.resume(outer)
      end)
      try("where a wrapped error came from", function()
        return select(2, pcall(coroutine.wrap(function() error("x", 0) end)))
      end)
      for i = 0, 3 do
        try("xpcall", xpcall, function(...) return select("#", ...), ... end, error, table.unpack({ 1, 2, 3 }, 1, i))
        try("xpcall that fails", xpcall, error, function(...) return select("#", ...) end, table.unpack({ 1, 2 }, 1, i))
      end
      try("xpcall without a handler", xpcall, error)
      try("pcall of nothing", pcall)
      try("pcall of nil", pcall, nil)
      for _, f in ipairs { rawset, setmetatable, getmetatable } do try("of nothing", f) end
      try("rawset", function() local t = setmetatable({}, { __newindex = error }) return rawset(t, 1, 2) end)
      try("setmetatable", function() local m = {} return getmetatable(setmetatable({}, m)) == m end)
      try("setmetatable to nil", function() return getmetatable(setmetatable(setmetatable({}, {}), nil)) end)]==]
  end)

  it("gives every pattern that is linear enough steps for any subject", function()
    local box = native.open(64 << 20, 0, 0)
    local run = box:run [==[
      local s = ("key = value, "):rep(100000)
      local n = 0
      for key, value in s:gmatch("(%w+)%s*=%s*([^,]+)") do n = n + #key + #value end
      return n .. " " .. select(2, s:gsub("%s", "")) .. " " .. tostring(s:find("%d")) .. " " .. #s:gsub(".", "%0%0")]==]
    assert.equal("800000 300000 nil 2600000", run.result, run.error)
    box:close()
  end)
end)
