--- Reads from the copy of Kubernetes, and what becomes of them when Kubernetes misbehaves.
local client = require "client"
local program = require "program"
local stage = require "stage"

local only_simulated <const> = stage.only_simulated(it, "faults and counts")

local OWNER <const> = "dominodatalab.com/starting-user-id"
local SOAK_SECONDS <const> = tonumber(os.getenv "SOAK_SECONDS" or "10")

describe("the copy of the clusters", function()
  local here

  before_each(function() -- a service that has seen no trouble, and so does not hesitate
    here = stage.open { KUBE_MAX_STALE_SECONDS = "1", IDENTITY_TTL_SECONDS = "60", DRAIN_SECONDS = "0" }
  end)

  after_each(function()
    here:close()
  end)

  local function cluster(name, who)
    return here:get(who or stage.admin, "/raycluster/" .. name)
  end

  local function watch_state(service)
    return client.request((service or here.service).admin_port, { path = "/readyz" }).json.watches[1]
  end

  local function eventually(check, what)
    return program.eventually(check, 60, what) -- after troubles a watch hesitates for up to 30 s
  end

  --- The copy is current: it shows a change that is made now.
  local function await_up()
    local version = here.kubernetes:touch(stage.clusters.nobodys)
    eventually(function()
      local response = watch_state().up and cluster(stage.clusters.nobodys)
      return response and response.status == 200 and tonumber(response.json.metadata.resourceVersion) >= version
    end, "the watch is up")
  end

  --- The API server's own list, as one text for each name.
  local function truth()
    local texts = {}
    for _, name in ipairs(here.kubernetes:names()) do
      texts[name] = here:bytes(name)
    end
    return texts
  end

  local function names_of(texts)
    local names = {}
    for name in pairs(texts) do
      names[#names + 1] = name
    end
    table.sort(names)
    return names
  end

  --- What callers read of every cluster is what the API server has, byte for byte.
  local function assert_equals_truth()
    here.kubernetes:operator(false)
    local wrong
    local same = pcall(program.eventually, function()
      wrong = {}
      local expected, listed = truth(), here:get(stage.admin, "/raycluster/list")
      local seen = {}
      for _, item in ipairs(listed.json.ray_clusters) do
        seen[item.metadata.name] = true
      end
      assert.same(names_of(expected), names_of(seen))
      local texts = {}
      for _, name in ipairs(names_of(expected)) do
        texts[#texts + 1] = expected[name]
        if cluster(name).body ~= expected[name] then wrong[#wrong + 1] = name end
      end
      return #wrong == 0 and listed.body == ('{"ray_clusters":[%s]}'):format(table.concat(texts, ","))
    end, 10)
    assert.is_true(same, "not the API server's: " .. table.concat(wrong or {}, ", "))
    here.kubernetes:operator(true)
  end

  only_simulated("costs the API server nothing to read, and Domino one call for a credential", function()
    await_up()
    here:control("DELETE", "requests")
    local before, path = here:control("GET", "requests").total, "/raycluster/" .. stage.clusters.umas
    for i = 1, 10000 do
      local response = client.request(here.service.port, { token = stage.uma.token, path = path })
      if response.status ~= 200 then error(i .. ": " .. response.body) end
    end
    assert.equal(1, here:count "principal")
    assert.equal(1, here:control("GET", "requests").total - before)
  end)

  it("follows what others do", function()
    await_up()
    local name = here:cluster { owners = { stage.uma.id } }
    assert.equal(200, cluster(name, stage.uma).status)
    here.kubernetes:set_owner(name, stage.urs.id)
    eventually(function() return cluster(name, stage.urs).status == 200 end, "the new owner sees it")
    assert.equal(403, cluster(name, stage.uma).status)
    here.kubernetes:delete(name)
    eventually(function() return cluster(name).status == 404 end, "it is gone")
    assert_equals_truth()
  end)

  it("shows our own change to the very next read", function()
    await_up()
    for replicas = 1, 5 do
      local scaled = here:scale(stage.uma, stage.clusters.umas, replicas)
      assert.equal(200, scaled.status, scaled.body)
      local function assert_seen(object)
        local metadata, version = object.metadata, tonumber(scaled.json.metadata.resourceVersion)
        assert.is_true(tonumber(metadata.resourceVersion) >= version)
        assert.equal(replicas, object.spec.worker.replicas)
      end
      assert_seen(cluster(stage.clusters.umas, stage.uma).json)
      assert_seen(here:get(stage.uma, "/raycluster/list").json.ray_clusters[1])
    end
  end)

  only_simulated("shows our own change to the very next read, even when the stream is silent", function()
    await_up()
    local streams = watch_state().streams
    here:fault({ match = { kind = "watch" }, fault = { silent = 0 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().streams > streams and watch_state().up end, "a silent stream")
    for replicas = 1, 5 do
      assert.equal(200, here:scale(stage.uma, stage.clusters.umas, replicas).status)
      assert.equal(replicas, cluster(stage.clusters.umas, stage.uma).json.spec.worker.replicas)
      assert.equal(replicas, here:get(stage.uma, "/raycluster/list").json.ray_clusters[1].spec.worker.replicas)
    end
  end)

  only_simulated("is not read once the watch has been down for too long", function()
    await_up()
    here:fault({ match = { kind = "watch" }, fault = { status = 500 } },
      { match = { kind = "list", times = 1 }, fault = { status = 500 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().read == false end, "the copy is too old")
    here:control("DELETE", "requests")
    here:control("POST", "touch", { name = stage.clusters.umas })
    assert.equal(here:bytes(stage.clusters.umas), cluster(stage.clusters.umas).body)
    assert.equal(200, client.request(here.service.admin_port, { path = "/readyz" }).status)
    here:fault({ fault = { status = 500 }, match = { resource = "rayclusters" } })
    local response = cluster(stage.clusters.umas)
    assert.same({ 502, "upstream_failed" }, { response.status, response.error })
    here:fault()
    await_up()
    assert_equals_truth()
  end)

  only_simulated("says which right is missing, and is not ready without it", function()
    here:fault({ match = { kind = "list" }, fault = { status = 403 } })
    local other = here:serve { DRAIN_SECONDS = "0" }
    local reason = eventually(function()
      local response = client.request(other.admin_port, { path = "/readyz" })
      return response.status == 503 and response.json.reasons[1]:find "list rayclusters" and response.json.reasons[1]
    end, "the reason")
    assert.matches("missing the right to list rayclusters%.distributed%-compute%.dominodatalab%.com in", reason)
    here:fault()
    stage.await_ready(other)
  end)

  local EVENT <const> = 300 -- bytes into an event

  for what, rule in pairs {
    ["a stream cut in the middle of an event"] = { cut = EVENT },
    ["a stream that ends at once"] = { answer = "" },
    ["an expired watch"] = { expired = true },
    ["410 as status"] = { status = 410 },
    ["an ERROR event"] = { event = { type = "ERROR", object = { kind = "Status", code = 500, message = "boom" } },
      ending = "end" },
    ["an event of an unknown type"] = { event = { type = "RESIZED", object = { metadata = { name = "x" } } } },
    ["an event that is no JSON"] = { event = "{]\n" },
    ["429 with Retry-After"] = { status = 429, retry_after = 1 },
    ["503"] = { status = 503 },
    ["a redirect"] = { redirect = "http://127.0.0.1:1/" },
    ["something that is not HTTP"] = { raw = "nonsense\r\n\r\n" },
  } do
    only_simulated("recovers from " .. what, function()
      await_up()
      here:fault({ match = { kind = "watch", times = 2 }, fault = rule })
      here:control("POST", "restart")
      for i = 1, 20 do
        here:control("POST", "touch", { name = stage.clusters.umas })
        if i % 5 == 0 then here:cluster() end
        assert.equal(200, cluster(stage.clusters.umas, stage.uma).status)
      end
      here:fault()
      await_up()
      assert_equals_truth()
    end)
  end

  only_simulated("recovers from a continue token that has expired", function()
    here:control("POST", "seed", { clusters = 1200, bytes = 1000 })
    here:fault({ match = { kind = "list", nth = 2 }, fault = { status = 410 } })
    here:control("POST", "restart")
    eventually(function() return watch_state().objects > 1200 and watch_state().up end, "listed again")
    assert.equal(#names_of(truth()), watch_state().objects)
  end)

  it("follows a crowd of changes, of which it misses none", function()
    await_up()
    local names = {}
    for i = 1, 10 do
      names[i] = here:cluster { owners = { i % 2 == 0 and stage.uma.id or stage.urs.id }, workers = i }
    end
    for i, name in ipairs(names) do
      here.kubernetes:touch(name)
      if i % 3 == 0 then here.kubernetes:set_owner(name, stage.urs.id) end
      if i % 4 == 0 then here.kubernetes:replace(name, stage.uma.id) end
      if i % 5 == 0 then here.kubernetes:delete(name) end
    end
    await_up()
    assert_equals_truth()
  end)

  only_simulated("equals the API server's after a storm, and shows nobody what is not theirs", function()
    await_up()
    local people = { stage.uma, stage.urs, here:person() }
    local names = here:control("POST", "seed", { clusters = 30, bytes = 6000, owners = { people[1].id, people[2].id,
      people[3].id } }).clusters
    math.randomseed(7)
    local faults = {
      { match = { kind = "watch" }, fault = { cut = EVENT, after_events = 5 } },
      { match = { kind = "watch" }, fault = { expired = true, after_events = 3 } },
      { match = { kind = "watch", times = 2 }, fault = { status = 500 } },
      { match = { kind = "list", times = 2 }, fault = { status = 503 } },
      { match = { kind = "get", times = 2 }, fault = { status = 500 } },
      { match = { kind = "patch", times = 1 }, fault = { status = 409 } },
    }
    local function change()
      local dice, name = math.random(100), names[math.random(#names)]
      if dice <= 50 then
        here:control("POST", "touch", { name = name })
      elseif dice <= 70 then
        here:control("POST", "owner", { name = name, owner = people[math.random(3)].id })
      elseif dice <= 75 then
        here:control("DELETE", "objects", { name = name })
      elseif dice <= 80 then
        names[#names + 1] = here:control("POST", "seed", { clusters = 1, prefix = ("%08x"):format(#names),
          owners = { people[math.random(3)].id } }).clusters[1]
      elseif dice <= 84 then
        here:fault(faults[math.random(#faults)])
      elseif dice <= 86 then
        here:control("POST", "compact")
      elseif dice <= 87 then
        here:control("POST", "restart")
      end
    end
    local function look()
      local person = people[math.random(3)]
      local response = here:get(person, "/raycluster/list")
      if response.status == 200 then
        for _, item in ipairs(response.json.ray_clusters) do
          assert.equal(person.id, item.metadata.labels[OWNER])
        end
      else
        assert.is_true(response.status >= 502 and response.status <= 504, response.body)
      end
      local name = names[math.random(#names)]
      if math.random(4) == 1 then
        local replicas = math.random(0, 5)
        local scaled = here:scale(stage.admin, name, replicas)
        if scaled.status ~= 200 then return end
        local after = cluster(name)
        local function version(response_of) return tonumber(response_of.json.metadata.resourceVersion) end
        assert.is_true(after.status ~= 200 or version(after) >= version(scaled), after.body)
      else
        response = cluster(name, person)
        if response.status == 200 then assert.equal(person.id, response.json.metadata.labels[OWNER]) end
        assert.is_true(response.status ~= 500, response.body)
      end
    end
    local deadline = os.time() + SOAK_SECONDS
    while os.time() < deadline do
      change()
      look()
    end
    here:fault()
    await_up()
    assert_equals_truth()
  end)
end)
