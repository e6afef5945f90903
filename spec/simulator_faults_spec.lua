--- The simulator's misbehaviour, on request.
local clock = require "clock"
local dkjson = require "dkjson"
local client = require "simulator_client"

local RAYCLUSTERS <const> = client.RAYCLUSTERS
local FIRST <const> = "ray-655cb2de368ad4624b1e7d01"

describe("a fault", function()
  local simulator, revision
  before_each(function()
    simulator = client.new()
    revision = simulator:call("GET", "requests").revision
  end)

  local function fault(match, effect) simulator:call("POST", "faults", { match = match, fault = effect }) end
  local function get() return simulator:get(RAYCLUSTERS .. "/" .. FIRST) end
  local function watch() return simulator:get(RAYCLUSTERS .. "?watch=1&resourceVersion=" .. revision) end
  local function touch() simulator:call("POST", "touch", { name = FIRST }) end

  it("strikes the requests that its rule names, and no others", function()
    fault({ kind = "get", after = 1, times = 2 }, { status = 503, retry_after = 7 })
    local codes = {}
    for index = 1, 5 do codes[index] = get().status end
    assert.same({ 200, 503, 503, 200, 200 }, codes)
    assert.equal(200, simulator:get(RAYCLUSTERS).status)
    local rule = simulator:call("GET", "faults")[1]
    assert.same({ 5, 2 }, { rule.seen, rule.applied })
  end)

  it("strikes the nth, and ends when it is taken back", function()
    fault({ name = FIRST, nth = 2 }, { status = 500 })
    assert.same({ 200, 500, 200 }, { get().status, get().status, get().status })
    fault({}, { status = 500 })
    assert.equal(500, get().status)
    simulator:call("DELETE", "faults")
    assert.equal(200, get().status)
  end)

  it("must be one that exists", function()
    for _, rule in ipairs {
      { fault = { nonsense = 1 } }, { fault = {} }, { match = { x = 1 }, fault = { status = 500 } },
      { fault = { status = 500, hang = true } },
    } do
      assert.equal(400, simulator:send("POST", "/_simulator/faults", dkjson.encode(rule)).status)
    end
  end)

  it("answers as the API server does", function()
    local expected = {
      [401] = '"reason":"Unauthorized"', [403] = 'cannot get resource \\"rayclusters\\"', [409] = '"reason":"Conflict"',
      [410] = '"reason":"Expired"', [429] = "Too many requests", [500] = '"reason":"InternalError"',
      [503] = '"reason":"ServiceUnavailable"', [504] = '"reason":"Timeout"',
    }
    for code, text in pairs(expected) do
      simulator:call("DELETE", "faults")
      fault({}, { status = code, retry_after = 1 })
      local answer = get()
      assert.equal(code, answer.status)
      assert.equal("1", answer.headers["Retry-After"])
      assert.truthy(answer.body:find(text, 1, true), answer.body)
    end
  end)

  it("can be Domino's", function()
    fault({ kind = "principal", times = 1 }, { status = 503 })
    fault({ kind = "principal" }, { answer = "not JSON" })
    assert.equal(503, simulator:get("/v4/auth/principal").status)
    assert.equal("not JSON", simulator:get("/v4/auth/principal").body)
  end)

  it("delays", function()
    fault({}, { delay_ms = 300 })
    assert.same({ 300, 200 }, { get().delay_ms, get().status })
  end)

  it("hangs", function()
    fault({}, { hang = true })
    local answer = get()
    assert.is_true(answer.raw)
    assert.same({ "", "open" }, { client.read(answer) })
  end)

  it("cuts a body, or falls silent in it", function()
    local whole = get().body
    fault({ times = 1 }, { cut = 10 })
    assert.same({ whole:sub(1, 10), "abort" }, { client.read(get()) })
    fault({}, { silent = 10 })
    assert.same({ whole:sub(1, 10), "open" }, { client.read(get()) })
  end)

  it("cuts a watch in the middle of an event", function()
    fault({ kind = "watch" }, { cut = 19, after_events = 1 })
    local answer = watch()
    touch()
    touch()
    local text, ending = client.read(answer)
    assert.equal("abort", ending)
    assert.truthy(text:match '^{"type":"MODIFIED",[^\n]*\n{"type":"MODIFIED",$')
  end)

  it("lets a watch die without a word", function()
    fault({ kind = "watch" }, { silent = 0, after_events = 1 })
    local answer = watch()
    touch()
    assert.truthy(client.read(answer):find("MODIFIED", 1, true))
    touch()
    clock.advance(3600000)
    assert.same({ "", "open" }, { client.read(answer) })
  end)

  it("expires a watch as an event or as a status", function()
    fault({ kind = "watch", times = 1 }, { expired = true })
    local text, ending = client.read(watch())
    assert.equal("end", ending)
    assert.equal(410, dkjson.decode(text).object.code)
    fault({ kind = "watch" }, { status = 410 })
    assert.equal(410, watch().status)
  end)

  it("puts any event into a watch, which goes on or not", function()
    fault({ kind = "watch", times = 1 }, { event = { type = "STRANGE", object = { kind = "Odd" } } })
    local answer = watch()
    touch()
    assert.truthy(client.read(answer):match '^{"object":{"kind":"Odd"},"type":"STRANGE"}\n{"type":"MODIFIED"')
    fault({ kind = "watch", times = 1 }, { event = "garbage\n", ending = "cut" })
    assert.same({ "garbage\n", "abort" }, { client.read(watch()) })
  end)

  it("makes real conflicts", function()
    fault({ kind = "patch", times = 2 }, { touch = true })
    local function scale()
      return simulator:patch(FIRST, ('{"metadata":{"resourceVersion":"%s"},"spec":{"worker":{"replicas":3}}}'):format(
        simulator:object(FIRST).metadata.resourceVersion)).status
    end
    assert.same({ 409, 409, 200 }, { scale(), scale(), scale() })
  end)

  it("forgets history", function()
    touch()
    fault({ kind = "watch" }, { compact = true })
    assert.truthy(client.read(watch()):find('"code":410', 1, true))
  end)

  it("sends slowly", function()
    fault({}, { slow = 2 })
    local answer = get()
    assert.same({ "", "open" }, { client.read(answer) })
    clock.advance(1000)
    assert.equal('{"', (client.read(answer)))
    clock.advance(1500)
    assert.equal("api", (client.read(answer)))
  end)

  it("sends without end", function()
    fault({}, { endless = 1000000 })
    local text, ending = client.read(get())
    assert.same({ 1000000, "end" }, { #text, ending })
  end)

  it("redirects, lies about the length, nests deeply, sends anything", function()
    fault({ nth = 1 }, { redirect = "http://127.0.0.2:1/elsewhere" })
    fault({ nth = 2 }, { content_length = 5 })
    fault({ nth = 3 }, { deep_json = 1000 })
    fault({ nth = 4 }, { raw = "SSH-2.0-OpenSSH\r\n" })
    fault({ nth = 5 }, { answer = "" })
    local redirect = get()
    assert.same({ 302, "http://127.0.0.2:1/elsewhere" }, { redirect.status, redirect.headers.Location })
    local long = client.read(get())
    local length, body = long:match "Content%-Length: (%d+)\r\n.-\r\n\r\n(.*)$"
    assert.equal(#body + 5, tonumber(length))
    assert.equal(("["):rep(1000) .. ("]"):rep(1000), get().body)
    assert.equal("SSH-2.0-OpenSSH\r\n", (client.read(get())))
    assert.equal("", get().body)
  end)
end)

describe("a seed", function()
  it("makes many clusters of a size, with their owners in turn", function()
    local simulator = client.new()
    simulator:call("POST", "reset", { clusters = "none" })
    local seeded = simulator:call("POST", "seed", { clusters = 200, bytes = 6000, owners = { "u1", "u2" } })
    assert.equal(100, #seeded.clusters)
    local list = dkjson.decode(simulator:get(RAYCLUSTERS .. "?labelSelector=" ..
      "dominodatalab.com/starting-user-id%3Du2").body)
    assert.equal(100, #list.items)
    local body = simulator:get(RAYCLUSTERS .. "/" .. seeded.clusters[1]).body
    assert.is_true(math.abs(#body - 6000) < 100)
    assert.falsy(body:find("replaced", 1, true))
    assert.equal(200, simulator:patch(seeded.clusters[1], '{"spec":{"worker":{"replicas":2}}}').status)
  end)
end)
