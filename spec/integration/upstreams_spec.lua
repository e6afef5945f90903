--- Domino and Kubernetes are outside too: whatever they do, the caller gets a clear answer in time.
local client = require "client"
local socket = require "socket"
local stage = require "stage"

local DEADLINE_S <const> = 1
local GRACE_S <const> = 1.5

describe("upstreams:", function()
  local here

  setup(function()
    here = stage.open { REQUEST_TIMEOUT_SECONDS = DEADLINE_S }
  end)

  teardown(function()
    here:close()
  end)

  before_each(function()
    here:fault()
  end)

  after_each(function()
    here:fault()
  end)

  --- Its answer is that status of upstream_failed, and it came in time.
  local function assert_fails(status, run)
    local started = socket.gettime()
    local response = run()
    local took = socket.gettime() - started
    assert.same({ status, "upstream_failed" }, { response.status, response.error }, response.body)
    assert(took < DEADLINE_S + GRACE_S, ("it took %.1f s"):format(took))
    if status == 503 then assert.matches("^%d+$", response.headers["retry-after"]) end
    return response, took
  end

  --- What may go wrong: a name, the fault, the status that callers get.
  local FAULTS <const> = {
    { "500", { status = 500 }, 502 },
    { "502 in HTML", { status = 502, body = "<html>", content_type = "text/html" }, 502 },
    { "503", { status = 503 }, 502 },
    { "503 with Retry-After", { status = 503, retry_after = 7 }, 503 },
    { "429", { status = 429, retry_after = 3 }, 503 },
    { "418", { status = 418 }, 502 },
    { "silence", { hang = true }, 504 },
    { "a byte a second", { slow = 1 }, 504 },
    { "an answer that stops in the middle", { silent = 20 }, 504 },
    { "an answer that is cut", { cut = 20 }, 502 },
    { "an answer that is cut before its first byte", { cut = 0 }, 502 },
    { "a longer length than what comes", { content_length = 100 }, 502 },
    { "a shorter length than what comes", { content_length = -20 }, 502 },
    { "a redirect", { redirect = "http://127.0.0.1:1/" }, 502 },
    { "a permanent redirect", { redirect = "/v4/auth/principal", code = 308 }, 502 },
    { "no JSON", { answer = "<html>welcome</html>" }, 502 },
    { "nothing", { answer = "" }, 502 },
    { "JSON of another kind", { answer = '"x"' }, 502 },
    { "null", { answer = "null" }, 502 },
    { "an empty object", { answer = "{}" }, 502 },
    { "JSON that ends early", { answer = '{"isAnonymous":false,"isAdmin":true' }, 502 },
    { "deep JSON", { deep_json = 100000 }, 502 },
    { "2 MB", { endless = 2000000 }, 502 },
    { "bytes that are not HTTP", { raw = "SSH-2.0-OpenSSH_9.2\r\n" }, 502 },
    { "204", { answer = "", code = 204 }, 502 },
  }

  describe("Domino", function()
    for _, case in ipairs(FAULTS) do
      local name, fault, status = table.unpack(case)
      it(("answers %s: %d"):format(name, status), function()
        local person = here:person { isAdmin = true }
        here:fault { match = { kind = "principal" }, fault = fault }
        local response = assert_fails(status, function() return here:get(person, "/raycluster/list") end)
        if fault.retry_after then assert.equal(tostring(fault.retry_after), response.headers["retry-after"]) end
        assert.is_nil(response.headers["www-authenticate"])
        here:fault()
        assert.equal(200, here:get(person, "/raycluster/list").status)
      end)
    end

    it("is asked again where that does no harm", function()
      for _, fault in ipairs { { status = 502 }, { status = 503 }, { status = 504 }, { cut = 0 } } do
        here:fault { match = { kind = "principal", times = 2 }, fault = fault }
        assert.equal(200, here:get(here:person(), "/raycluster/list").status)
      end
    end)

    it("is not there: 502", function()
      local service = here:serve { DOMINO_NUCLEUS_URI = "http://127.0.0.1:1", REQUEST_TIMEOUT_SECONDS = DEADLINE_S }
      stage.await_ready(service)
      assert_fails(502, function()
        return here:request(stage.admin, { port = service.port, path = "/raycluster/list" })
      end)
    end)

    it("has no name: 502", function()
      local service = here:serve { DOMINO_NUCLEUS_URI = "http://nucleus.invalid", REQUEST_TIMEOUT_SECONDS = DEADLINE_S }
      stage.await_ready(service)
      assert_fails(502, function()
        return here:request(stage.admin, { port = service.port, path = "/raycluster/list" })
      end)
    end)
  end)

  describe("Kubernetes", function()
    local name

    setup(function()
      name = here:cluster()
    end)

    -- An API server's own words for what is no failure of it.
    local NOT_FOR_KUBERNETES <const> = { ["418"] = true, ["JSON of another kind"] = true }

    for _, case in ipairs(FAULTS) do
      local title, fault, status = table.unpack(case)
      if not NOT_FOR_KUBERNETES[title] then
        it(("answers a patch with %s: %d"):format(title, status), function()
          here:fault { match = { kind = "patch" }, fault = fault }
          assert_fails(status, function() return here:scale(stage.uma, name, 2) end)
        end)

        it(("answers a read with %s: %d"):format(title, status), function()
          here:fault({ match = { kind = "get" }, fault = fault }, { match = { kind = "list" }, fault = fault },
            { match = { kind = "watch" }, fault = fault })
          local fresh = here:serve { REQUEST_TIMEOUT_SECONDS = DEADLINE_S } -- has no copy to answer from
          for _, path in ipairs { "/raycluster/list", "/raycluster/" .. name } do
            assert_fails(status, function() return here:request(stage.uma, { port = fresh.port, path = path }) end)
          end
          fresh:stop()
        end)
      end
    end

    it("lacks a right that we need: 502", function()
      for _, status in ipairs { 401, 403 } do
        here:fault { match = { kind = "patch" }, fault = { status = status } }
        local response = assert_fails(502, function() return here:scale(stage.uma, name, 2) end)
        assert.is_nil(response.body:find("serviceaccount", 1, true))
      end
    end)

    it("never gets a patch twice when nobody knows what became of it", function()
      for _, fault in ipairs { { cut = 20 }, { status = 500 }, { hang = true } } do
        here:fault { match = { kind = "patch" }, fault = fault }
        local before = here:count "patch rayclusters"
        local response = here:scale(stage.uma, name, 2)
        assert.is_truthy(response.status == 502 or response.status == 504)
        assert.is_truthy(response.json.detail:find("may have been scaled", 1, true), response.body)
        assert.equal(1, here:count "patch rayclusters" - before)
      end
    end)

    it("is not there: 502", function()
      require "program".write(here.directory .. "/nowhere", require "program".read(here.directory .. "/kubeconfig")
        :gsub("127%.0%.0%.1:%d+", "127.0.0.1:1"))
      local service = here:serve { KUBECONFIG = here.directory .. "/nowhere", REQUEST_TIMEOUT_SECONDS = DEADLINE_S }
      for _, path in ipairs { "/raycluster/list", "/raycluster/" .. name } do
        assert_fails(502, function() return here:request(stage.uma, { port = service.port, path = path }) end)
      end
    end)
  end)

  it("the deadline is one for all of a request", function()
    local name = here:cluster()
    local person = here:person()
    here:control("POST", "owner", { name = name, owner = person.id })
    here:fault({ match = { kind = "principal" }, fault = { delay_ms = 600 } },
      { match = { kind = "patch" }, fault = { delay_ms = 600 } })
    local started = socket.gettime()
    local response = here:scale(person, name, 2)
    local took = socket.gettime() - started
    assert.equal(504, response.status, response.body)
    assert(took < DEADLINE_S + 0.7, ("it took %.1f s"):format(took))
  end)

  it("a slow one does not hold up who does not need it", function()
    here:fault { match = { kind = "principal" }, fault = { hang = true } }
    local waiting = {}
    for i = 1, 30 do
      waiting[i] = client.send(here.service.port, { path = "/raycluster/list", token = here:person().token })
    end
    local started = socket.gettime()
    assert.equal(200, here:request(nil, { path = "/healthz" }).status)
    assert.equal(401, here:request(nil, { path = "/raycluster/list" }).status)
    assert.equal(200, here:request(nil, { port = here.service.admin_port, path = "/readyz" }).status)
    assert(socket.gettime() - started < 1)
    for _, connection in ipairs(waiting) do
      assert.equal(504, client.receive(connection).status)
    end
  end)
end)
