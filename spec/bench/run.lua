--- `make bench`: the service beside what it is measured against, a line a claim. The sides of a ratio take turns within
--- one run, and the median of the turns' ratios counts.
---   lua5.4 spec/bench/run.lua [seconds of a turn] [turns]
package.path = "./?.lua;./spec/support/?.lua;" .. package.path
local dkjson = require "dkjson"
local uv = require "luv"
local client = require "client"
local measure = require "spec.bench.measure"
local proc = require "proc"
local program = require "program"
local stage = require "stage"

local SECONDS <const> = math.tointeger(arg[1]) or 4
local ROUNDS <const> = math.tointeger(arg[2]) or 5
local BUILD <const> = require("build").directory
local BUSY <const> = 0.15 -- of the processors, by others
local RESOURCE <const> = "/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/domino-compute/rayclusters/"
local CLUSTER_BYTES <const> = 6000

local stages, processes = {}, {}
local results, busiest, failures = {}, 0, 0

local function url(port, path) return ("http://127.0.0.1:%d%s"):format(port, path) end

local function metric(port, pattern)
  return tonumber(client.request(port, { path = "/metrics" }).body:match("\n" .. pattern .. " ([%d.e+]+)"))
end

--- A simulator with `mine` clusters of Uma's and `others` of somebody else's, and a service that knows them all. Names
--- are Uma's.
local function open_stage(mine, others, settings)
  local here = stage.open(settings)
  stages[#stages + 1] = here
  here:control("POST", "reset", { clusters = "none" })
  here:control("POST", "options", { operator = false })
  if others > 0 then
    here:control("POST", "seed",
      { clusters = others, bytes = CLUSTER_BYTES, owners = { stage.urs.id }, prefix = "aaaaaaaa" })
  end
  here.names = here:control("POST", "seed",
    { clusters = mine, bytes = CLUSTER_BYTES, owners = { stage.uma.id }, prefix = "bbbbbbbb" }).clusters
  program.eventually(function()
    return metric(here.service.admin_port, 'rayclusterscaler_kube_watch_objects{[^}]*"}') == mine + others
  end, 120, "all clusters in the copy")
  return here
end

local function close_stage(here)
  for index, other in ipairs(stages) do
    if other == here then table.remove(stages, index) end
  end
  here:close()
end

-- The report -------------------------------------------------------------------------------------------------------

local function print_row(...) print(("%-52s %-10s %-10s %s"):format(...)) end

--- limit: what the value must reach, "least" or "most".
local function report(row)
  local good = row.least and row.value >= row.least or row.most and row.value <= row.most
  row.reached = good
  results[#results + 1] = row
  local unit = row.unit and " " .. row.unit or ""
  local form = row.unit and "%.0f%s" or "%.2f%s"
  print_row(row.name, (row.least and ">= " or "<= ") .. form:format(row.least or row.most, unit),
    form:format(row.value, unit) .. (good and "" or " !"), row.detail)
end

--- Notes how busy the machine is before a measurement; says so where it is.
local function settle(name)
  local load = measure.load(0.5)
  busiest = math.max(busiest, load)
  if load > BUSY then
    print(("  others use %.0f %% of this machine before: %s"):format(load * 100, name))
  end
  return load
end

local function report_ratio(name, least, ours, theirs, load)
  local our_rates, their_rates = measure.column(ours, "rate"), measure.column(theirs, "rate")
  local ratios = measure.ratios(our_rates, their_rates)
  report { name = name, least = least, value = measure.median(ratios), ratios = ratios, ours = our_rates,
    theirs = their_rates, load_before = load, detail = ("%.0f against %.0f requests/s"):format(
      measure.median(our_rates), measure.median(their_rates)) }
end

-- Against a bare handler --------------------------------------------------------------------------------------------

--- The answer as it stands on the wire of a connection that is kept.
local function answer_of(port, path, token, close)
  return measure.shell(("curl -sS --raw -i --max-time 30 %s -H 'Authorization: Bearer %s' '%s'"):format(
    close and "-H 'Connection: close'" or "", token, url(port, path)))
end

local function check_answers(ours, theirs)
  for _, answer in ipairs { ours, theirs } do
    assert(answer:find "^HTTP/1%.1 200 ", answer:sub(1, 500))
    local head, body = answer:match "^(.-\r\n\r\n)(.*)$"
    assert(tonumber(head:match "\r\nContent%-Length: (%d+)\r\n") == #body, head)
  end
  assert(#ours == #theirs, ("the peer answers with %d bytes instead of %d"):format(#theirs, #ours))
end

local function start_peer(directory, answer)
  local path = directory .. "/answer.http"
  program.write(path, answer)
  local peer = program.start { path = BUILD .. "/bench_peer", arguments = { path }, directory = directory }
  processes[#processes + 1] = peer
  peer.port = program.eventually(function() return peer:stdout():match "listening on port (%d+)" end, 10, "the peer")
  return peer
end

---@param options { token: string, close: boolean? }
local function against_peer(here, name, least, path, options)
  local answer = answer_of(here.service.port, path, options.token)
  local peer = start_peer(here.directory, answer)
  for _, close in ipairs { false, true } do
    check_answers(answer_of(here.service.port, path, options.token, close),
      answer_of(peer.port, path, options.token, close))
  end
  local function turn(port)
    return function()
      return measure.wrk(url(port, path), { seconds = SECONDS, token = options.token, close = options.close })
    end
  end
  local load = settle(name)
  local ours, theirs = measure.in_turn(ROUNDS, turn(here.service.port), turn(peer.port))
  local bytes = measure.ratios(measure.column(ours, "bytes"), measure.column(theirs, "bytes"))
  for _, ratio in ipairs(bytes) do
    assert(math.abs(ratio - 1) < 0.03, ("answers of different sizes: %.3f"):format(ratio))
  end
  peer:stop()
  report_ratio(name, least, ours, theirs, load)
end

local function bench_reads()
  local here = open_stage(5, 45)
  local get = "/raycluster/" .. here.names[1]
  against_peer(here, "get, 32 kept-alive connections", 0.80, get, { token = stage.uma.token })
  against_peer(here, "get, a connection a request", 0.90, get, { token = stage.uma.token, close = true })
  against_peer(here, "list, 50 clusters, the caller owns 5", 0.60, "/raycluster/list", { token = stage.uma.token })
  against_peer(here, "list, 50 clusters, an admin (300 KB)", 0.80, "/raycluster/list", { token = stage.admin.token })
  close_stage(here)
end

-- Against itself -----------------------------------------------------------------------------------------------------

local function bench_many()
  local name = "list, 10,000 clusters, the caller owns 5"
  local few, many = open_stage(5, 45), open_stage(5, 9995)
  local function turn(here)
    return function()
      return measure.wrk(url(here.service.port, "/raycluster/list"), { seconds = SECONDS, token = stage.uma.token })
    end
  end
  local load = settle(name)
  local many_results, few_results = measure.in_turn(ROUNDS, turn(many), turn(few))
  local many_rates, few_rates = measure.column(many_results, "rate"), measure.column(few_results, "rate")
  local times = measure.ratios(few_rates, many_rates)
  report { name = name, most = 3.00, value = measure.median(times), ratios = times, ours = many_rates,
    theirs = few_rates, load_before = load, detail = ("times as long as with 50: %.0f against %.0f requests/s"):format(
      measure.median(many_rates), measure.median(few_rates)) }
  close_stage(many)
  close_stage(few)
end

--- A script of wrk: requests in turn for each cluster, with 1 to 20 workers in turn.
local function scaling_script(here, name, request)
  local path = ("%s/%s.lua"):format(here.directory, name)
  program.write(path, ([[
local names, turn = { %s }, 0
wrk.method = %q
wrk.headers["Content-Type"] = %q
function request()
  turn = turn + 1
  local name, n = names[turn %% #names + 1], math.floor(turn / #names) %% 20 + 1
  return wrk.format(nil, (%q):gsub("NAME", name), nil, (%q):gsub("NAME", name):gsub("MORE", n + 1):gsub("N", n))
end
]]):format('"' .. table.concat(here.names, '", "') .. '"', request.method, request.type, request.path, request.body))
  return path
end

local function bench_scale()
  local name = "scale, against the simulator's own patches"
  local here = open_stage(45, 5) -- so many that requests under way at one time are about different ones
  local ours = scaling_script(here, "scale", { method = "POST", type = "application/json", path = "/raycluster/scale",
    body = '{"cluster_name":"NAME","replicas":N}' })
  local theirs = scaling_script(here, "patch", { method = "PATCH", type = "application/merge-patch+json",
    path = RESOURCE .. "NAME",
    body = '{"spec":{"autoscaling":{"minReplicas":N,"maxReplicas":MORE},"worker":{"replicas":N}}}' })
  local load = settle(name)
  local our_results, their_results = measure.in_turn(ROUNDS, function()
    return measure.wrk(url(here.service.port, "/raycluster/scale"),
      { seconds = SECONDS, token = stage.uma.token, script = ours, connections = 4 })
  end, function()
    return measure.wrk(url(here.simulator_port, RESOURCE),
      { seconds = SECONDS, token = "simulator-service-account-token", script = theirs, connections = 4 })
  end)
  report_ratio(name, 0.70, our_results, their_results, load)
  close_stage(here)
end

-- Reloads ------------------------------------------------------------------------------------------------------------

local function reloads(here) return metric(here.service.admin_port, "rayclusterscaler_policy_reloads_total") end

--- Writes a rule into directory every 100 ms, each time another comment in it, for as long as a turn takes.
local function start_writer(directory)
  local command = ([[
n=0
while [ $n -lt %d ]; do
  n=$((n + 1)); { cat policies/scaling.lua; echo "-- $$ $n"; } >%s/next && mv %s/next %s/scaling.lua; sleep 0.1
done]]):format(SECONDS * 10, directory, directory, directory)
  local done = false
  local process = assert(uv.spawn("setpriv", { args = { "--pdeathsig", "TERM", "sh", "-c", command } }, function()
    done = true
  end))
  return function()
    program.eventually(function() return done end, SECONDS + 30, "the writer's end")
    process:close()
  end
end

local function bench_reload()
  local name = "p99 of get, a reload every 100 ms"
  local here = open_stage(5, 45, { policies = {} })
  local watched = here.directory .. "/folder-1"
  local elsewhere = here:folder({}, "policies")
  local made = {}
  --- Both turns have the writer; only one writes where the service looks.
  local function turn(directory)
    return function()
      local before = reloads(here)
      local await_writer = start_writer(directory)
      local result = measure.wrk(url(here.service.port, "/raycluster/" .. here.names[1]),
        { seconds = SECONDS, token = stage.uma.token })
      await_writer()
      if directory == watched then made[#made + 1] = (reloads(here) - before) / SECONDS end
      return result
    end
  end
  local load = settle(name)
  local busy, quiet = measure.in_turn(ROUNDS, turn(watched), turn(elsewhere))
  local busy_p99, quiet_p99 = measure.column(busy, "p99"), measure.column(quiet, "p99")
  local times = measure.ratios(busy_p99, quiet_p99)
  report { name = name, most = 2.00, value = measure.median(times), ratios = times, ours = busy_p99,
    theirs = quiet_p99, reloads_per_second = measure.median(made), load_before = load,
    detail = ("%.2f ms against %.2f ms; %.1f reloads/s"):format(measure.median(busy_p99) * 1e3,
      measure.median(quiet_p99) * 1e3, measure.median(made)) }
  close_stage(here)
end

-- Start and memory ---------------------------------------------------------------------------------------------------

local function resident_mb(pid)
  return proc.status(pid, "VmRSS") / 1024
end

local function free_port()
  local tcp = uv.new_tcp()
  tcp:bind("127.0.0.1", 0)
  local port = tcp:getsockname().port
  tcp:close()
  uv.run "nowait"
  return port
end

--- Asks once a millisecond from before the process exists.
local function time_start(here)
  local port, admin_port = free_port(), free_port()
  local begin = uv.hrtime()
  local process = program.start { arguments = { "serve" }, directory = here.directory, environment = {
    LISTEN = "127.0.0.1:" .. port, ADMIN_LISTEN = "127.0.0.1:" .. admin_port, DRAIN_SECONDS = 0,
    KUBECONFIG = here.directory .. "/kubeconfig", DOMINO_NUCLEUS_URI = url(here.simulator_port, "") } }
  processes[#processes + 1] = process
  repeat
    uv.sleep(1)
    assert(process:running(), "it ended")
    local asked, response = pcall(client.request, admin_port, { path = "/readyz" })
  until asked and response.status == 200
  local ms = (uv.hrtime() - begin) / 1e6
  process.admin_port = admin_port
  return ms, process
end

local function bench_start()
  local here = open_stage(5, 45)
  local load = settle "start until ready"
  local times, process = {}, nil
  for round = 1, ROUNDS do
    times[round], process = time_start(here)
    if round < ROUNDS then process:stop() end
  end
  report { name = "start until ready, 50 clusters", most = 100, unit = "ms", value = measure.median(times),
    rounds = times, load_before = load, detail = "from fork to the first 200 of /readyz" }
  uv.sleep(1000)
  report { name = "idle RSS", most = 24, unit = "MB", value = resident_mb(process.pid),
    detail = "50 clusters of 6 KB, nothing asked yet" }
  local states = metric(process.admin_port, "rayclusterscaler_lua_states")
  local bytes = metric(process.admin_port, "rayclusterscaler_lua_memory_bytes")
  report { name = "memory of a Lua state", most = 400, unit = "KB", value = bytes / states / 1024,
    detail = "states: " .. states }
  process:stop()
  close_stage(here)
end

-- ---------------------------------------------------------------------------------------------------------------------

local function cpu_model()
  return program.read("/proc/cpuinfo"):match "model name%s*:%s*([^\n]+)" or "unknown"
end

local function main()
  local load = measure.load(2)
  if load > BUSY and os.getenv "BENCH_BUSY" ~= "1" then
    error(("others use %.0f %% of this machine; wait, or set BENCH_BUSY=1 and read the figures accordingly")
      :format(load * 100), 0)
  end
  print_row("what", "reach", "measured", "")
  local bench_kubernetes = require "spec.bench.kubernetes" { rounds = ROUNDS, build = BUILD, open_stage = open_stage,
    close_stage = close_stage, settle = settle, report = report, metric = metric, resident_mb = resident_mb }
  for _, bench in ipairs { bench_reads, bench_many, bench_scale, bench_reload, bench_start, bench_kubernetes } do
    local measured, message = xpcall(bench, debug.traceback)
    if not measured then
      failures = failures + 1
      results[#results + 1] = { failure = message }
      print("FAILED: " .. message)
    end
  end
  program.write(BUILD .. "/bench.json", dkjson.encode({ time = os.date "!%Y-%m-%dT%H:%M:%SZ", processor = cpu_model(),
    processors = #uv.cpu_info(), seconds = SECONDS, rounds = ROUNDS, highest_load_by_others = busiest,
    results = results }, { indent = true }) .. "\n")
  print(("%d turns of %d s; others used at most %.0f %% of the machine; kept in %s/bench.json"):format(ROUNDS, SECONDS,
    busiest * 100, BUILD))
end

local done, failure = xpcall(main, function(message)
  return type(message) == "string" and message:find "BENCH_BUSY" and message or debug.traceback(message)
end)
for index = #processes, 1, -1 do pcall(processes[index].stop, processes[index]) end
for index = #stages, 1, -1 do pcall(stages[index].close, stages[index]) end
if not done then io.stderr:write(failure, "\n") end
os.exit(done and failures == 0)
