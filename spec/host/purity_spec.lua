local lfs = require "lfs"
local purity = require "native.purity"

describe("host/purity", function()
  local root

  local function write(name, text)
    local file = assert(io.open(root .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end

  --- A bundle whose endpoint answers what policies.rule's decide returns, asked once for every letter of the path.
  local function bundle(rule, others)
    root = os.tmpname()
    os.remove(root)
    for _, directory in ipairs { "", "/scripts", "/policies" } do assert(lfs.mkdir(root .. directory)) end
    write("scripts/app.lua", [[
      local rule = require "policies.rule"
      local view = setmetatable({}, { __index = { name = "ray-1" }, __newindex = function() error "read-only" end,
        __metatable = "cluster", __pairs = function(self) return function(_, key)
          if not key then return "name", self.name end
        end, self end })
      return function(request)
        local answers = {}
        for i = 1, #request.path do answers[i] = tostring(rule.decide(view)) end
        return { status = 200, body = table.concat(answers, " ") }
      end]])
    write("policies/rule.lua", rule)
    for name, text in pairs(others or {}) do write("policies/" .. name .. ".lua", text) end
    return root .. "/scripts", root .. "/policies"
  end

  local function open(rule, others)
    local state, message = purity.open(bundle(rule, others))
    return assert(state, message)
  end

  after_each(function()
    if root then os.execute("rm -r " .. root) end
    root = nil
  end)

  local EXAMPLES = ", examples = { { name = 'it', given = {}, expect = { 1 } } }"

  --- Rules that count how often they are asked, each in its own way.
  local counters = {
    ["an upvalue"] = [[
      local count = 0
      return { decide = function()
        count = count + 1
        return count
      end @ }]],
    ["an upvalue of a function that it calls"] = [[
      local function counter()
        local count = 0
        return function()
          count = count + 1
          return count
        end
      end
      local tick = counter()
      return { decide = function() return tick() end @ }]],
    ["a table"] = [[
      local seen = { count = 0 }
      return { decide = function()
        seen.count = seen.count + 1
        return seen.count
      end @ }]],
    ["a table that grows"] = [[
      local seen = {}
      return { decide = function()
        table.insert(seen, {})
        return #seen
      end @ }]],
    ["a table deep inside"] = [[
      local seen = { a = { b = { [true] = { count = 0 } } } }
      return { decide = function()
        local inside = seen.a.b[true]
        inside.count = inside.count + 1
        return inside.count
      end @ }]],
    ["a table that is a key"] = [[
      local key = { count = 0 }
      local seen = { [key] = true }
      key = nil
      return { decide = function()
        local found
        for inside in pairs(seen) do found = inside end
        found.count = found.count + 1
        return found.count
      end @ }]],
    ["its module"] = [[
      local rule = { count = 0 @ }
      function rule.decide()
        rule.count = rule.count + 1
        return rule.count
      end
      return rule]],
    ["its own decide"] = [[
      local rule = { count = 0 @ }
      local function decide_nth(n)
        return function()
          rule.decide = decide_nth(n + 1)
          return n
        end
      end
      rule.decide = decide_nth(1)
      return rule]],
    ["its examples"] = [[
      local rule = { decide = nil @ }
      function rule.decide()
        rule.examples = rule.examples or { count = 0 }
        rule.examples.count = (rule.examples.count or 0) + 1
        return rule.examples.count
      end
      return rule]],
    ["a metatable"] = [[
      local meta = { __index = { count = 0 } }
      local seen = setmetatable({}, meta)
      return { decide = function()
        meta.__index = { count = seen.count + 1 }
        return seen.count
      end @ }]],
    ["another metatable"] = [[
      local seen = setmetatable({}, { __index = { count = 0 } })
      return { decide = function()
        setmetatable(seen, { __index = { count = seen.count + 1 } })
        return seen.count
      end @ }]],
    ["a first metatable"] = [[
      local seen = {}
      return { decide = function()
        setmetatable(seen, { __len = (function(n) return function() return n end end)(#seen + 1) })
        return #seen
      end @ }]],
    ["a coroutine that it starts"] = [[
      local tick
      return { decide = function()
        tick = tick or coroutine.wrap(function()
          for i = 1, math.huge do coroutine.yield(i) end
        end)
        return tick()
      end @ }]],
    ["an iterator that it starts"] = [[
      local digits
      return { decide = function()
        digits = digits or ("1 2 3 4 5 6 7 8"):gmatch("%d")
        return tonumber(digits())
      end @ }]],
    ["its globals"] = [[
      local outer = _ENV
      local _ENV = setmetatable({ count = 0 }, { __index = outer })
      return { decide = function()
        count = count + 1
        return count
      end @ }]],
    ["another rule"] = [[
      local other = require "policies.other"
      return { decide = function()
        other.count = other.count + 1
        return other.count
      end @ }]],
    ["a rule that it requires when it is asked"] = [[
      return { decide = function()
        local other = require "policies.other"
        other.count = other.count + 1
        return other.count
      end @ }]],
    ["what another rule keeps"] = [[
      local other = require "policies.other"
      return { decide = function() return other.tick() end @ }]],
  }

  local OTHER = [[
    local count = 0
    return { count = 0, tick = function()
      count = count + 1
      return count
    end, decide = function() return 1 end @ }]]

  for place, text in pairs(counters) do
    it("lets no rule count beyond a request in " .. place, function()
      local state = open(text:gsub("@", EXAMPLES), { other = (OTHER:gsub("@", EXAMPLES)) })
      for _ = 1, 3 do
        local answers, status = state:serve("/xx")
        assert.same({ "1 2 3", 200 }, { answers, status })
      end
      state:close()
    end)
  end

  it("restores what a request left that failed", function()
    local state = open [[
      local count = 0
      return { decide = function()
        count = count + 1
        if count == 2 then error "no" end
        return count
      end }]]
    for _ = 1, 3 do
      assert.equal(500, select(2, state:serve "/x"))
      assert.equal("1", (state:serve "/"))
    end
  end)

  it("brings no finalizer to life that a rule slips in, which would run when nothing limits it", function()
    require("native.sandbox").start()
    finally(require("native.sandbox").stop)
    for _, order in ipairs { "table, meta", "meta, table" } do
      local state = open((([[
        local table, meta = {}, {}
        setmetatable(table, meta)
        local asked = 0
        return { decide = function()
          local _, _ = ORDER
          asked = asked + 1
          meta.__gc = nil
          setmetatable(table, asked == 2 and meta or nil)
          meta.__gc = function() for _ = 1, 2e8 do end end
          if asked == 2 then while true do end end
          return asked
        end }]]):gsub("ORDER", order)))
      assert.equal("1", (state:serve "/"))
      local start = os.clock()
      assert.equal(500, select(2, state:serve "/x")) -- the state is closed as the request left it
      assert.is_true(os.clock() - start < 1)
    end
  end)

  it("gives up a state in which a rule's table took what the next request may need", function()
    local state = open [[
      local seen = {}
      return { decide = function()
        for i = 1, 270000 do seen[i + 0.5] = true end
        for i = 1, 270000 do seen[i + 0.5] = nil end
        return 1
      end }]]
    assert.equal("1", (state:serve "/"))
    assert.has_error(function() state:serve "/" end, "calling 'serve' on bad self (closed)")
  end)

  it("leaves no trace of a rule that could not be required", function()
    for other, text in pairs { missing = "", broken = "error 'boom'", other = "return { decide = 1 }" } do
      local state = open((([[return { decide = function()
        local ok, message = pcall(require, "policies.NAME")
        return ok or message
      end }]]):gsub("NAME", other)), other ~= "missing" and { [other] = text } or nil)
      local first = state:serve "/"
      assert.equal(first, (state:serve "/"))
      assert.equal(first, (state:serve "/"))
      state:close()
      os.execute("rm -r " .. root)
      root = nil
    end
  end)

  it("keeps what a rule reads, in every kind of table", function()
    local state = open [[
      local limits = { [1] = 1, [2] = 2, [0.5] = "half", [true] = "yes", name = "limits" }
      local list = { "a", "b", "c", nil, "e" }
      local shared = {}
      limits.shared, list.shared = shared, shared
      local function keys(t)
        local count = 0
        for _ in pairs(t) do count = count + 1 end
        return count
      end
      return { decide = function()
        local answer = table.concat({ keys(limits), limits[0.5], limits[true], #limits, keys(list), list[5],
          tostring(limits.shared == list.shared) }, ",")
        limits[0.5], limits[true], list[5], limits.new, limits.shared = nil, false, nil, 1, {}
        return answer
      end }]]
    for _ = 1, 3 do
      assert.equal("6,half,yes,2,5,e,true", (state:serve "/"))
    end
  end)

  describe("refuses a rule that keeps", function()
    for what, text in pairs {
      ["a coroutine"] = "local kept = coroutine.create(function() end)",
      ["an iterator"] = "local kept = coroutine.wrap(function() end)",
      ["an iterator of a text"] = "local kept = { { (('a'):gmatch('a')) } }",
    } do
      it(what, function()
        local state, message = purity.open(bundle(text .. "\nreturn { decide = function() return kept end }"))
        assert.is_nil(state)
        assert.matches("policies.rule keeps " .. what:match("^%a+ %a+") .. ", which would carry state from one request",
          message)
      end)
    end
  end)

  describe("gives a rule", function()
    local function message_of(expression)
      local state, message = purity.open(bundle("local result = " .. expression .. "\nreturn { decide = type }"))
      return not state and message or nil
    end

    it("nothing but rules to require", function()
      for _, name in ipairs { "http", "kube", "log", "clock", "cache", "config", "decisions", "json", "metrics",
        "scripts.app", "scripts.rules", "policies", "policiesX", "io", "os" } do
        for _, call in ipairs { "require(%q)", "_G.require(%q)", "select(2, assert(pcall(require, %q)))",
          "(function(...) return require(...) end)(%q)", "({ pcall(require, %q) })[9].x" } do
          local message = message_of(call:format(name))
          assert.is_string(message, call:format(name))
        end
        assert.matches(("a rule may require only other rules (policies.*), not '%s'"):format(name):gsub("%p", "%%%0"),
          message_of(("require(%q)"):format(name)))
      end
    end)

    it("other rules", function()
      local state = open("return { decide = require('policies.other').decide }",
        { other = "return { decide = function() return 7 end }" })
      assert.equal("7", (state:serve "/"))
    end)

    it("globals that it cannot change", function()
      for _, change in ipairs { "(function() x = 1 end)()", "rawset(_G, 'x', 1)", "rawset(_ENV, 'x', 1)",
        "setmetatable(_G, nil)", "table.insert(_G, 1)", "(function() string.x = 1 end)()", "rawset(string, 'x', 1)",
        "(function() _G.require = nil end)()", "undefined_global" } do
        assert.is_string(message_of(change), change)
      end
    end)

    it("no way around what is read-only", function()
      for _, way in ipairs { "next(c)", "rawget(c, 1)", "rawset(c, 'x', 1)", "rawlen(c)", "pairs({})(c)",
        "setmetatable(c, nil)", "table.insert(c, 1)", "(function() c.name = 2 end)()" } do
        local state = open(("return { decide = function(c) local _ = %s\nreturn 1 end }"):format(way))
        local _, status = state:serve "/"
        assert.equal(500, status, way)
        state:close()
      end
      local state = open [[return { decide = function(c)
        local found = ""
        for key, value in pairs(c) do found = found .. key .. "=" .. value end
        return found
      end }]]
      assert.equal("name=ray-1", (state:serve "/"))
    end)

    it("the raw functions for tables of its own", function()
      local state = open [[return { decide = function()
        local t = setmetatable({ 1, 2, x = 3 }, { __index = function() return "index" end })
        rawset(t, "y", 4)
        local count = 0
        for _ in next, t do count = count + 1 end
        for _ in pairs(t) do count = count + 1 end
        return table.concat({ count, rawlen(t), rawget(t, "y"), tostring(rawget(t, "z")), next({ 5 }) }, ",")
      end }]]
      assert.equal("8,2,4,nil,1,5", (state:serve "/"))
    end)
  end)

  describe("in the proof", function()
    it("finds the examples, and lets each meet the rules as they were loaded", function()
      local text = [[
        local count = 0
        return { decide = function()
          count = count + 1
          return count
        end, examples = {
          { name = "once", given = {}, expect = { 1 } },
          { name = "again", given = {}, expect = { 1 } },
        } }]]
      assert(purity.prove(bundle(text)))
      local valid, findings = purity.prove(bundle((text:gsub("{ 1 }", "{ 2 }"))))
      assert.is_nil(valid)
      assert.matches('example "again" expected 2, got 1', findings)
    end)

    it("looks at rules that no endpoint asks", function()
      local valid, findings = purity.prove(bundle("return { decide = function() return 1 end" .. EXAMPLES .. "}",
        { idle = "local kept = coroutine.create(function() end) return { decide = function() return kept end }" }))
      assert.is_nil(valid)
      assert.matches("policies.idle keeps a coroutine", findings)
    end)
  end)
end)
