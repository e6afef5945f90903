--- Beyond what can be worked on at once callers are told so at once, and one caller cannot take all of it.
local client = require "client"
local socket = require "socket"
local stage = require "stage"

local LIST <const> = "/raycluster/list"
local MOST <const>, MOST_FOR_ONE <const> = 8, 3

describe("capacity:", function()
  local here

  setup(function()
    here = stage.open { MAX_REQUESTS = tostring(MOST), MAX_REQUESTS_PER_CALLER = tostring(MOST_FOR_ONE),
      DRAIN_SECONDS = "0" }
  end)

  teardown(function()
    here:close()
  end)

  before_each(function()
    here:get(stage.uma, LIST) -- known from here on
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 1500 } }
  end)

  after_each(function()
    here:fault()
  end)

  --- Sends so many requests that take a while; their connections.
  local function hold(count, headers_of)
    local held = {}
    for i = 1, count do held[i] = client.send(here.service.port, { path = LIST, headers = headers_of(i) }) end
    socket.sleep(0.2)
    return held
  end

  local function release(held)
    for _, connection in ipairs(held) do assert.equal(401, client.receive(connection).status) end
  end

  local function assert_overloaded(headers)
    local started = socket.gettime()
    local response = here:request(nil, { path = LIST, headers = headers })
    assert(socket.gettime() - started < 0.5)
    assert.same({ 503, "overloaded", "1" }, { response.status, response.error, response.headers["retry-after"] })
  end

  it("one credential gets its share and no more, and others go on", function()
    for _, header in ipairs { "Authorization", "X-Domino-Api-Key" } do
      local greedy = { [header] = "Bearer greedy" .. header }
      local held = hold(MOST_FOR_ONE, function() return greedy end)
      assert_overloaded(greedy)
      assert.equal(200, here:get(stage.uma, LIST).status)
      release(held)
      assert.equal(401, here:request(nil, { path = LIST, headers = greedy }).status)
    end
  end)

  it("the API key counts where there are both, as it does for who is calling", function()
    local held = hold(MOST_FOR_ONE, function(i)
      return { Authorization = "Bearer other" .. i, ["X-Domino-Api-Key"] = "greedy both" }
    end)
    assert_overloaded { Authorization = "Bearer another", ["X-Domino-Api-Key"] = "greedy both" }
    release(held)
  end)

  it("when all of it is taken everybody is told, but probes are answered", function()
    local held = hold(MOST, function(i) return { Authorization = "Bearer one of many " .. i } end)
    assert_overloaded { Authorization = "Bearer one too many" }
    for _, port in ipairs { here.service.port, here.service.admin_port } do
      assert.equal(200, client.request(port, { path = "/healthz" }).status)
    end
    release(held)
    assert.equal(401, here:request(nil, { path = LIST, headers = { Authorization = "Bearer one too many" } }).status)
  end)

  it("what is remembered is given all the same: whoever polls goes on", function()
    local held = hold(MOST, function(i) return { Authorization = "Bearer one of others " .. i } end)
    assert.equal(200, here:get(stage.uma, LIST).status)
    release(held)
  end)

  it("what is refused costs Domino nothing", function()
    local held = hold(MOST, function(i) return { Authorization = "Bearer yet another " .. i } end)
    local before = here:count "principal"
    for i = 1, 20 do assert_overloaded { Authorization = "Bearer nobody " .. i } end
    assert.equal(before, here:count "principal")
    release(held)
  end)
end)
