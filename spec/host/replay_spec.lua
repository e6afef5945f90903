local cjson = require "cjson"
local processes = require "processes"
local program = require "program"

local NOW = { hour = 21, minute = 5, weekday = 7, utc = "2026-11-22T21:05:21Z" }
local jane, ada = { id = "u1", admin = false }, { id = "a1", admin = true }

local function authorization(verdict, caller, action, owner, reason)
  return cjson.encode {
    message = "decision", policy = "authorization", verdict = verdict, reason = reason, action = action,
    caller = caller.id, cluster = "ray-1", given = { caller, action, { name = "ray-1", owner = owner }, NOW },
  }
end

local function scaling(verdict, caller, replicas, max, reason)
  return cjson.encode {
    message = "decision", policy = "scaling", verdict = verdict, reason = reason, action = "scale",
    plan = verdict == "plan" and { replicas = replicas, min_replicas = replicas, max_replicas = max } or nil,
    caller = caller.id, cluster = "ray-1", given = { { replicas = replicas }, { autoscaling = {} }, caller, NOW },
  }
end

describe("rayclusterscaler replay", function()
  local directory

  before_each(function() directory = program.directory() end)
  after_each(function() program.remove(directory) end)

  --- A copy of the policies with changes: { module = { from, to } }.
  local function changed(changes)
    local path = directory .. "/policies"
    assert(os.execute(("mkdir -p %s && cp policies/*.lua %s"):format(path, path)))
    for name, change in pairs(changes) do
      local file = ("%s/%s.lua"):format(path, name)
      local text = program.read(file)
      local first, last = text:find(change[1], 1, true)
      program.write(file, text:sub(1, assert(first) - 1) .. change[2] .. text:sub(last + 1))
    end
    return path
  end

  local function replay(lines, policies)
    local path = directory .. "/decisions.jsonl"
    program.write(path, type(lines) == "table" and table.concat(lines, "\n") .. "\n" or lines)
    return processes.run { program.path, "replay", path, policies and "--policies", policies }
  end

  local LOG = {
    authorization("allow", jane, "get", "u1"),
    authorization("deny", jane, "get", "u2", "not_owner"),
    authorization("allow", ada, "scale", "u2"),
    scaling("plan", jane, 5, 6),
    scaling("plan", ada, 50, 51),
  }

  it("says that nothing changes", function()
    local output, code = replay(LOG)
    assert.equal("5 decisions in 5 lines, 0 bad ones\n5 would be the same\n", output)
    assert.equal(0, code)
  end)

  it("tells what widens, with the line of the log and the line of the rule", function()
    local output, code = replay(LOG, changed { authorization = { 'return false, "not_owner"', "return true" } })
    assert.matches("\n4 would be the same\nwidens: 1\n  line 2: authorization get ray%-1 by u1: deny %(not_owner%) "
      .. "%-> allow, at policies/authorization.lua:%d+\n$", output)
    assert.equal(1, code)
  end)

  it("tells what narrows", function()
    local output, code = replay(LOG, changed { authorization = { "if caller.admin == true then return true end", "" } })
    assert.matches("narrows: 1\n  line 3: authorization scale ray%-1 by a1: allow %-> deny %(not_owner%)", output)
    assert.equal(1, code)
  end)

  it("tells which plans differ, and which wishes are refused or no longer", function()
    local output = replay(LOG, changed { scaling = { "n + 1", "n + 2" } })
    assert.matches("plan differs: 2\n  line 4: scaling scale ray%-1 by u1: 5 workers, autoscaling from 5 to 6 %-> "
      .. "5 workers, autoscaling from 5 to 7", output)
    local limit = { "local n = wish.replicas", 'local n = wish.replicas if n > 9 then return nil, "too many" end' }
    output = replay(LOG, changed { scaling = limit })
    assert.matches("narrows: 1\n  line 5: .* %-> refuse %(too many%)", output)
    output = replay { scaling("refuse", jane, 5, nil, "too many") }
    assert.matches("widens: 1\n  line 1: .*refuse %(too many%) %-> 5 workers", output)
  end)

  it("tells of errors, and goes on behind a rule that hits a limit", function()
    local output, code = replay(LOG, changed {
      scaling = { "local n = wish.replicas", "local n = wish.replicas while n == 5 do end" },
      authorization = { "if caller.admin == true then", "if caller.admin == true then error 'boom'" },
    })
    assert.matches("errors: 2\n", output)
    assert.matches("line 3: [^\n]*boom", output)
    assert.matches("line 4: [^\n]*time limit exceeded", output)
    assert.matches("^5 decisions in 5 lines", output)
    assert.equal(1, code)
  end)

  it("takes another reason for no change, but shows it", function()
    local output, code = replay(LOG, changed { authorization = { '"not_owner"', '"not yours"' } })
    assert.matches("5 would be the same\nother reason: 1\n  line 2: ", output)
    assert.equal(0, code)
  end)

  it("decides every decision by the rules as they were loaded", function()
    local rule = "local asked = 0\nlocal function decide(wish, cluster, caller)\nasked = asked + 1\n"
      .. "if asked > 1 then return nil, 'again' end"
    local text = program.read("policies/scaling.lua")
    local signature = text:match("local function decide%(wish[^\n]*")
    assert.equal(0, select(2, replay(LOG, changed { scaling = { signature, rule } })))
  end)

  it("reads decisions among other lines", function()
    local output, code = replay {
      '{"message":"request","code":200}', LOG[1], "", '{"message":"decision","verdict":"list","clusters":3}', LOG[2],
    }
    assert.matches("^2 decisions in 5 lines, 0 bad ones\n", output)
    assert.equal(0, code)
  end)

  it("gives the time, so that a rule may ask for it", function()
    local night = { "local n = wish.replicas", "local n = wish.replicas if now.hour == 21 then return nil, 'late' end" }
    local policies = changed { scaling = night }
    local text = program.read(policies .. "/scaling.lua")
    text = text:gsub("decide%(wish, cluster, caller%)", "decide(wish, cluster, caller, now)", 1)
    program.write(policies .. "/scaling.lua", text)
    assert.matches("narrows: 2\n", (replay(LOG, policies)))
  end)

  describe("of a log of any bytes", function()
    local function bad(line)
      local output, code = replay { LOG[1], line, LOG[2] }
      assert.matches("^2 decisions in %d lines, 1 bad ones\n", output)
      assert.matches("\nbad lines: 1\n  line 2: ", output)
      assert.equal(0, code)
      return output:match("  line 2: ([^\n]*)")
    end

    it("names the bad lines", function()
      assert.matches("at byte", bad "{")
      assert.matches("at byte", bad(LOG[1]:sub(1, 100)))
      assert.equal("not a JSON object", bad "7")
      assert.matches("", bad "\0\0\0")
      assert.matches("", bad "\27[31mred\xff")
      assert.matches("at byte", bad(("["):rep(100000)))
      assert.equal("names no policy", bad '{"message":"decision"}')
      assert.equal("names no policy", bad '{"message":"decision","policy":"../x","verdict":"deny","given":[]}')
      assert.equal("has no verdict", bad '{"message":"decision","policy":"scaling","verdict":"perhaps","given":[]}')
      assert.equal("has no plan", bad '{"message":"decision","policy":"scaling","verdict":"plan","given":[]}')
      for _, given in ipairs { "null", "7", '"x"', '{"a":1}' } do
        assert.equal("has no list of what was given",
          bad('{"message":"decision","policy":"scaling","verdict":"deny","given":' .. given .. "}"))
      end
      assert.equal("is longer than 1 MiB", bad(("x"):rep(1024 * 1024 + 1)))
      assert.equal("is longer than 1 MiB", bad(("x"):rep(3 * 1024 * 1024)))
    end)

    it("survives a line that takes more memory than a state may have", function()
      bad('{"message":"decision","policy":"scaling","verdict":"deny","given":[' .. ("{},"):rep(340000) .. "{}]}")
    end)

    it("shows no control bytes of it", function()
      local line = authorization("deny", { id = "u\27[31m\n1" }, "get\7", "u2", "not\27owner")
      local output = replay { (line:gsub("not_owner", "x")) }
      assert.is_nil(output:find("[^ -~\n]"))
    end)

    it("takes what is left of a last line that was cut", function()
      local output, code = replay(LOG[1] .. "\n" .. LOG[2]:sub(1, 50))
      assert.matches("^1 decisions in 2 lines, 1 bad ones\n", output)
      assert.equal(0, code)
    end)

    it("takes any damage to a log", function()
      math.randomseed(7)
      local text = table.concat(LOG, "\n") .. "\n"
      local pieces = {}
      for i = 1, 400 do
        local at = math.random(#text)
        local kind = i % 3
        if kind == 0 then
          pieces[i] = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1)
        elseif kind == 1 then
          pieces[i] = text:sub(1, at - 1) .. text:sub(at + math.random(20))
        else
          pieces[i] = text:sub(1, at) .. text:sub(math.random(#text))
        end
      end
      local output, code = replay(table.concat(pieces))
      assert.matches("^%d+ decisions in %d+ lines, %d+ bad ones\n", output)
      assert.is_true(code <= 1)
    end)
  end)

  it("fails when there is nothing to decide", function()
    for _, text in ipairs { "", "\n", '{"message":"request"}\n', "x\n" } do
      assert.equal(2, select(2, replay(text)))
    end
    local output, code = processes.run { program.path, "replay", "/nowhere" }
    assert.equal("rayclusterscaler: /nowhere: No such file or directory\n", output)
    assert.equal(2, code)
    assert.equal(2, select(2, processes.run { program.path, "replay", "/tmp" }))
    assert.equal(2, select(2, replay(LOG, "/nowhere")))
    for _, arguments in ipairs { {}, { "--policies" }, { "a", "b" }, { "--x" } } do
      output, code = processes.run { program.path, "replay", table.unpack(arguments) }
      assert.matches("not with these arguments", output)
      assert.equal(2, code)
    end
  end)

  it("reads standard input for -", function()
    local output, code = processes.run({ program.path, "replay", "-" }, { input = LOG[1] .. "\n" })
    assert.matches("^1 decisions in 1 lines", output)
    assert.equal(0, code)
  end)
end)
