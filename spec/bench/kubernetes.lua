--- The rows of `make bench` about the copy of Kubernetes: what it weighs, how soon it is there, what an event costs.
local client = require "client"
local measure = require "spec.bench.measure"
local proc = require "proc"
local program = require "program"

local CLUSTERS <const> = 10000
local CLUSTER_BYTES <const> = 6000
local PAGE <const> = 500 -- as the service asks
local EVENTS <const> = 1000000
local PORTION <const> = 4000 -- events that the simulator remembers at one time
local COLLECTION <const> = "/apis/distributed-compute.dominodatalab.com/v1alpha1/namespaces/domino-compute/rayclusters"
local TOKEN <const> = "simulator-service-account-token"
local WATCH <const> = 'rayclusterscaler_kube_watch_%s{[^}]*%s"}'

--- tools: what run.lua lends.
return function(tools)
  local function figure(service, name) return tools.metric(service.admin_port, WATCH:format(name, "")) end

  local function events_of(service)
    return tools.metric(service.admin_port, WATCH:format("events_total", 'type="change')) or 0
  end

  local function bench_weight(here)
    measure.load(1)
    tools.report { name = "RSS, 10,000 clusters of 6 KB", most = 200, unit = "MB",
      value = tools.resident_mb(here.service.pid),
      detail = ("%.0f MB at its highest, while it was listed"):format(proc.status(here.service.pid, "VmHWM") / 1024) }
  end

  -- The list ---------------------------------------------------------------------------------------------------------

  --- The pages of a full list, as paths.
  local function pages_of(here)
    local paths, continue = {}, ""
    repeat
      local path = ("%s?limit=%d%s"):format(COLLECTION, PAGE, continue)
      local response = client.request(here.simulator_port, { path = path, token = TOKEN })
      local token = assert(response.json.metadata, response.body:sub(1, 500)).continue
      continue = "&continue=" .. token:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end)
      paths[#paths + 1] = path
    until token == ""
    return paths
  end

  --- A service of its own lists them all: seconds from its first page until its copy is read.
  local function list_at_start(here)
    local service = here:serve()
    program.eventually(function() return figure(service, "objects") == CLUSTERS end, 60, "all clusters in the copy")
    local seconds = figure(service, "list_seconds")
    service:stop()
    table.remove(here.processes)
    return { seconds = seconds }
  end

  --- A plain client reads the same pages, one after the other on one connection.
  local function read_pages(here, paths)
    local arguments = {}
    for index, path in ipairs(paths) do
      arguments[index] = ("-o /dev/null 'http://127.0.0.1:%d%s'"):format(here.simulator_port, path)
    end
    local text = measure.shell(("curl -sS -f -w '%%{time_total}\\n' -H 'Authorization: Bearer %s' %s"):format(TOKEN,
      table.concat(arguments, " ")))
    local seconds = 0
    for time in text:gmatch "[%d.]+" do seconds = seconds + tonumber(time) end
    return { seconds = seconds }
  end

  --- delay_ms: what the simulator, which has its bytes at hand, takes longer for a page.
  local function bench_list(here, name, delay_ms)
    local load, paths = tools.settle(name), pages_of(here)
    if delay_ms > 0 then here:fault { match = { kind = "list" }, fault = { delay_ms = delay_ms } } end
    local ours, theirs = measure.in_turn(tools.rounds, function() return list_at_start(here) end,
      function() return read_pages(here, paths) end)
    local our_times, their_times = measure.column(ours, "seconds"), measure.column(theirs, "seconds")
    local ratios = measure.ratios(our_times, their_times)
    tools.report { name = name, most = 1.10, value = measure.median(ratios), ratios = ratios, ours = our_times,
      theirs = their_times, load_before = load, detail = ("%.0f ms against %.0f ms for %d pages"):format(
        measure.median(our_times) * 1e3, measure.median(their_times) * 1e3, #paths) }
    here:fault()
  end

  -- Events -----------------------------------------------------------------------------------------------------------

  local function bench_event()
    package.cpath = ("./%s/?.so;"):format(tools.build) .. package.cpath
    local store = require "native.kube_store".new "owner"
    local load = tools.settle "an event"
    assert(store:load(CLUSTERS, CLUSTER_BYTES))
    store:churn(CLUSTERS, CLUSTER_BYTES, 2000, 2)
    local mean_us, _, p99_us = store:churn(CLUSTERS, CLUSTER_BYTES, 20000, 5000)
    tools.report { name = "p99 of applying an event, 10,000 clusters", most = 1000, unit = "us", value = p99_us,
      mean_us = mean_us, load_before = load, detail = ("%.0f us on average"):format(mean_us) }
  end

  local function bench_million()
    local name = "growth of RSS, 100,000 to 1,000,000 events"
    local here = tools.open_stage(5, 995)
    local load = tools.settle(name)
    local service, sent, tenth, begun = here.service, 0, nil, nil
    local lists = figure(service, "lists_total")
    local before = events_of(service)
    repeat
      here:control("POST", "churn", { events = PORTION })
      sent = sent + PORTION
      program.eventually(function()
        return events_of(service) - before >= sent
      end, 60, sent .. " events")
      if not tenth and sent >= EVENTS / 10 then tenth, begun = tools.resident_mb(service.pid), os.time() end
    until sent >= EVENTS
    local seconds = os.time() - begun
    assert(figure(service, "lists_total") == lists, "it had to list again")
    local now = tools.resident_mb(service.pid)
    tools.report { name = name, most = 2, unit = "MB", value = now - tenth, load_before = load,
      detail = ("%.1f MB, then %.1f MB; %.0f events/s"):format(tenth, now, EVENTS * 0.9 / seconds) }
    tools.close_stage(here)
  end

  return function()
    local here = tools.open_stage(5, CLUSTERS - 5)
    bench_weight(here)
    bench_list(here, "list of 10,000 clusters at start, against curl", 0)
    bench_list(here, "the same, 20 ms more for each page of 500", 20)
    tools.close_stage(here)
    bench_event()
    bench_million()
  end
end
