--- Rules that change while they serve: nothing is lost, nothing is mixed, and what is broken never serves.
local bundle = require "native.bundle"
local client = require "client"
local crowd = require "crowd"
local disk = require "disk"
local mutants = require "mutants"
local program = require "program"
local stage = require "stage"
local uv = require "luv"

local sanitized = require("build").sanitized

local CONNECTIONS <const> = 32
local RELOADS <const> = sanitized and 100 or 1000
local MUTANTS <const> = sanitized and 100 or 1000
local WORKERS <const> = 8
--- Of a client between two requests, so that reloads get their share of the machine.
local PAUSE_MS <const> = 2
local ACTIVE_MS <const> = 250
--- Of a machine that does other things meanwhile.
local PATIENCE <const> = sanitized and 20 or 4

local GET <const> = "GET /x HTTP/1.1\r\nHost: service\r\n\r\n"

local POLICY <const> = [[
return { decide = function() return %q end, examples = { { name = "it", given = {}, expect = { %q } } } }
]]

--- Names the bundle in three modules; one of them is asked for only while a request runs.
local function scripts(name)
  return {
    ["app.lua"] = [[
local first = require "scripts.first"
local rule = require "policies.rule"
return function()
  return { status = 200, headers = { ["Content-Type"] = "text/plain" },
    body = first .. " " .. require "scripts.second" .. " " .. rule.decide() }
end]],
    ["first.lua"] = ("return %q"):format(name),
    ["second.lua"] = ("-- %s\nreturn %q"):format(("padding "):rep(200), name),
  }
end

local function policies(name)
  return { ["rule.lua"] = POLICY:format(name, name) }
end

describe("live rules", function()
  local root, processes

  local function serve(directory, settings)
    local environment = {
      LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0", KUBECONFIG = root .. "/kubeconfig",
      SCRIPTS_DIR = directory .. "/scripts", POLICIES_DIR = directory .. "/policies", DRAIN_SECONDS = "0",
    }
    for name, value in pairs(settings or {}) do
      environment[name] = value
    end
    local process = program.start { arguments = { "serve" }, environment = environment, directory = root }
    processes[#processes + 1] = process
    local function port(pattern)
      return tonumber(program.eventually(function()
        if not process:running() then error(process:stderr() .. process:stdout(), 0) end
        return process:stdout():match(pattern)
      end, 30, pattern))
    end
    process.port, process.admin_port = port "listening on port (%d+)", port "admin on port (%d+)"
    return process
  end

  local function get(process, path)
    return client.request(process.port, { path = path or "/x" })
  end

  local function admin(process, path)
    return client.request(process.admin_port, { path = path })
  end

  local function policy(process)
    return admin(process, "/policy").json
  end

  local function metric(process, name)
    return tonumber(admin(process, "/metrics").body:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
  end

  --- A directory with scripts and policies of that name, as a person would have them.
  local function plain(name)
    local directory = disk.mkdir(root .. "/" .. name)
    disk.fill(directory .. "/scripts", scripts(name))
    disk.fill(directory .. "/policies", policies(name))
    return directory
  end

  --- The same as two ConfigMaps' mounts.
  local function mounted(name)
    local directory = disk.mkdir(root .. "/" .. name)
    disk.mount(disk.mkdir(directory .. "/scripts"), scripts(name))
    disk.mount(disk.mkdir(directory .. "/policies"), policies(name))
    return directory
  end

  --- Milliseconds until condition is true.
  local function time_until(condition)
    local start = uv.hrtime()
    program.eventually(condition, 20)
    return (uv.hrtime() - start) / 1e6
  end

  before_each(function()
    root, processes = disk.directory(), {}
    disk.write(root .. "/kubeconfig", [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters: [{name: spec, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: spec, user: {token: token}}]
]])
  end)

  after_each(function()
    for _, process in ipairs(processes) do
      process:stop()
    end
    disk.remove_all(root)
  end)

  it("serve within a moment of being saved, in whatever way", function()
    local directory = plain "one"
    local first, rule = directory .. "/scripts/first.lua", directory .. "/policies/rule.lua"
    local service = serve(directory)
    assert.equal("one one one", get(service).body)
    local slowest = 0
    local function change(expected, how)
      how()
      local took = time_until(function() return get(service).body == expected end)
      slowest = math.max(slowest, took)
    end
    change("two one one", function() disk.write(first, "return 'two'") end)
    change("three one one", function() disk.replace(first, "return 'three'") end)
    change("three one rule", function() disk.replace(rule, POLICY:format("rule", "rule")) end)
    change("three one one", function() -- in place, within the same second, with the same size and times
      local before = uv.fs_stat(rule)
      disk.write(rule, (POLICY:format("one ", "one "):gsub('"one "', "'one'..''", 2)))
      disk.write(rule, POLICY:format("one", "one"))
      uv.fs_utime(rule, before.atime.sec, before.mtime.sec)
    end)
    change("four one one", function() -- a directory that is replaced
      disk.fill(root .. "/next", scripts "one")
      disk.write(root .. "/next/first.lua", "return 'four'")
      disk.rename(directory .. "/scripts", root .. "/old")
      disk.rename(root .. "/next", directory .. "/scripts")
    end)
    change("five one one", function() disk.write(first, "return 'five'") end)
    change("five five five", function() -- a checkout, file by file
      for name, text in pairs(scripts "five") do
        disk.unlink(directory .. "/scripts/" .. name)
        disk.write(directory .. "/scripts/" .. name, text)
      end
      disk.write(rule, policies("five")["rule.lua"])
    end)
    io.write(("[active within %.0f ms] "):format(slowest))
    assert.truthy(slowest < ACTIVE_MS * (sanitized and 4 or 1))
  end)

  it("are refused when they are broken, with file, line and reason, and what served serves on", function()
    local directory = plain "good"
    local rule = directory .. "/policies/rule.lua"
    local service = serve(directory)
    local before = policy(service)
    assert.equal("directory", before.active.source)
    assert.matches("^%d+%-%d+%-%d+T[%d:.]+Z$", before.active.since)
    assert.equal("policies/rule.lua", before.active.files[1].path)
    assert.equal(4, #before.active.files)
    assert.equal(1, before.reloads)
    assert.equal(0, before.refusals)
    assert.equal(1, metric(service, ("rayclusterscaler_policy_info{revision=%q}"):format(before.active.revision)))
    assert.equal(1, metric(service, "rayclusterscaler_policy_in_sync"))

    local function refused(text, reason)
      disk.replace(rule, text)
      local count = policy(service).refusals
      program.eventually(function() return policy(service).refusals > count end, 10, reason)
      local after = policy(service)
      assert.equal(reason, after.refused.reasons[1])
      assert.is_true(after.refused.on_disk)
      assert.same(before.active, after.active)
      assert.equal(0, metric(service, "rayclusterscaler_policy_in_sync"))
      assert.equal(after.refusals, metric(service, "rayclusterscaler_policy_refused_total"))
      program.eventually(function()
        return service:stdout():find('"refused scripts and policies","revision":"' .. after.refused.revision, 1, true)
      end)
      local answer = get(service)
      assert.equal("good good good", answer.body)
      assert.equal(before.active.revision, answer.headers["x-policy-revision"])
    end
    refused("return {", "policies/rule.lua:1: unexpected symbol near <eof>")
    refused(POLICY:format("good", "bad"), 'policies/rule.lua:1: example "it" expected "bad", got "good"')
    refused("return { decide = function() return 'good' end }", "policies/rule.lua:1: has no list `examples`")
    refused(POLICY:format("good", "good"):gsub("return ", "local x = 1\nif nil then forgotten() end\nreturn ", 1),
      "policies/rule.lua:2: undefined global 'forgotten'")
    refused("while true do end", "policies/rule.lua:1: cpu time limit exceeded")
    assert.equal(1, metric(service, 'rayclusterscaler_limit_hits_total{limit="cpu"}'))

    disk.replace(rule, policies("good")["rule.lua"])
    program.eventually(function() return not policy(service).refused.on_disk end)
    local after = policy(service)
    assert.same(before.active, after.active)
    assert.equal("policies/rule.lua:1: cpu time limit exceeded", after.refused.reasons[1])
    assert.equal(1, metric(service, "rayclusterscaler_policy_in_sync"))
    assert.equal(1, after.reloads)
  end)

  it("do not meet what others before them kept in the cache, nor name another's revision", function()
    local directory = plain "one"
    local app = [[
local cache = require "cache"
return function(request)
  if request.path == "/lie" then return { status = 200, headers = { ["x-policy-revision"] = "another" } } end
  local kept = cache.fetch("spec", "key", 60000, function() return { %q } end)
  return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = kept[1] }
end]]
    disk.write(directory .. "/scripts/app.lua", app:format "old")
    local service = serve(directory)
    assert.equal("old", get(service).body)
    disk.write(directory .. "/scripts/app.lua", app:format "new")
    program.eventually(function() return policy(service).reloads == 2 end)
    assert.equal("new", get(service).body)
    local answer = get(service, "/lie")
    assert.equal(500, answer.status)
    assert.equal(policy(service).active.revision, answer.headers["x-policy-revision"])
  end)

  it("meet what was kept beyond rules, until code changes", function()
    local directory = plain "one"
    local app = [[
local cache = require "cache"
return function()
  local kept = cache.fetch("spec", "key", 60000, function() return { %q } end, { beyond_rules = true })
  return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = kept[1] }
end]]
    disk.write(directory .. "/scripts/app.lua", app:format "old")
    local service = serve(directory)
    assert.equal("old", get(service).body)
    disk.write(directory .. "/policies/rule.lua", program.read(directory .. "/policies/rule.lua") .. "\n-- edited\n")
    program.eventually(function() return policy(service).reloads == 2 end)
    assert.equal("old", get(service).body)
    disk.write(directory .. "/scripts/app.lua", app:format "new")
    program.eventually(function() return policy(service).reloads == 3 end)
    assert.equal("new", get(service).body)
  end)

  it("serve on while their directory is gone, and are refused once for it", function()
    local directory = plain "here"
    local service = serve(directory)
    disk.rename(directory, root .. "/gone")
    program.eventually(function() return policy(service).refused ~= require("cjson").null end)
    local refused = policy(service).refused
    assert.same({ directory .. "/scripts: No such file or directory" }, refused.reasons)
    assert.equal(require("cjson").null, refused.revision)
    uv.sleep(2500)
    assert.equal(1, policy(service).refusals)
    assert.equal("here here here", get(service).body)
    disk.rename(root .. "/gone", directory)
    program.eventually(function() return not policy(service).refused.on_disk end)
    assert.equal(1, policy(service).reloads)
  end)

  it("that no event tells of are found by looking", function()
    local directory = plain "one"
    disk.fill(root .. "/elsewhere", { ["first.lua"] = "return 'linked'" })
    disk.unlink(directory .. "/scripts/first.lua")
    disk.link(root .. "/elsewhere/first.lua", directory .. "/scripts/first.lua")
    local service = serve(directory)
    assert.equal("linked one one", get(service).body)
    disk.write(root .. "/elsewhere/first.lua", "return 'found'")
    assert(time_until(function() return get(service).body == "found one one" end) < 2500 * PATIENCE)
  end)

  describe("at the start", function()
    it("leave the service alive and not ready when there are none, until there are", function()
      local directory = disk.mkdir(root .. "/later")
      local service = serve(directory)
      assert.equal(200, admin(service, "/healthz").status)
      local ready = admin(service, "/readyz")
      assert.equal(503, ready.status)
      assert.same({ directory .. "/scripts: No such file or directory" }, ready.json.reasons)
      local answer = get(service)
      assert.equal(503, answer.status)
      assert.equal("not_ready", answer.json.error)
      assert.truthy(answer.json.detail:find("No such file or directory", 1, true))
      assert.is_nil(answer.headers["x-policy-revision"])

      disk.fill(directory .. "/scripts", scripts "now")
      disk.fill(directory .. "/policies", { ["rule.lua"] = "return nonsense" })
      program.eventually(function() return get(service).json.detail:find("undefined global 'nonsense'", 1, true) end)
      assert.equal(503, admin(service, "/readyz").status)
      disk.write(directory .. "/policies/rule.lua", policies("now")["rule.lua"])
      program.eventually(function() return admin(service, "/readyz").status == 200 end)
      assert.equal("now now now", get(service).body)
    end)

    it("are the last good ones when those on disk are refused", function()
      local directory, state = plain "good", disk.mkdir(root .. "/state")
      local rule = directory .. "/policies/rule.lua"
      local service = serve(directory, { STATE_DIR = state })
      local revision = policy(service).active.revision
      assert.equal(0, metric(service, "rayclusterscaler_policy_from_state"))
      disk.write(rule, "return {")
      program.eventually(function() return policy(service).refusals == 1 end)
      service:stop()

      service = serve(directory, { STATE_DIR = state })
      assert.equal(200, admin(service, "/readyz").status)
      local answer = get(service)
      assert.equal("good good good", answer.body)
      assert.equal(revision, answer.headers["x-policy-revision"])
      local document = policy(service)
      assert.equal("state", document.active.source)
      assert.is_true(document.refused.on_disk)
      assert.equal(1, metric(service, "rayclusterscaler_policy_from_state"))
      assert.equal(0, metric(service, "rayclusterscaler_policy_in_sync"))
      assert.truthy(service:stdout():find("serving the last good scripts and policies", 1, true))

      disk.write(rule, policies("better")["rule.lua"])
      program.eventually(function() return get(service).body == "good good better" end)
      assert.equal("directory", policy(service).active.source)
      assert.equal(0, metric(service, "rayclusterscaler_policy_from_state"))
      service:stop()

      disk.write(rule, "return {")
      for _, harm in ipairs {
        function() disk.write(state .. "/current/scripts/app.lua", "evil") end,
        function()
          disk.unlink(state .. "/current")
          disk.write(state .. "/current", "no link")
        end,
        function() disk.remove_all(state) end,
      } do
        service = serve(directory, { STATE_DIR = state })
        harm()
        service:stop()
        service = serve(directory, { STATE_DIR = state })
        assert.equal(200, admin(service, "/healthz").status)
        assert.equal(503, get(service).status)
        service:stop()
        if uv.fs_stat(state) then disk.remove_all(state) end
        disk.mkdir(state)
        disk.write(rule, policies("better")["rule.lua"])
        serve(directory, { STATE_DIR = state }):stop()
        disk.write(rule, "return {")
      end
    end)
  end)

  it("change under load: nothing fails, nothing is mixed, memory stays", function()
    local directory = mounted "a"
    local service = serve(directory)
    local revisions, current, streak = {}, "a", 0
    local function check(status, head, body)
      local first, second, rule = body:match "^(%S+) (%S+) (%S+)$"
      local revision = head:match "\r\nX%-Policy%-Revision: (%x+)\r\n"
      if status ~= 200 or not first or not revision then error(head .. body) end
      if first ~= second or not rule:find "^[ab]$" then error("mixed: " .. body) end
      local key = first .. rule -- both mounts are swapped, one after the other
      revisions[key] = revisions[key] or revision
      if revisions[key] ~= revision then error(body .. " is of two revisions") end
      streak = first == current and rule == current and streak + 1 or 0
    end
    get(service)
    local idle_bytes = metric(service, "rayclusterscaler_lua_memory_bytes")
    local people = crowd.start(service.port, CONNECTIONS, { GET }, check, PAUSE_MS)
    local resident
    for i = 1, RELOADS do
      local name = i % 2 == 1 and "b" or "a"
      disk.mount(directory .. "/scripts", scripts(name))
      disk.mount(directory .. "/policies", policies(name))
      current, streak = name, 0 -- one answer a client may still be of before
      if not crowd.run_until(function() return streak > CONNECTIONS end, 5 * PATIENCE) then
        error(("reload %d never served"):format(i))
      end
      if i == RELOADS // 4 then resident = metric(service, "process_resident_memory_bytes") end
    end
    people:stop()
    assert.same({}, people.failures)
    assert.equal(people.asked, people.count)
    disk.mount(directory .. "/scripts", scripts "c")
    disk.mount(directory .. "/policies", policies "c")
    program.eventually(function() return get(service).body == "c c c" end)
    program.eventually(function() return metric(service, "rayclusterscaler_lua_states") == 1 end)
    local bytes = metric(service, "rayclusterscaler_lua_memory_bytes")
    if bytes > idle_bytes * 1.5 then error(("%d bytes, not %d"):format(bytes, idle_bytes)) end
    assert.truthy(policy(service).reloads >= RELOADS)
    local grown = metric(service, "process_resident_memory_bytes") - resident
    if not sanitized and grown > 8 * 1024 * 1024 then error("grown by " .. grown) end
    io.write(("[%d answers, slowest %.0f ms, %d bytes more] "):format(people.count, people.slowest_ms, grown))
  end)

  it("change under list, get and scale: nothing fails", function()
    local world = stage.open()
    finally(function() world:close() end)
    local policies_directory = world:folder({}, "policies")
    local service = world:serve { POLICIES_DIR = policies_directory }
    stage.await_ready(service)
    local token = "Host: service\r\nAuthorization: Bearer " .. stage.uma.token .. "\r\n"
    local body = ('{"cluster_name":%q,"replicas":3}'):format(stage.clusters.umas)
    local requests = {
      "GET /raycluster/list HTTP/1.1\r\n" .. token .. "\r\n",
      ("GET /raycluster/%s HTTP/1.1\r\n%s\r\n"):format(stage.clusters.umas, token),
      ("POST /raycluster/scale HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(
        token, #body, body),
    }
    local revision, streak
    local people = crowd.start(service.port, CONNECTIONS, requests, function(status, head, answer)
      if status ~= 200 then error(head .. answer) end
      streak = head:match "\r\nX%-Policy%-Revision: (%x+)\r\n" == revision and streak + 1 or 0
    end)
    local rule = disk.read "policies/scaling.lua"
    for i = 1, RELOADS // 50 do
      disk.replace(policies_directory .. "/scaling.lua", rule .. ("-- %d"):format(i % 2))
      revision = assert(bundle.read { { "scripts", "scripts" }, { "policies", policies_directory } }).revision
      streak = 0
      if not crowd.run_until(function() return streak > CONNECTIONS end, 5 * PATIENCE) then
        error(("reload %d never served"):format(i))
      end
    end
    people:stop()
    assert.same({}, people.failures)
    assert.truthy(policy(service).reloads > RELOADS // 50)
    io.write(("[%d answers, slowest %.0f ms] "):format(people.count, people.slowest_ms))
  end)

  it("that are mutated never serve unless they pass the proof, and harm nobody", function()
    local null = require("cjson").null
    local refused, active, running = 0, 0, 0

    --- Waits until the service has made up its mind about what lies in directory; true when it serves it.
    local function judge(service, directory)
      local there, message = bundle.read { { "scripts", directory .. "/scripts" },
        { "policies", directory .. "/policies" } }
      local deadline = uv.hrtime() + 10e9 * PATIENCE
      repeat
        coroutine.yield()
        local document = policy(service)
        if there and document.active.revision == there.revision then return true end
        local refusal = document.refused ~= null and document.refused.on_disk and document.refused
        if refusal and there and refusal.revision == there.revision then return false end
        if refusal and not there and refusal.reasons[1] == message then return false end
      until uv.hrtime() > deadline
      error("no answer to a mutant: " .. (there and there.revision or message))
    end

    local function work(first, service, directory, name)
      running = running + 1
      for _, folder in ipairs { "scripts", "policies" } do
        local make = folder == "scripts" and scripts or policies
        for n = first, MUTANTS // 2, WORKERS do
          local files, broken = mutants.make(n, make(name))
          disk.mount(directory .. "/" .. folder, files)
          local serves = judge(service, directory)
          if serves and broken then error(("mutant %d of %s serves"):format(n, folder)) end
          if serves then active = active + 1 else refused = refused + 1 end
        end
        disk.mount(directory .. "/" .. folder, make(name))
        if not judge(service, directory) then error "what is good is refused" end
      end
      running = running - 1
    end

    local workers, people = {}, {}
    for i = 1, WORKERS do
      local name = "w" .. i
      local directory = mounted(name)
      local service = serve(directory)
      people[i] = crowd.start(service.port, 2, { GET }, function() end, PAUSE_MS)
      workers[i] = coroutine.create(work)
      assert(coroutine.resume(workers[i], i, service, directory, name))
    end
    while running > 0 do
      crowd.run_until(function() return false end, 0.005)
      for _, worker in ipairs(workers) do
        if coroutine.status(worker) ~= "dead" then
          local ok, message = coroutine.resume(worker)
          if not ok then error(message, 0) end
        end
      end
    end
    local slowest = 0
    for i, one in ipairs(people) do
      one:stop()
      assert.same({}, one.failures)
      slowest = math.max(slowest, one.slowest_ms)
      assert.equal(("w%d w%d w%d"):format(i, i, i), get(processes[i]).body)
    end
    io.write(("[%d refused, %d passed the proof, slowest answer %.0f ms] "):format(refused, active, slowest))
    assert.truthy(refused > active)
    assert.truthy(slowest < 1000 * PATIENCE)
  end)
end)
