--- Scripts that try to get out of the sandbox, to change what others see, or to use more than their share, for
--- escapes_spec.lua. They may rely on a module scripts.answer and on the rule policies.rule that they run in.
---
--- What must come of each:
---   result = text    runs, and its value is this text
---   error = pattern  ends with an error; the state goes on
---   limit = name     a limit ends the run, and the state with it; "time", "memory" or "any"; "false": only seems to
---@class Outcome
---@field result string?
---@field error string?
---@field limit string?

---@class Escape: Outcome
---@field [1] string name
---@field [2] string source
---@field rule Outcome? in a rule, where it differs
---@field load Outcome? while a rule loads, where it differs
---@field text boolean? is no function's body, and so runs nowhere: what is to be refused is the text

local READ_ONLY = "read%-only"
local NOT_FOUND = "undefined global"
local ONLY_RULES = { error = "a rule may require only other rules" }
local NOT_RAW = { error = "what is read%-only is read by its fields and by pairs" }

---@type Escape[]
local reaching_out = {
  { "load", "return load('return 1')()", error = NOT_FOUND .. " 'load'" },
  { "loadstring", "return loadstring('return 1')()", error = NOT_FOUND .. " 'loadstring'" },
  { "loadfile", "return loadfile('/etc/passwd')", error = NOT_FOUND .. " 'loadfile'" },
  { "dofile", "return dofile('/etc/passwd')", error = NOT_FOUND .. " 'dofile'" },
  { "os", "return os.getenv('HOME')", error = NOT_FOUND .. " 'os'" },
  { "io", "return io.open('/etc/passwd')", error = NOT_FOUND .. " 'io'" },
  { "debug", "return debug.getregistry()", error = NOT_FOUND .. " 'debug'" },
  { "package", "return package.loadlib('libc.so.6', '*')", error = NOT_FOUND .. " 'package'" },
  { "collectgarbage", "collectgarbage('stop')", error = NOT_FOUND .. " 'collectgarbage'" },
  { "print", "print(1)", error = NOT_FOUND .. " 'print'" },
  { "warn", "warn('@on')", error = NOT_FOUND .. " 'warn'" },
  { "string.dump", "return tostring(string.dump)", result = "nil" },
  { "string.dump by method", "return tostring((''):dump())", error = "method 'dump'" },
  { "math.random", "return tostring(math.random)", result = "nil" },
  { "string.pack", "return tostring(string.pack)", result = "nil" },
  { "a library through _G", "return _G.os", error = NOT_FOUND .. " 'os'" },
  { "a library through _ENV", "return _ENV['io']", error = NOT_FOUND .. " 'io'" },
  { "a library through rawget", "return tostring(rawget(_G, 'os'))", result = "nil", rule = NOT_RAW },
  { "a library through an environment of its own", "local _ENV = {} return os.getenv", error = "global 'os'" },
  { "a library through what pairs shows", "for name in pairs(_G) do return name end return 'none'", result = "none",
    rule = NOT_RAW },
  { "a library through what next shows", "return tostring(next(string))", result = "nil", rule = NOT_RAW },
  { "the globals' metatable", "return tostring(getmetatable(_G))", result = "false" },
  { "another metatable for the globals", "setmetatable(_G, {})", error = "protected metatable" },
  { "a binding's metatable", "return tostring(getmetatable(tostring))", result = "nil" },
  { "the main thread as a coroutine",
    "return tostring(coroutine.close((coroutine.running())))", error = "running coroutine" },
  { "yielding out of the run", "coroutine.yield()", error = "outside a coroutine" },
  { "yielding out of the run, caught", "return tostring(pcall(coroutine.yield))", result = "false" },
}

---@type Escape[]
local changing = {
  { "assigning a global", "answer = 42", error = "cannot assign to 'answer'.*" .. READ_ONLY,
    load = { error = "assigns to global 'answer'" } },
  { "assigning a global by mistake in a function", "local function f() count = 1 end f()", error = "'count'" },
  { "reading an undefined global", "return answer", error = NOT_FOUND .. " 'answer'" },
  { "a global by a key that is no name", "return _G[1]", error = NOT_FOUND },
  { "assigning a global by a key that is no name", "_G[{}] = 1", error = READ_ONLY },
  { "replacing a global function", "pcall = nil", error = READ_ONLY, load = { error = "assigns to global 'pcall'" } },
  { "replacing a library", "string = {}", error = READ_ONLY, load = { error = "assigns to global 'string'" } },
  { "replacing a library's function", "string.format = nil", error = READ_ONLY },
  { "adding to a library", "table.extend = 1", error = READ_ONLY },
  { "rawset on the globals", "rawset(_G, 'pcall', nil)", error = READ_ONLY },
  { "rawset on a library", "rawset(math, 'floor', nil)", error = READ_ONLY },
  { "table.insert into a library", "table.insert(string, 1)", error = READ_ONLY },
  { "table.move into a library", "table.move({ 1 }, 1, 1, 1, utf8)", error = READ_ONLY },
  { "table.remove from a library", "table.remove(string)", error = READ_ONLY },
  { "a metatable for a library", "setmetatable(table, { __index = {} })", error = "protected metatable" },
  { "the string metatable", "return tostring(getmetatable(''))", result = "nil" },
  { "a metatable for strings", "setmetatable('', {})", error = "table expected" },
  { "a method for strings", "('').shout = string.upper", error = "attempt to index a string value" },
  { "the methods of strings", "local s = '' s.rep = nil", error = "attempt to index a string value" },
  { "a finalizer", "setmetatable({}, { __gc = function() end })", error = "'__gc'" },
  { "a finalizer set afterwards", [[
    local ran, meta = false, {}
    setmetatable({}, meta)
    meta.__gc = function() ran = true end
    for _ = 1, 1e5 do local _ = {} end
    return tostring(ran)]], result = "false" },
  { "a weak table", "setmetatable({}, { __mode = 'k' })", error = "'__mode'" },
  { "a protected metatable", "return tostring(getmetatable(setmetatable({}, { __metatable = 'no' })))", result = "no" },
  { "replacing a protected metatable", "setmetatable(setmetatable({}, { __metatable = 1 }), {})", error = "protected" },
}

---@type Escape[]
local changing_modules = {
  { "replacing a function of json", "require('json').decode = function() return {} end", error = READ_ONLY,
    rule = ONLY_RULES },
  { "adding to http", "require('http').shout = 1", error = READ_ONLY, rule = ONLY_RULES },
  { "replacing a function of kube", "rawset(require('kube'), 'get', nil)", error = READ_ONLY, rule = ONLY_RULES },
  { "replacing a function of the cache", "require('cache').fetch = nil", error = READ_ONLY, rule = ONLY_RULES },
  { "replacing a function of the log", "require('log').warn = nil", error = READ_ONLY, rule = ONLY_RULES },
  { "replacing a function of the metrics", "rawset(require('metrics'), 'counter', nil)", error = READ_ONLY,
    rule = ONLY_RULES },
  { "replacing the clock", "require('clock').utc = function() return { hour = 33 } end", error = READ_ONLY,
    rule = ONLY_RULES },
  { "another time for all", "require('clock').utc().hour = 33", error = READ_ONLY, rule = ONLY_RULES },
  { "silencing decisions", "require('decisions').write = function() end", error = READ_ONLY, rule = ONLY_RULES },
  { "another setting", "require('config').compute_namespace = 'kube-system'", error = READ_ONLY, rule = ONLY_RULES },
  { "a metatable for a module", "setmetatable(require('json'), {})", error = "protected metatable",
    rule = ONLY_RULES },
  { "table.insert into a module", "table.insert(require('json'), 1)", error = READ_ONLY, rule = ONLY_RULES },
  { "replacing a function of the scripts", "require('scripts.answer').text = nil", error = READ_ONLY,
    rule = ONLY_RULES },
  { "adding to the scripts", "rawset(require('scripts.answer'), 'more', 1)", error = READ_ONLY, rule = ONLY_RULES },
  { "a table behind a module", [[
    local step, module = pairs(require 'scripts.answer')
    rawset(module, 'text', nil)]], error = READ_ONLY, rule = ONLY_RULES },
  { "what pairs steps through, without a module", [[
    local step = pairs(require 'scripts.answer')
    step({})]], error = "module expected", rule = ONLY_RULES },
  { "reading a module", [[
    local names, answer = {}, require 'scripts.answer'
    for name in pairs(answer) do names[#names + 1] = name end
    table.sort(names)
    return #answer .. table.concat(names)]], result = "0textzero", rule = ONLY_RULES },
  { "requiring the machine's own modules", "require('os')", error = "module 'os' not found", rule = ONLY_RULES },
  { "requiring by a path", "require('scripts./etc/passwd')", error = "not found", rule = ONLY_RULES },
  { "requiring by a path upwards", "require('policies.../scripts/answer')", error = "not found" },
  { "replacing a rule", "require('policies.rule').decide = nil", result = "nil", load = { error = "requires itself" } },
  { "requiring by what is no name", "require({})", error = "string expected" },
}

---@type Escape[]
local looking_in = {
  { "a table's address", "return tostring({})", result = "table" },
  { "a function's address", "return tostring(tostring)", result = "function" },
  { "a coroutine's address", "return tostring(coroutine.create(pcall))", result = "thread" },
  { "an address by %s", "return ('%s %5s %s'):format({}, true, nil)", result = "table  true nil" },
  { "an address by %p", "return ('%p'):format({})", error = "%%p" },
  { "an address by %p behind flags", "return ('%%%-10p'):format({})", error = "%%p" },
  { "an address by %q", "return ('%q'):format({})", error = "no literal form" },
  { "an address by concatenation", "return '' .. {}", error = "attempt to concatenate" },
  { "an address in an error", "error({})", error = "^%(error object is a table value%)\n" },
  { "an address by tostring's type name", "return tostring(setmetatable({}, { __name = 'mine' }))", result = "mine" },
}

---@type Escape[]
local failing = {
  { "an error that is nil", "error()", error = "^%(error object is a nil value%)" },
  { "an error that is a boolean", "error(false)", error = "^%(error object is a boolean value%)" },
  { "an error that is a number", "error(42)", error = "^42\n" },
  { "an error that is a function", "error(error)", error = "^%(error object is a function value%)" },
  { "an error that is a coroutine", "error(coroutine.create(error))", error = "^%(error object is a thread value%)" },
  { "an error that describes itself", "error(setmetatable({}, { __tostring = function() return 'me' end }))",
    error = "^me\n" },
  { "an error whose description fails", "error(setmetatable({}, { __tostring = error }))",
    error = "^%(error object is a table value%)" },
  { "an error whose description is no string", "error(setmetatable({}, { __tostring = function() return {} end }))",
    error = "^%(error object is a table value%)" },
  { "an error whose description never ends",
    "error(setmetatable({}, { __tostring = function() while true do end end }))", limit = "time" },
  { "an error whose description is endless recursion", [[
    local t = setmetatable({}, {})
    getmetatable(t).__tostring = function() return tostring(t) end
    error(t)]], error = "^%(error object is a table value%)" },
  { "a giant error", "error(('x'):rep(1 << 20), 0)", error = "^x+… %(cut%)\n", load = { error = "^x+…\n" } },
  { "a giant name in an error", "local t = {} t[('x'):rep(1 << 20)]()", error = "attempt to call a nil value" },
  { "an error in the message handler", "return tostring(xpcall(error, error))", result = "false" },
  { "a message handler that calls itself", [[
    local function handler() error() end
    return tostring((xpcall(error, handler)))]], result = "false" },
  { "a false memory error", "error('not enough memory', 0)", limit = "false" },
  { "a false memory error, caught", "while true do pcall(error, 'not enough memory', 0) end", limit = "false" },
}

---@type Escape[]
local digging = {
  { "endless recursion", "local function f() return 1 + f() end f()", limit = "any" },
  { "endless recursion, caught", [[
    local function f() return 1 + f() end
    return tostring(pcall(f))]], limit = "any" },
  { "endless recursion through pcall", "local function f() return pcall(f) end return tostring(f())", result = "true" },
  { "endless recursion through xpcall's handler", [[
    local function f() return xpcall(error, f) end
    return tostring(f())]], result = "false" },
  { "endless recursion through gsub", "local function f() return (('x'):gsub('x', f)) end f()", error = "overflow" },
  { "endless recursion through sort", "local function f() table.sort({ 1, 2, 3 }, f) end f()", error = "overflow" },
  { "endless recursion through __index", [[
    local t = setmetatable({}, {})
    getmetatable(t).__index = function(_, key) return t[key] end
    return t.x]], error = "overflow" },
  { "endless recursion through tostring", [[
    local t = setmetatable({}, {})
    getmetatable(t).__tostring = function() return tostring(t) end
    return tostring(t)]], error = "overflow" },
  { "an __index chain that is a ring", [[
    local a, b = {}, {}
    setmetatable(a, { __index = b })
    setmetatable(b, { __index = a })
    return a.x]], error = "loop" },
  { "coroutines inside coroutines", [[
    local function f() return coroutine.wrap(f)() end
    f()]], error = "%.lua:%d+: " },
  { "coroutines inside coroutines, caught", [[
    local function f() return coroutine.resume(coroutine.create(f)) end
    return tostring(f())]], result = "true" },
  { "closing coroutines inside closing coroutines", [[
    local function dig()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = dig })
        coroutine.yield()
      end)
      coroutine.resume(co)
      return coroutine.close(co)
    end
    return tostring(dig())]], result = "true" },
  { "deep calls in every coroutine that closes another", [[
    local dig
    local function deep(n) if n > 0 then return (pcall(deep, n - 1)) end return dig() end
    function dig()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() deep(150) end })
        coroutine.yield()
      end)
      coroutine.resume(co)
      return coroutine.close(co)
    end
    return tostring(dig())]], result = "true" },
  { "deep gsub in every coroutine that closes another", [[
    local dig
    local function deep(n) return (('x'):gsub('x', function() return n > 0 and deep(n - 1) or dig() end)) end
    function dig()
      local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() deep(90) end })
        coroutine.yield()
      end)
      coroutine.resume(co)
      coroutine.close(co)
    end
    dig()
    return 'done']], result = "done" },
  { "a pattern that nests captures", "return ('x'):find(('('):rep(40) .. 'x' .. (')'):rep(40))",
    error = "too many captures" },
  { "a pattern that recurses", "return ('x'):rep(1000):find(('x?'):rep(1000))", error = "too complex" },
  { "parentheses without end", ("("):rep(10000), error = "overflow", text = true },
  { "blocks without end", ("do "):rep(10000), error = "overflow", text = true },
  { "tables inside tables in the text", "return " .. ("{"):rep(10000), error = "overflow", text = true },
  { "functions inside functions in the text", ("return function() "):rep(10000), error = "overflow", text = true },
  { "too many locals", ("local a "):rep(300), error = "too many local variables", text = true },
  { "a binary chunk", "\27Lua", error = "attempt to load a binary chunk", text = true },
  { "a text that is no Lua", "\0\1\2", error = "unexpected symbol", text = true },
}

---@type Escape[]
local never_ending = {
  { "a loop", "while true do end", limit = "time" },
  { "a loop by goto", "::top:: goto top", limit = "time" },
  { "a loop of tail calls", "local function f() return f() end f()", limit = "time" },
  { "a loop over a sequence without end", "for _ = 1, math.huge do end", limit = "time" },
  { "a loop in pcall", "while true do pcall(function() while true do end end) end", limit = "time" },
  { "a loop of pcall as a tail call", [[
    local function f() while true do end end
    return pcall(pcall, pcall, f)]], limit = "time" },
  { "a loop in xpcall and its handler", [[
    local function f() while true do end end
    while true do xpcall(f, f) end]], limit = "time" },
  { "a loop in nested pcalls", [[
    local function f(n) while true do pcall(n > 0 and f or error, n - 1) end end
    f(100)]], limit = "time" },
  { "a loop in a coroutine", "coroutine.wrap(function() while true do end end)()", limit = "time" },
  { "a loop in a coroutine, caught outside", [[
    while true do
      coroutine.resume(coroutine.create(function() while true do end end))
    end]], limit = "time" },
  { "a loop in a coroutine, caught inside", [[
    local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end)
    while true do pcall(co) end]], limit = "time" },
  { "a loop in a coroutine's coroutine", [[
    local function f(n) coroutine.wrap(function() if n > 0 then f(n - 1) end while true do end end)() end
    while true do pcall(f, 20) end]], limit = "time" },
  { "a loop in a coroutine made before", [[
    local made = {}
    for i = 1, 1000 do made[i] = coroutine.wrap(function() while true do pcall(coroutine.yield) end end) end
    while true do for i = 1, 1000 do pcall(made[i]) end end]], limit = "time" },
  { "a loop that resumes and never lets go", [[
    local co = coroutine.create(function() while true do coroutine.yield() end end)
    while true do coroutine.resume(co) end]], limit = "time" },
  { "a loop when a variable closes", [[
    local function never() while true do end end
    while true do
      pcall(function() local _ <close> = setmetatable({}, { __close = never }) error() end)
    end]], limit = "time" },
  { "a loop when many variables close", [[
    local object = setmetatable({}, { __close = function() while true do pcall(error) end end })
    local function f(n) local _ <close> = object if n > 0 then f(n - 1) end while true do end end
    f(100)]], limit = "time" },
  { "a loop when a coroutine is closed", [[
    local co = coroutine.create(function()
      local _ <close> = setmetatable({}, { __close = function() while true do end end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    while true do coroutine.close(co) end]], limit = "time" },
  { "a loop in __index", [[
    local t = setmetatable({}, { __index = function() while true do end end })
    while true do pcall(function() return t.x end) end]], limit = "time" },
  { "a loop in __eq", [[
    local meta = { __eq = function() while true do end end }
    return setmetatable({}, meta) == setmetatable({}, meta)]], limit = "time" },
  { "a loop in __lt of a sort", [[
    local meta = { __lt = function() while true do end end }
    table.sort({ setmetatable({}, meta), setmetatable({}, meta) })]], limit = "time" },
  { "a loop in __concat", "return {} .. setmetatable({}, { __concat = function() while true do end end })",
    limit = "time" },
  { "a loop in __len", "return #setmetatable({}, { __len = function() while true do end end })", limit = "time" },
  { "a loop in __call", "setmetatable({}, { __call = function() while true do end end })()", limit = "time" },
  { "a loop in __pairs", "for _ in pairs(setmetatable({}, { __pairs = function() while true do end end })) do end",
    limit = "time" },
  { "a loop in tostring", "tostring(setmetatable({}, { __tostring = function() while true do end end }))",
    limit = "time" },
  { "a loop in format", "('%s'):format(setmetatable({}, { __tostring = function() while true do end end }))",
    limit = "time" },
  { "a loop in gsub's function", "('x'):gsub('x', function() while true do end end)", limit = "time" },
  { "a loop in a comparator", "table.sort({ 3, 2, 1 }, function() while true do end end)", limit = "time" },
  { "ipairs without end", "for _ in ipairs(setmetatable({}, { __index = function() return 1 end })) do end",
    limit = "time" },
  { "next over a table that was emptied", [[
    local t = {}
    for i = 1, 1e5 do t['k' .. i] = i end
    for key in pairs(t) do t[key] = nil end
    while true do next(t) end]], limit = "time" },
}

---@type Escape[]
local inside_c = {
  { "rep of nothing, without end", "return #(''):rep(1 << 62)", result = "0" },
  { "rep by little, without end", "return #('x'):rep(1 << 62)", error = "too large" },
  { "rep with a separator, without end", "return #(''):rep(1 << 62, 'x')", error = "too large" },
  { "a pattern that backtracks", "return ('a'):rep(400):find(('.-'):rep(3) .. 'b')", error = "too costly" },
  { "a pattern that backtracks, greedily", "return ('a'):rep(1000):match(('a*'):rep(10) .. 'b')",
    error = "too costly" },
  { "a pattern that backtracks over optional items", "return ('a'):rep(40):match(('a?'):rep(40) .. ('a'):rep(41))",
    error = "too costly" },
  { "a pattern that backtracks in a loop", [[
    while true do pcall(string.find, ('a'):rep(400), ('.-'):rep(3) .. 'b') end]], limit = "time" },
  { "a pattern that backtracks in gmatch", "for _ in ('a'):rep(3000):gmatch('.-.-b') do end", error = "too costly" },
  { "a pattern that backtracks in gsub", "return ('a'):rep(3000):gsub('.-.-b', '')", error = "too costly" },
  { "balanced brackets that never close", "return ('('):rep(100000):find('%b()')", error = "too costly" },
  { "a back reference over and over", "return ('a'):rep(20000):find('(a*)%1b')", error = "too costly" },
  { "a set of thousands", "return ('a'):rep(100000):find('[' .. ('b'):rep(100000) .. ']')", error = "too costly" },
  { "gsub of a megabyte in a loop", [[
    local s = ('x'):rep(1 << 20)
    while true do s:gsub('.', string.upper) end]], limit = "time" },
  { "find in a megabyte in a loop", [[
    local s, needle = ('x'):rep(1 << 20), ('x'):rep(1 << 10) .. 'y'
    while true do s:find(needle, 1, true) end]], limit = "time" },
  { "upper and lower of megabytes in a loop", [[
    local s = ('x'):rep(4 << 20)
    while true do s = s:upper():lower() end]], limit = "any" },
  { "comparing megabytes in a loop", [[
    local s = ('\0'):rep(4 << 20)
    while true do local _ = s < s end]], limit = "time" },
  { "utf8.len of megabytes in a loop", "local s = ('x'):rep(4 << 20) while true do utf8.len(s) end", limit = "time" },
  { "numbers of a million digits in a loop", "local s = ('1'):rep(1 << 20) while true do tonumber(s, 10) end",
    limit = "time" },
  { "concat of an endless table",
    "table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 1 << 62)",
    limit = "time" },
  { "concat of an endless table, all in C", "table.concat(setmetatable({}, { __index = select }), '', 1, 1 << 62)",
    error = "." },
  { "concat that concatenates", [[
    local t = {}
    for i = 1, 100000 do t[i] = '' end
    ('x'):rep(1 << 20):gsub('', setmetatable(t, { __index = table.concat }))]], limit = "time" },
  { "insert into a table that says it is endless",
    "table.insert(setmetatable({}, { __len = function() return 1 << 62 end }), 1, 1)", limit = "time" },
  { "insert into a table that says it is endless, all in C", [[
    local t = setmetatable({}, { __len = function() return 1 << 62 end, __index = rawlen, __newindex = rawequal })
    table.insert(t, 1, 1)]], limit = "time" },
  { "remove from a table that says it is endless",
    "table.remove(setmetatable({}, { __len = function() return 1 << 62 end }), 1)", limit = "time" },
  { "move over an endless range", "table.move({}, 1, 1 << 62, 2)", limit = "time" },
  { "move over an endless range to another table", "table.move({}, 1, 1 << 62, 1, {})", limit = "time" },
  { "unpack of an endless range", "return table.unpack({}, 1, 1 << 30)", error = "too many results" },
  { "unpack over the edge of the integers", "return table.unpack({}, math.mininteger, math.maxinteger)",
    error = "too many results" },
  { "unpack in a loop", "local t = {} while true do table.unpack(t, 1, 1e5) end", limit = "time" },
  { "sort of a large table", [[
    local t = {}
    for i = 1, 300000 do t[i] = (i * 7919) % 1000003 end
    while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end]], limit = "time" },
  { "sort of a large table by a function in C", [[
    local t = {}
    for i = 1, 300000 do t[i] = (i * 7919) % 1000003 end
    while true do pcall(table.sort, t, math.ult) end]], limit = "time" },
  { "sort of a table that says it is endless",
    "table.sort(setmetatable({}, { __len = function() return 1 << 30 end, __index = function() return 1 end }))",
    limit = "any" },
  { "sort by an order that contradicts itself", [[
    local t = {}
    for i = 1, 1000 do t[i] = i % 10 end
    return tostring(pcall(table.sort, t, function() return true end))]], result = "false" },
  { "a format of many megabytes", [[
    local s = ('x'):rep(4 << 20)
    while true do s = ('%s%s'):format(s, s) end]], limit = "any" },
  { "keys that collide when the table grows", [[
    local n = 1 << 17
    local t = {}
    for i = 1, n do t[i * (2 * n - 1)] = 1 end
    t[-5] = 1]], limit = "time" },
  { "keys that collide when the table grows, caught", [[
    local n = 1 << 16
    while true do
      pcall(function()
        local t = {}
        for i = 1, n do t[i * (2 * n - 1)] = 1 end
        t[-5] = 1
      end)
    end]], limit = "time" },
  { "a chain of weak keys", [[
    local n, x, meta, keys = 20000, 1, {}, {}
    local chain = setmetatable({}, meta)
    meta.__mode = 'k'
    for i = 1, n do keys[i] = {} end
    for i = n, 2, -1 do
      x = (x * 1103515245 + 12345) % 2147483648
      local j = x % i + 1
      keys[i], keys[j] = keys[j], keys[i]
    end
    for i = 1, n - 1 do rawset(chain, keys[i], keys[i + 1]) end
    keys = { keys[1] }
    while true do local _ = { keys } end]], limit = "time" },
  { "labels without end in the text", function()
    local text = {}
    for i = 1, 50000 do text[i] = ("::l%d:: do end "):format(i) end
    return table.concat(text)
  end, text = true, limit = "time" },
  { "names that the compiler looks for far and wide", function()
    local text, names = {}, {}
    for i = 1, 190 do names[i] = "v" .. i end
    local locals = "local " .. table.concat(names, ",") .. " "
    for i = 1, 150 do text[i] = locals .. "local function f() " end
    text[#text + 1] = ("x=x "):rep(200000)
    text[#text + 1] = ("end "):rep(150)
    return table.concat(text)
  end, text = true, limit = "time" },
}

---@type Escape[]
local hungry = {
  { "a table without end", "local t = {} while true do t[#t + 1] = t end", limit = "any" },
  { "tables without end", "local t = {} while true do t = { t, {}, {} } end", limit = "any" },
  { "a string that doubles", "local s = 'x' while true do s = s .. s end", limit = "memory" },
  { "a string that doubles, caught", "local s = 'x' while true do pcall(function() s = s .. s end) end",
    limit = "memory" },
  { "a string that doubles in a coroutine, caught", [[
    local s = 'x'
    while true do coroutine.resume(coroutine.create(function() while true do s = s .. s end end)) end]],
    limit = "memory" },
  { "a string that doubles in a wrapped coroutine, caught", [[
    local s = 'x'
    while true do pcall(coroutine.wrap(function() while true do s = s .. s end end)) end]], limit = "memory" },
  { "a string that doubles when a variable closes", [[
    local s = 'x'
    local function grow() while true do s = s .. s end end
    while true do
      pcall(function() local _ <close> = setmetatable({}, { __close = grow }) end)
    end]], limit = "memory" },
  { "a string that doubles in a message handler", [[
    local s = 'x'
    while true do xpcall(error, function() while true do s = s .. s end end) end]], limit = "memory" },
  { "strings without end", "local t = {} for i = 1, math.huge do t[i] = ('x'):rep(1000) .. i end", limit = "any" },
  { "closures without end", "local f = pcall while true do local g = f f = function() return g end end",
    limit = "any" },
  { "coroutines without end", "local t = {} while true do t[#t + 1] = coroutine.create(pcall) end", limit = "any" },
  { "arguments without end", [[
    local function f(...) return f(1, 2, 3, 4, 5, 6, 7, 8, ...) end
    f()]], limit = "any" },
  { "results without end", "return (select('#', table.unpack({}, 1, 1e5)))", result = "100000" },
  { "a pack that packs itself", "local t = { 1 } while true do t = table.pack(t, table.unpack(t)) end", limit = "any" },
  { "gsub that grows", "local s = 'x' while true do s = s:gsub('x', 'xxxxxxxxxx') end", limit = "any" },
  { "concat that grows", "local t = { 'x', 'x' } while true do t[1] = table.concat(t) t[2] = t[1] end",
    limit = "any" },
  { "rep as large as the state", "return #('x'):rep(30 << 20)", error = "too large" },
}

---@return Escape[]
local function library()
  local all = {}
  for _, kind in ipairs { reaching_out, changing, changing_modules, looking_in, failing, digging, never_ending,
    inside_c, hungry } do
    for _, escape in ipairs(kind) do
      if type(escape[2]) == "function" then escape[2] = escape[2]() end
      all[#all + 1] = escape
    end
  end
  return all
end

return library()
