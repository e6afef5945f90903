--- What README.md shows, run as it stands there but for addresses.
local program = require "program"
local stage = require "stage"

--- The fenced blocks of a language, in order.
local function blocks(language)
  local found = {}
  for text in program.read "README.md":gmatch("\n```" .. language .. "\n(.-)\n```") do
    found[#found + 1] = text
  end
  return found
end

local function replace(text, replacements)
  for _, pair in ipairs(replacements) do
    local count
    text, count = text:gsub(pair[1]:gsub("%p", "%%%0"), (pair[2]:gsub("%%", "%%%%")))
    assert(count > 0, pair[1] .. " is not in README.md")
  end
  return text
end

describe("README.md", function()
  local on, shells

  setup(function()
    on = stage.open()
    shells = blocks "sh"
  end)
  teardown(function()
    if on then on:close() end
  end)

  --- Runs a text by an interpreter in a directory; its exit code and what it wrote.
  local function run(interpreter, text, directory)
    local file = on.directory .. "/shown"
    program.write(file, text)
    local pipe = assert(io.popen(("cd '%s' && LD_PRELOAD= %s '%s' 2>&1; echo \"exit $?\""):format(directory or ".",
      interpreter, file)))
    local written = pipe:read "a"
    pipe:close()
    return tonumber(written:match "exit (%d+)\n$"), written
  end

  it("makes the three calls with curl", function()
    local text = replace(shells[2], { { "curl ", "curl -sSf " },
      { "127.0.0.1:6000", "127.0.0.1:" .. on.service.port } })
    local code, written = run("sh -e", text)
    assert.equal(0, code, written)
    assert.matches('{"ray_clusters":[{"apiVersion"', written, 1, true)
    assert.matches('"maxReplicas":6,"minReplicas":5', written, 1, true)
  end)

  it("makes them from a notebook", function()
    local text = replace(blocks("python")[1], {
      { "http://localhost:8899", "http://127.0.0.1:" .. on.simulator_port },
      { "http://rayclusterscaler-svc.domino-field", "http://127.0.0.1:" .. on.service.port },
    })
    local code, written = run("python3", text)
    assert.equal(0, code, written)
    assert.matches("'clusterStatus': ", written, 1, true)
  end)

  it("changes a rule", function()
    local directory = on:folder {}
    assert(os.execute(("cp -r scripts policies '%s' && mkdir '%s/build' && ln -s \"$(realpath '%s')\" '%s/build/'")
      :format(directory, directory, program.path, directory)))
    local service = on:serve { SCRIPTS_DIR = directory .. "/scripts", POLICIES_DIR = directory .. "/policies" }
    stage.await_ready(service)
    local name = on:cluster()
    local function most()
      local answer = on:request(stage.uma, { method = "POST", path = "/raycluster/scale", port = service.port,
        body = { cluster_name = name, replicas = 5 } })
      assert.equal(200, answer.status, answer.body)
      return answer.json.spec.autoscaling.maxReplicas
    end

    local code, written = run("sh", shells[3], directory)
    assert.equal(1, code, written)
    assert.matches("five workers leave room for a sixth", written, 1, true)
    program.eventually(function() return service:stdout():find("refused", 1, true) end, 10, "the refusal")
    assert.equal(6, most())

    code, written = run("sh", shells[4], directory)
    assert.equal(0, code, written)
    program.eventually(function() return most() == 5 end, 10, "the new rule")
  end)

  it("names every error with its usual status", function()
    local written, made = {}, {}
    for name, status in program.read "README.md":gmatch "\n| `([a-z_]+)` | (%d%d%d) |" do
      written[name] = status
    end
    for name, status in program.read "scripts/reply.lua":gmatch "\n  ([a-z_]+) = { (%d%d%d), \"" do
      made[name] = status
    end
    local pipe = assert(io.popen "cat host/*.c")
    for status, name in pipe:read("a"):gmatch '[( ](%d%d%d), "([a-z_]+)"' do
      if name ~= "bad_request" then made[name] = status end
    end
    pipe:close()
    assert.same(made, written)
    assert.equal("400", made.bad_request)
  end)

  it("names every command and every route", function()
    local text = program.read "README.md"
    for _, arguments in ipairs { "check", "routes", "--help" } do
      assert.matches("build/rayclusterscaler " .. arguments, text, 1, true)
      assert.equal(0, (run("sh", ("'%s' %s"):format(program.path, arguments))))
    end
  end)
end)
