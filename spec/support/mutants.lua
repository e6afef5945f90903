--- Ways to break a bundle. Each takes the texts by file name, changes them, and returns true when what it made must be
--- refused; by luck a random one may be fine. The same ones in every run.
local mutants = {}

local function pick(files)
  local names = {}
  for name in pairs(files) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names[math.random(#names)]
end

local function random_bytes(length)
  local bytes = {}
  for i = 1, length do
    bytes[i] = string.char(math.random(0, 255))
  end
  return table.concat(bytes)
end

--- Statements that no bundle may run while it loads.
local BOMBS <const> = {
  "local s = 'x' while true do s = s .. s end",
  "local s = ('x'):rep(1 << 22) local t = {} for i = 1, 1e6 do t[i] = s .. i end",
  "local t = {} for i = 1, 1e9 do t[i] = {} end",
  "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
  "local t = table.pack(table.unpack({}, 1, 1e7))",
  "table.concat({}, 'x', 1, 1e15)",
  "table.move({}, 1, 1 << 60, 2) error 'x'",
  "local s = ('x'):rep(1 << 40)",
  "('a'):rep(400):find(('.-'):rep(30) .. 'b')",
  "('a'):rep(100000):find(('a*'):rep(20) .. 'b')",
  "('a'):rep(50000):gsub(('.-'):rep(9) .. 'b', '')",
  "setmetatable({}, { __gc = function() while true do end end })",
  "for i = 1, 1e6 do setmetatable({}, { __gc = function(o) setmetatable(o, getmetatable(o)) end }) end",
  "local function f() return 1 + f() end f()",
  "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 1] end local x = t.a",
  "local function f() return pcall(f) or error 'x' end f() error 'x'",
  "local function f() return (('x'):gsub('x', f)) end f()",
  "local function f() local c = coroutine.wrap(f) return c() end f()",
  "local t = {} t = setmetatable(t, { __index = t }) local x = t.x",
}

local LOOPS <const> = {
  "while true do end",
  "repeat local ok = pcall(function() while true do end end) until false",
  "local c = coroutine.wrap(function() while true do end end) c()",
  "local x <close> = setmetatable({}, { __close = function() while true do end end })",
  "for _ in function() return 1 end do end",
}

local ERRORS <const> = {
  "nil", "true", "12", "1.5", "{}", "{ { {} } }", "function() end", "('x'):rep(1 << 20)", "'\\0\\n\\r\\t\\27[31m'",
  "coroutine.create(function() end)", "setmetatable({}, { __tostring = function() error {} end })",
  "setmetatable({}, { __tostring = function() return {} end })", "setmetatable({}, { __name = {} })",
  "setmetatable({}, { __index = error, __newindex = error, __call = error, __concat = error })",
  "'policies/rule.lua:999999999999: no such line'",
}

local HUGE <const> = {
  function() return "return {" .. ("0,"):rep(400000) .. "}" end,
  function() return "return {" .. ("{},"):rep(300000) .. "}" end,
  function() return "return " .. ("("):rep(5000) .. "1" .. (")"):rep(5000) end,
  function() return "return " .. ("{"):rep(5000) .. ("}"):rep(5000) end,
  function() return "return " .. ("-"):rep(100000, " ") .. "1" end,
  function() return ("do "):rep(3000) .. ("end "):rep(3000) end,
  function() return "return " .. ("function() return "):rep(1000) .. ("end "):rep(1000) end,
  function() return "local " .. ("x,"):rep(300) .. "x" end,
  function() return "return '" .. ("x"):rep(900000) end,
  function() return "return [" .. ("="):rep(900000) .. "[" end,
  function() return "--[[" .. ("x"):rep(1048576) .. "]]" end,
}

local KINDS <const> = {
  function(files) -- truncated
    local name = pick(files)
    files[name] = files[name]:sub(1, math.random(0, #files[name] - 1))
  end,
  function(files) -- some random bytes
    local name = pick(files)
    for _ = 1, math.random(3) do
      local at, text = math.random(#files[name]), files[name]
      files[name] = text:sub(1, at - 1) .. random_bytes(1) .. text:sub(at + 1)
    end
  end,
  function(files) -- nothing but random bytes
    files[pick(files)] = random_bytes(math.random(2000))
  end,
  function(files) -- swapped files
    local one, other = pick(files), pick(files)
    files[one], files[other] = files[other], files[one]
  end,
  function(files) -- a word that is gone or doubled
    local name = pick(files)
    local wanted, count = math.random(20), 0
    files[name] = files[name]:gsub("%w+", function(word)
      count = count + 1
      if count == wanted then return math.random(2) == 1 and "" or word .. " " .. word end
    end)
  end,
  function(files) -- a file that is gone
    local name = pick(files)
    if next(files, next(files)) then files[name] = nil end
  end,
  function(files) -- bombs
    files[pick(files)] = BOMBS[math.random(#BOMBS)]
    return true
  end,
  function(files) -- bombs behind a rule's examples or in front of a module
    local name = pick(files)
    files[name] = BOMBS[math.random(#BOMBS)] .. "\n" .. files[name]
    return true
  end,
  function(files) -- error objects
    local name = pick(files)
    local raise = ("error(%s, %d)"):format(ERRORS[math.random(#ERRORS)], math.random(0, 3))
    files[name] = raise .. "\n" .. files[name]
    return true
  end,
  function(files) -- huge ones
    local i = math.random(#HUGE)
    files[pick(files)] = HUGE[i]()
    return i > 2
  end,
  function(files) -- compiled code
    local name = pick(files)
    files[name] = string.dump(assert(load(files[name], "x", "t")), math.random(2) == 1)
    return true
  end,
  function(files) -- values that are no contract
    local values = { "", "return nil", "return 1", "return true", "return ''", "return {}", "return function() end" }
    files[pick(files)] = values[math.random(#values)]
  end,
}

--- The nth: texts, and whether they must be refused. Every 50th never ends by itself.
function mutants.make(n, texts)
  math.randomseed(n)
  local files = {}
  for name, text in pairs(texts) do
    files[name] = text
  end
  if n % 50 == 0 then
    local name, loop = pick(files), LOOPS[math.random(#LOOPS)]
    if files["rule.lua"] and n % 100 == 0 then
      files["rule.lua"] = files["rule.lua"]:gsub("function%(%)", "%0 " .. loop, 1)
    else
      files[name] = loop .. "\n" .. files[name]
    end
    return files, true
  end
  return files, KINDS[n % #KINDS + 1](files) or false
end

return mutants
