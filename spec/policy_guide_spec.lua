--- policies/README.md, done as it says: every command that needs no cluster, and a ConfigMap's way into the service.
local cjson = require "cjson"
local client = require "client"
local lyaml = require "lyaml"
local processes = require "processes"
local program = require "program"
local stage = require "stage"

local guide = program.read "policies/README.md"

local FULL <const> = "at most 10 workers by day; ask an administrator for more"

--- The commands of the guide with what they print, in order.
local function commands()
  local list, at = {}, 1
  while true do
    local _, last, language, code = guide:find("```(%l+)\n(.-)```", at)
    if not last then return list end
    if language == "sh" then
      list[#list + 1] = { command = code }
    elseif language == "text" and list[#list] and not list[#list].output then
      list[#list].output = code
    elseif language == "text" then
      list.refused = code
    end
    at = last + 1
  end
end

--- A text with "…" for what differs each time, as a pattern.
local function pattern_of(text)
  return "^" .. text:gsub("%p", "%%%0"):gsub("…", ".-") .. "$"
end

local function command(start)
  for _, item in ipairs(commands()) do
    if item.command:find(start, 1, true) then return item end
  end
  error("the guide does not show " .. start)
end

describe("policies/README.md", function()
  local directory, checkout

  setup(function()
    directory = program.directory()
    checkout = assert(io.popen "pwd"):read "l"
    for _, name in ipairs { "scripts", "policies", "helm", "values.yaml" } do
      assert(os.execute(("ln -s '%s/%s' '%s/%s'"):format(checkout, name, directory, name)))
    end
    local build = program.path:match "^%./(.*)/[^/]*$"
    assert(os.execute(("ln -s '%s/%s' '%s/build'"):format(checkout, build, directory)))
    assert(os.execute(("mkdir '%s/my-policies' && cp policies/*.lua '%s/my-policies'"):format(directory, directory)))
    program.write(directory .. "/my-policies/scaling.lua", guide:match "```lua\n(%-%- scaling.lua\n.-)```")

    local lines = {}
    for i, case in ipairs { { "u1", 5 }, { "u1", 10 }, { "u2", 40 } } do
      lines[i] = cjson.encode {
        message = "decision", policy = "scaling", action = "scale", verdict = "plan", caller = case[1],
        cluster = i == 3 and "ray-2" or "ray-1",
        plan = { replicas = case[2], min_replicas = case[2], max_replicas = case[2] + 1 },
        given = { { replicas = case[2] }, { autoscaling = { min_replicas = 1 } }, { id = case[1] }, { hour = 12 } },
      }
    end
    program.write(directory .. "/decisions.jsonl", table.concat(lines, "\n") .. "\n")
  end)

  teardown(function() program.remove(directory) end)

  local function run(start, code)
    local item = command(start)
    local output, status = processes.run { "sh", "-c", ("cd '%s' && %s"):format(directory, item.command) }
    assert.matches(pattern_of(item.output), output)
    assert.equal(code, status)
  end

  it("proves the rule", function()
    run("build/rayclusterscaler check", 0)
  end)

  it("explains a decision to the line of the rule", function()
    run("build/rayclusterscaler decide", 1)
  end)

  it("decides a log again", function()
    run("build/rayclusterscaler replay", 1)
  end)

  it("brings it in as a ConfigMap, and tells what serves and what is refused", function()
    local create = command("--dry-run=client").command:match "^(.-) |\n"
    local yaml, status = processes.run { "sh", "-c", ("cd '%s' && PATH='%s/build/tools':$PATH && %s"):format(directory,
      checkout, create) }
    assert.equal(0, status, yaml)
    local files = lyaml.load(yaml).data
    assert.equal(program.read(directory .. "/my-policies/scaling.lua"), files["scaling.lua"])
    files["README.md"] = nil

    local service = stage.open { POLICIES_DIR = files }
    local ok, message = pcall(function()
      local function policy()
        return client.request(service.service.admin_port, { path = "/policy" }).body
      end
      local function hour()
        return tonumber(os.date "!%H")
      end
      assert.matches(pattern_of(command("/policy").output:gsub("\n$", "")), policy())

      local before = hour()
      local answer = service:scale(stage.uma, stage.clusters.umas, 11)
      if before == hour() then
        if before >= 20 or before < 6 then
          assert.equal(200, answer.status, answer.body)
        else
          assert.same({ 403, "refused_by_policy", FULL }, { answer.status, answer.error, answer.json.message })
        end
      end
      assert.equal(200, service:scale(stage.admin, stage.clusters.umas, 12).status)

      local path = service.directory .. "/folder-1/scaling.lua"
      program.write(path, (files["scaling.lua"]:gsub("LIMIT = 10", "LIMIT = 11", 1)))
      local shown = commands().refused:gsub("\n$", "")
      program.eventually(function() return policy():find('"refused":{', 1, true) end)
      assert.matches(pattern_of(shown):sub(2, -2), policy())
    end)
    service:close()
    assert(ok, message)
  end)

  it("explains a decision from its line of the log", function()
    local service = stage.open { DECISION_LOG = directory .. "/log.jsonl", DECISION_SAMPLE_RATE = "0" }
    local ok, message = pcall(function()
      assert.equal(403, service:get(stage.urs, "/raycluster/" .. stage.clusters.umas).status)
      assert.equal(200, service:scale(stage.uma, stage.clusters.umas, 3).status)
      assert.equal(200, service:get(stage.uma, "/raycluster/" .. stage.clusters.umas).status)
      assert.equal(200, service:get(stage.uma, "/raycluster/list").status)
    end)
    service:close()
    assert(ok, message)
    local verdicts = {}
    for line in io.lines(directory .. "/log.jsonl") do
      local decision = cjson.decode(line)
      assert.matches("^%x+$", decision.revision)
      verdicts[#verdicts + 1] = decision.verdict
      local output, code = processes.run { program.path, "decide", "--policy", decision.policy, "--given",
        line:match '"given":(%[.*%])}$' }
      assert.matches("^verdict: " .. decision.verdict .. "\n", output)
      assert.matches("\nline: policies/" .. decision.policy .. ".lua:%d+\n$", output)
      assert.equal(decision.verdict == "deny" and 1 or 0, code)
      assert.is_nil(line:find("token", 1, true))
    end
    assert.same({ "deny", "allow", "plan" }, verdicts)
    assert.equal(0, select(2, processes.run { program.path, "replay", directory .. "/log.jsonl" }))
  end)
end)
