--- A storm at the API server, with readers all the while. SOAK_SECONDS says how long; builds with sanitizers have less.
local client = require "client"
local stage = require "stage"
local watched = require "watched"

local SANITIZED <const> = require("build").sanitized
local SOAK_SECONDS <const> = tonumber(os.getenv "SOAK_SECONDS" or SANITIZED and 15 or 60)
local READERS <const> = 4
local OWNER <const> = "dominodatalab.com/starting-user-id"
local EVENT <const> = 300 -- bytes into an event

local FAULTS <const> = {
  { match = { kind = "watch" }, fault = { cut = EVENT, after_events = 5 } },
  { match = { kind = "watch" }, fault = { expired = true, after_events = 3 } },
  { match = { kind = "watch", times = 2 }, fault = { status = 500 } },
  { match = { kind = "watch", times = 1 }, fault = { status = 429, retry_after = 1 } },
  { match = { kind = "watch", times = 1 }, fault = { slow = 3000 } },
  { match = { kind = "watch", times = 1 }, fault = { event = "{]\n", after_events = 2 } },
  { match = { kind = "list", times = 2 }, fault = { status = 503 } },
  { match = { kind = "list", nth = 1 }, fault = { cut = 10000 } },
  { match = { kind = "get", times = 2 }, fault = { status = 500 } },
  { match = { kind = "patch", times = 1 }, fault = { status = 409 } },
  { match = { kind = "patch", times = 1 }, fault = { cut = 20 } },
}

describe("the copy of the clusters, in a storm,", function()
  local here, people, names, known

  setup(function()
    here = stage.open { KUBE_MAX_STALE_SECONDS = "1", REQUEST_TIMEOUT_SECONDS = "5", IDENTITY_TTL_SECONDS = "600",
      DRAIN_SECONDS = "0" }
    here:control("POST", "options", { operator = false }) -- so that every change is one of this spec's
    people = { stage.uma, stage.urs, here:person() }
    names = here:control("POST", "seed", { clusters = 30, bytes = 6000, owners = { people[1].id, people[2].id,
      people[3].id } }).clusters
    known = {} -- each object that there ever was, by name and version
    watched.await_up(here)
  end)

  teardown(function()
    here:close()
  end)

  --- Remembers the object as it stands at the API server now.
  local function remember(name)
    local found, bytes
    for _ = 1, 5 do -- the faults are for us, too
      found, bytes = pcall(here.bytes, here, name)
      if found then break end
      if tostring(bytes):find '"code":404' then return end
    end
    assert(found, bytes)
    known[name .. "@" .. bytes:match '"resourceVersion":"(%d+)"'] = bytes
  end

  local function change()
    local dice, name = math.random(100), names[math.random(#names)]
    if dice <= 50 then
      here:control("POST", "touch", { name = name })
    elseif dice <= 70 then
      here:control("POST", "owner", { name = name, owner = people[math.random(3)].id })
    elseif dice <= 75 then
      here:control("DELETE", "objects", { name = name })
    elseif dice <= 80 then
      name = here:control("POST", "seed", { clusters = 1, prefix = ("%08x"):format(#names),
        owners = { people[math.random(3)].id } }).clusters[1]
      names[#names + 1] = name
    elseif dice <= 84 then
      return here:fault(FAULTS[math.random(#FAULTS)])
    elseif dice <= 85 then
      return here:control("POST", "compact")
    elseif dice <= 86 then
      return here:control("POST", "restart")
    else
      return
    end
    remember(name)
  end

  --- A scale, and what is read behind it.
  local function scale()
    local name = names[math.random(#names)]
    local scaled = here:scale(stage.admin, name, math.random(0, 5))
    remember(name)
    if scaled.status ~= 200 then return assert.not_equal(500, scaled.status, scaled.body) end
    local version = watched.version_of(scaled)
    assert.equal(known[name .. "@" .. tostring(version)], scaled.body)
    local after = watched.cluster(here, name)
    assert.is_true(after.status ~= 200 or watched.version_of(after) >= version, after.body)
  end

  --- A person asks; what comes is judged later.
  local function ask()
    local person = people[math.random(3)]
    local path = math.random(2) == 1 and "/raycluster/list" or "/raycluster/" .. names[math.random(#names)]
    return { person = person, path = path,
      connection = client.send(here.service.port, { path = path, token = person.token }) }
  end

  --- An object that was there, and belonged to who sees it.
  local function judge_object(person, object)
    local metadata = object.metadata
    assert.equal(person.id, metadata.labels[OWNER], metadata.name)
    local bytes = known[metadata.name .. "@" .. metadata.resourceVersion]
    return assert(bytes, metadata.name .. " never was at " .. metadata.resourceVersion)
  end

  local function judge(question)
    local answer = client.receive(question.connection)
    if question.path == "/raycluster/list" then
      if answer.status ~= 200 then
        return assert.is_true(answer.status >= 502 and answer.status <= 504, answer.body)
      end
      local texts = {}
      for i, item in ipairs(answer.json.ray_clusters) do texts[i] = judge_object(question.person, item) end
      assert.equal(watched.list_of(texts), answer.body)
    elseif answer.status == 200 then
      assert.equal(judge_object(question.person, answer.json), answer.body)
    else
      local expected = { [403] = true, [404] = true, [502] = true, [503] = true, [504] = true }
      assert.is_true(expected[answer.status], answer.body)
    end
  end

  it("shows nobody what never was or is not theirs, and equals the API server's in the end", function()
    math.randomseed(7)
    for _, name in ipairs(here.kubernetes:names()) do remember(name) end
    local deadline, answers = os.time() + SOAK_SECONDS, 0
    while os.time() < deadline do
      local questions = {}
      for i = 1, READERS do questions[i] = ask() end
      change()
      if math.random(4) == 1 then scale() end
      for _, question in ipairs(questions) do
        judge(question)
        answers = answers + 1
      end
    end
    here:fault()
    watched.await_up(here)
    watched.assert_equals_truth(here)
    assert.is_true(answers > SOAK_SECONDS, answers .. " answers")
  end)
end)
