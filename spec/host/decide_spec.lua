local build = require "build"
local processes = require "processes"
local program = require "program"

local OWN = '[{"id":"u1","admin":false},"get",{"name":"ray-1","owner":"u1"}]'

describe("rayclusterscaler decide", function()
  local directory

  local function policies(files)
    directory = program.directory()
    for name, text in pairs(files) do program.write(("%s/%s.lua"):format(directory, name), text) end
    return directory
  end

  local function decide(policy, given, ...)
    return processes.run { program.path, "decide", "--policy", policy, "--given", given, ... }
  end

  --- The number of the line of a rule that holds a text.
  local function line_of(path, text)
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      if line:find(text, 1, true) then return number end
    end
  end

  after_each(function()
    if directory then program.remove(directory) end
    directory = nil
  end)

  it("prints verdict, reason and the line that returned it", function()
    local path = "policies/authorization.lua"
    local output, code = decide("authorization", (OWN:gsub('"owner":"u1"', '"owner":"u2"')))
    assert.equal(("verdict: deny\nreason: not_owner\nline: %s:%d\n"):format(path, line_of(path, '"not_owner"')), output)
    assert.equal(1, code)
    output, code = decide("authorization", OWN)
    assert.matches("^verdict: allow\nline: policies/authorization.lua:%d+\n$", output)
    assert.equal(0, code)
  end)

  it("prints a plan, and a refusal", function()
    local output, code = decide("scaling", '[{"replicas":5},{"autoscaling":{"min_replicas":1}},{"id":"u1"}]')
    assert.matches("^verdict: plan\nplan: 5 workers, autoscaling from 5 to 6\nline: policies/scaling.lua:%d+\n$",
      output)
    assert.equal(0, code)
    output, code = decide("scaling", '[{"replicas":5},{"autoscaling":null},{"id":"u1"}]')
    assert.matches("^verdict: refuse\nreason: not_scalable\nline: policies/scaling.lua:%d+\n$", output)
    assert.equal(1, code)
  end)

  it("takes null for nil, at the top and inside", function()
    assert.matches("reason: no_caller", (decide("authorization", '[null,"get",null]')))
    assert.matches("reason: no_owner", (decide("authorization", '[{"id":"u1"},"get",{"owner":null}]')))
    assert.matches("reason: no_cluster", (decide("authorization", '[{"id":"u1"},"get",null]')))
  end)

  it("finds the line behind tail calls, protected calls and helpers", function()
    local other = policies {
      authorization = [[
        local function helper(x)
          local ok = pcall(error, "x")
          return not ok and x
        end
        local function tail(x)
          return x, "tail"
        end
        local function decide(caller)
          pcall(function() error "x" end)
          if caller.id == "tail" then return tail(false) end
          local value = helper(false)
          return value, "own"
        end
        return { decide = decide }]],
      scaling = "return { decide = function() end }",
    }
    assert.equal("verdict: deny\nreason: tail\nline: policies/authorization.lua:6\n",
      (decide("authorization", '[{"id":"tail"}]', "--policies", other)))
    assert.equal("verdict: deny\nreason: own\nline: policies/authorization.lua:12\n",
      (decide("authorization", '[{"id":"own"}]', "--policies", other)))
  end)

  it("tells of a rule that fails, breaks its contract, or does not end", function()
    local broken = policies {
      authorization = [[return { decide = function(caller)
        if caller.id == "bomb" then local t = {} for i = 1, 1e9 do t[i] = { i } end end
        if caller.id == "loop" then while true do end end
        if caller.id == "raise" then error "boom" end
        return caller.id
      end }]],
      scaling = "return { decide = function() end }",
    }
    for id, expected in pairs {
      -- Sanitizers make filling the memory slow.
      bomb = build.sanitized and "reason: .*limit exceeded" or "reason: memory limit exceeded",
      loop = "reason: .*time limit exceeded",
      raise = "reason: policies/authorization.lua:4: boom",
      text = "reason: the verdict is neither true nor false but text",
    } do
      local output, code = decide("authorization", ('[{"id":"%s"}]'):format(id), "--policies", broken)
      assert.matches("^verdict: error\n" .. expected, output)
      assert.equal(2, code)
    end
  end)

  it("says which rule or argument is wrong", function()
    for _, case in ipairs {
      { { "nothing", "[]" }, "module 'policies.nothing' not found" },
      { { "../scripts/app", "[]" }, "not found" },
      { { "authorization", "{}" }, "must be the JSON array" },
      { { "authorization", "" }, "must be the JSON array" },
      { { "authorization", "[1" }, "must be the JSON array.*: .* at byte" },
      { { "authorization", "[]", "--policies", "/nowhere" }, "/nowhere" },
    } do
      local output, code = decide(table.unpack(case[1]))
      assert.matches(case[2], output)
      assert.equal(2, code)
    end
    for _, arguments in ipairs { {}, { "--policy", "scaling" }, { "--given", "[]" }, { "--policy" }, { "x", "y" } } do
      local output, code = processes.run { program.path, "decide", table.unpack(arguments) }
      assert.matches("not with these arguments", output)
      assert.equal(2, code)
    end
  end)

  it("prints what a rule answers that has no contract", function()
    local other = policies {
      authorization = "return { decide = function() return true end }",
      scaling = "return { decide = function() end }",
      limits = "return { decide = function(id) return { most = id == 'a' and 5 or 10 } end }",
    }
    assert.equal('verdict: answer\nanswer: {"most":5}\nline: policies/limits.lua:1\n',
      (decide("limits", '["a"]', "--policies", other)))
  end)
end)
