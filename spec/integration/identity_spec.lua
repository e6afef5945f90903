local client = require "client"
local stage = require "stage"
local uv = require "luv"

describe("identity:", function()
  local here

  setup(function()
    here = stage.open { IDENTITY_TTL_SECONDS = 1 }
  end)

  teardown(function()
    here:close()
  end)

  before_each(function()
    here:fault()
    here:control("DELETE", "requests")
  end)

  local function list_as(person, port)
    return client.send(port or here.service.port, { path = "/raycluster/list", token = person.token })
  end

  it("100 requests at once with one new credential are one question to Domino", function()
    local person = here:person()
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 500 } }
    local connections = {}
    for i = 1, 100 do
      connections[i] = list_as(person)
    end
    for _, connection in ipairs(connections) do
      assert.equal(200, client.receive(connection).status)
    end
    assert.equal(1, here:count "principal")
  end)

  it("a failure is everybody's who waited, and nobody's later", function()
    local person = here:person()
    here:fault { match = { kind = "principal", times = 1 }, fault = { status = 500, delay_ms = 300 } }
    local connections = {}
    for i = 1, 20 do
      connections[i] = list_as(person)
    end
    for _, connection in ipairs(connections) do
      assert.equal(502, client.receive(connection).status)
    end
    assert.equal(1, here:count "principal")
    assert.equal(200, here:get(person, "/raycluster/list").status)
  end)

  it("an answer is good for its time and no longer", function()
    local person = here:person()
    for _ = 1, 5 do
      assert.equal(200, here:get(person, "/raycluster/list").status)
    end
    assert.equal(1, here:count "principal")
    here:control("POST", "identities", { token = person.token, remove = true })
    uv.sleep(1100)
    assert.equal(401, here:get(person, "/raycluster/list").status)
    assert.equal(2, here:count "principal")
  end)

  it("a refusal is remembered as long", function()
    for _ = 1, 5 do
      assert.equal(401, here:request(nil, { path = "/raycluster/list", token = "refused-for-a-second" }).status)
    end
    assert.equal(1, here:count "principal")
  end)

  it("with a time of 0 nothing is remembered, but who asks at once shares", function()
    local service = here:serve { IDENTITY_TTL_SECONDS = 0 }
    stage.await_ready(service)
    local person = here:person()
    for _ = 1, 3 do
      assert.equal(200, here:request(person, { port = service.port, path = "/raycluster/list" }).status)
    end
    assert.equal(3, here:count "principal")
    here:fault { match = { kind = "principal" }, fault = { delay_ms = 500 } }
    local connections = {}
    for i = 1, 20 do
      connections[i] = list_as(person, service.port)
    end
    for _, connection in ipairs(connections) do
      assert.equal(200, client.receive(connection).status)
    end
    assert.equal(4, here:count "principal")
  end)

  it("a token, an API key and another token of the same text are told apart", function()
    local person = here:person()
    assert.equal(200, here:get(person, "/raycluster/list").status)
    assert.equal(200, here:get(nil, "/raycluster/list", { ["X-Domino-Api-Key"] = person.token }).status)
    assert.equal(2, here:count "principal")
    assert.equal(401, here:get(nil, "/raycluster/list", { Authorization = "Basic " .. person.token }).status)
    assert.equal(3, here:count "principal")
  end)

  it("exactly one header goes on to Domino, the API key before the token, and none to Kubernetes", function()
    local person = here:person()
    local function headers(kind)
      local sent = {}
      for _, name in ipairs(here:control("GET", "requests").last[kind].headers) do
        sent[name] = true
      end
      return sent
    end
    assert.equal(200, here:get(person, "/raycluster/list", { Cookie = "a=b" }).status)
    local sent = headers "principal"
    assert.is_true(sent.Authorization)
    assert.is_nil(sent["X-Domino-Api-Key"])
    assert.is_nil(sent.Cookie)
    assert.equal(200, here:get(stage.admin, "/raycluster/list", { ["X-Domino-Api-Key"] = person.token }).status)
    sent = headers "principal"
    assert.is_nil(sent.Authorization)
    assert.is_true(sent["X-Domino-Api-Key"])

    assert.equal(200, here:scale(nil, here:cluster(), 2, { ["X-Domino-Api-Key"] = stage.uma.token, Cookie = "a=b" })
      .status)
    local hashes = here:control("GET", "requests").last
    assert.is_nil(hashes.patch.hashes["X-Domino-Api-Key"])
    assert.is_nil(hashes.patch.hashes.Cookie)
    assert.is_string(hashes.patch.hashes.Authorization)
    assert.not_equal(hashes.principal.hashes.Authorization, hashes.patch.hashes.Authorization)
  end)

  it("who is asked carries the request's id", function()
    assert.equal(200, here:get(here:person(), "/raycluster/list", { ["X-Request-Id"] = "spec-1" }).status)
    local sent = table.concat(here:control("GET", "requests").last.principal.headers, " ")
    assert.is_truthy(sent:find("X-Request-Id", 1, true), sent)
  end)

  it("an id that is no text owns nothing", function()
    local name = here:cluster()
    for _, id in ipairs { "5", "true", "{}", "[]", '["5d1f1622fdfe52c4e28e60d8"]' } do
      here:control("POST", "owner", { name = name, owner = "5" })
      local person = here:person { answer = ('{"isAnonymous":false,"isAdmin":false,"canonicalId":%s}'):format(id) }
      local status = here:get(person, "/raycluster/" .. name).status
      assert.is_truthy(status == 403 or status == 502, status)
      assert.is_nil(here:get(person, "/raycluster/list").body:find(name, 1, true))
    end
  end)

  it("only true makes an admin", function()
    for _, admin in ipairs { '"true"', "1", "{}", '"false"', "null" } do
      local person = here:person { answer = ('{"isAnonymous":false,"isAdmin":%s,"canonicalId":"x"}'):format(admin) }
      local status = here:get(person, "/raycluster/" .. stage.clusters.nobodys).status
      assert.is_truthy(status == 403 or status == 502, admin .. " " .. status)
    end
  end)
end)
