--- No credential in anything that the program writes, whatever happens to the request that brought it.
local client = require "client"
local rawsocket = require "rawsocket"
local stage = require "stage"

describe("secrets", function()
  it("reach no log, no error and no metric", function()
    local here = stage.open { LOG_LEVEL = "debug", REQUEST_TIMEOUT_SECONDS = 1, IDENTITY_TTL_SECONDS = 0 }
    local secrets, answers = {}, {}
    local function secret()
      secrets[#secrets + 1] = ("s3cr3t%dx"):format(#secrets)
      return secrets[#secrets]
    end
    local function ask(options)
      options.headers = options.headers or {}
      answers[#answers + 1] = here:request(nil, options).body
    end
    --- Every endpoint, with a credential of every kind.
    local function ask_all()
      for _, request in ipairs {
        { path = "/raycluster/list" },
        { path = "/raycluster/" .. stage.clusters.umas },
        { path = "/nowhere" },
        { path = "/raycluster/scale", method = "POST", body = { cluster_name = stage.clusters.umas, replicas = 2 } },
        { path = "/raycluster/scale", method = "POST", body = { cluster_name = true } },
      } do
        for _, credential in ipairs {
          { Authorization = "Bearer " .. secret() },
          { Authorization = secret() },
          { Authorization = "Basic " .. secret() },
          { ["X-Domino-Api-Key"] = secret() },
          { ["X-Domino-Api-Key"] = secret(), Authorization = "Bearer " .. secret(), Cookie = "token=" .. secret() },
        } do
          request.headers = credential
          ask(request)
        end
        local person = here:person { isAdmin = true }
        request.headers = { Authorization = "Bearer " .. person.token }
        ask(request)
      end
    end

    ask_all()
    for _, kind in ipairs { "principal", "list", "get", "patch" } do
      for _, fault in ipairs { { status = 500 }, { status = 401 }, { hang = true }, { raw = "x" }, { cut = 0 },
        { redirect = "http://127.0.0.1:1/" } } do
        here:fault { match = { kind = kind }, fault = fault }
        for _, token in ipairs { secret(), stage.uma.token } do
          ask { path = "/raycluster/scale", method = "POST", token = token,
            body = { cluster_name = stage.clusters.umas, replicas = 2 } }
        end
      end
    end
    here:fault()

    for _, bytes in ipairs {
      "GET /raycluster/list HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n",
      "GET /raycluster/list HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n folded\r\n\r\n",
      "GET /raycluster/list?token=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
      "GET /%%00%s HTTP/1.1\r\nHost: x\r\n\r\n",
      "GET /raycluster/list HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\0\r\n\r\n",
      "%s\r\n\r\n",
    } do
      local connection = rawsocket.connect(here.service.port)
      connection:send(bytes:format(secret()))
      answers[#answers + 1] = connection:rest(5)
      connection:close()
    end
    answers[#answers + 1] = client.request(here.service.admin_port, { path = "/metrics" }).body

    for _, process in ipairs(here.processes) do
      process:stop() -- the simulator first: a watch that is open does not hold it up
    end
    local written = here:written() .. table.concat(answers)
    assert(written:find('"level":"debug"', 1, true) or written:find('"level":"info"', 1, true))
    secrets[#secrets + 1] = "simulator-service-account-token"
    for _, person in ipairs { stage.admin, stage.uma, stage.urs } do
      secrets[#secrets + 1] = person.token
    end
    for _, text in ipairs(secrets) do
      local at = written:find(text, 1, true)
      assert(not at, at and ("%s stands in: %s"):format(text, written:sub(at - 300, at + 100)))
    end
    assert.is_nil(written:find("spec-token-", 1, true))
    here:close()
  end)
end)
