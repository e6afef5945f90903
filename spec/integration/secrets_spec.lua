--- No credential that the process was ever given is in anything that it writes or tells: its log, its complaints, its
--- decision log, the rules that it keeps, its metrics, its documents, its answers. A core, which would have them all,
--- is never written.
local client = require "client"
local processes = require "processes"
local program = require "program"
local rawsocket = require "rawsocket"
local stage = require "stage"

local LIST <const> = "/raycluster/list"

local made = 0
local secrets = { "simulator-service-account-token" }
local answers = {}

--- A credential of its own for each place where one can be.
local function secret(what)
  made = made + 1
  local text = ("s3cr3t%02dx%s"):format(made, what:gsub("%W", ""))
  secrets[#secrets + 1] = text
  return text
end

local ALPHABET <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a << 16 | (b or 0) << 8 | (c or 0)
    for j = 0, 3 do
      local index = (bits >> (18 - 6 * j) & 63) + 1
      out[#out + 1] = (j == 2 and not b or j == 3 and not c) and "=" or ALPHABET:sub(index, index)
    end
  end
  return table.concat(out)
end

--- What a credential looks like in disguise; of base64 the part that does not depend on what stands beside it.
local function disguises(text)
  local list = { text, text:upper(), text:reverse() }
  for shift = 0, 2 do list[#list + 1] = base64(("x"):rep(shift) .. text):sub(5, -5) end
  return list
end

local function assert_clean(texts)
  for where, text in pairs(texts) do
    for _, each in ipairs(secrets) do
      for _, disguise in ipairs(disguises(each)) do
        assert(not text:find(disguise, 1, true), ("%s is in %s"):format(each, where))
      end
    end
  end
end

local KUBECONFIG <const> = [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters: [{name: spec, cluster: {server: "%s"%s}}]
users: [{name: spec, user: {%s}}]
]]

describe("secrets", function()
  local here

  setup(function()
    here = stage.open { DRAIN_SECONDS = "0", LOG_LEVEL = "debug", IDENTITY_TTL_SECONDS = "1" }
    local token = secret "kubernetes"
    here:control("POST", "accounts", { token = token })
    here.kubeconfig = here.directory .. "/secret"
    program.write(here.kubeconfig, KUBECONFIG:format("http://127.0.0.1:" .. here.simulator_port, "",
      "token: " .. token))
    here.decisions, here.state = here.directory .. "/decisions", here:folder {}
    here.service = here:serve { DRAIN_SECONDS = "0", LOG_LEVEL = "debug", KUBECONFIG = here.kubeconfig,
      REQUEST_TIMEOUT_SECONDS = "1", DECISION_LOG = here.decisions, DECISION_SAMPLE_RATE = "1",
      STATE_DIR = here.state }
    stage.await_ready(here.service)
  end)

  teardown(function() here:close() end)

  local function texts_of(service)
    local texts = { stdout = service:stdout(), stderr = service:stderr() }
    for _, path in ipairs { "/metrics", "/policy", "/readyz", "/healthz" } do
      texts[path] = client.request(service.admin_port, { path = path }).body
    end
    return texts
  end

  local function send(bytes)
    local connection = rawsocket.connect(here.service.port)
    connection:send(bytes)
    connection:shutdown()
    answers[#answers + 1] = connection:rest()
    connection:close()
  end

  --- A credential that Domino knows.
  local function known(what, principal)
    local token = secret(what)
    principal = principal or { canonicalId = "5d1f1622fdfe52c4e28e60d8" }
    principal.token = token
    here:control("POST", "identities", principal)
    return token
  end

  local function ask(headers, options)
    options = options or {}
    options.path, options.headers = options.path or LIST, headers
    local response = here:request(nil, options)
    answers[#answers + 1] = response.head .. response.body
    return response
  end

  local function scale(what, name, replicas)
    return ask({ Authorization = "Bearer " .. known(what) }, { method = "POST", path = "/raycluster/scale",
      body = { cluster_name = name, replicas = replicas or 3 } })
  end

  it("of callers stay with the service, whether they are good", function()
    assert.equal(200, ask({ Authorization = "Bearer " .. known "bearer" }).status)
    assert.equal(200, ask({ ["X-Domino-Api-Key"] = known "key" }).status)
    assert.equal(200, ask({ ["X-Domino-Api-Key"] = known "both", Authorization = "Bearer " .. secret "other" }).status)
    assert.equal(200, scale("scale", stage.clusters.umas).status)
    assert.equal(403, ask({ Authorization = "Bearer " .. known "denied" },
      { path = "/raycluster/" .. stage.clusters.urss }).status)
    assert.equal(401, ask({ Authorization = "Bearer " .. secret "wrong" }).status)
    assert.equal(401, ask({ Authorization = "Basic " .. base64("user:" .. secret "basic") }).status)
    assert.equal(401, ask({ Authorization = secret "scheme" }).status)
    assert.equal(401, ask({ Cookie = "session=" .. secret "cookie", ["Proxy-Authorization"] = secret "proxy" }).status)
  end)

  it("of callers stay with the service in odd places", function()
    ask({}, { path = LIST .. "?access_token=" .. secret "query" })
    ask({}, { path = "/" .. secret "path" })
    ask({ Authorization = "Bearer " .. known "name" }, { path = "/raycluster/" .. secret "cluster" })
    assert.equal(400, scale("body", secret "Cluster Name", { [secret "replicas"] = secret "replicas" }).status)
    ask({ Authorization = "Bearer " .. known "notjson",
      ["Content-Type"] = "application/json; token=" .. secret "type" },
      { method = "POST", path = "/raycluster/scale", body = secret "text" })
    ask({ traceparent = "00-" .. secret "trace", tracestate = "t=" .. secret "state",
      ["X-Request-Id"] = "Bearer " .. secret "id", ["If-Match"] = secret "match", ["User-Agent"] = secret "agent",
      ["Accept-Language"] = secret "language" })
    for _, head in ipairs {
      "Authorization : Bearer %s", " Authorization: Bearer %s", "Authorization: Bearer\r\n %s", "Bearer %s",
      "Authorization\0: %s", "%s: x", "Host: %s@x", "Host: %s", "Authorization: Bearer %s\x01",
      "Content-Length: %s", "Transfer-Encoding: %s", "Expect: %s", "Authorization: Bearer %s\nX: y",
    } do
      send("GET " .. LIST .. " HTTP/1.1\r\nHost: x\r\n" .. head:format(secret "malformed") .. "\r\n\r\n")
    end
    for _, line in ipairs { "%s / HTTP/1.1", "GET %s HTTP/1.1", "GET http://u:%s@x/ HTTP/1.1", "GET / %s", "%s",
      "GET /%%zz%s HTTP/1.1", "GET /raycluster/list#%s HTTP/1.1" } do
      send(line:format(secret "line") .. "\r\nHost: x\r\n\r\n")
    end
  end)

  it("of callers and of the service stay with it when Domino and Kubernetes fail", function()
    for _, fault in ipairs { { status = 500 }, { status = 403 }, { hang = true }, { cut = 5 },
      { status = 200, body = "no JSON" }, { status = 429, retry_after = 1 }, { content_length = 5 }, { raw = "x" },
      { redirect = "http://127.0.0.1:1/" } } do
      here:fault { match = { kind = "principal" }, fault = fault }
      assert.not_equal(200, ask({ Authorization = "Bearer " .. known "domino" }).status)
    end
    local echo = secret "echo" -- Domino's answer quotes the credential
    here:control("POST", "identities", { token = echo, answer = ('{"token":"%s"}'):format(echo) })
    here:fault()
    assert.equal(502, ask({ Authorization = "Bearer " .. echo }).status)
    for _, fault in ipairs { { status = 401 }, { status = 403 }, { status = 500 }, { hang = true }, { cut = 5 },
      { status = 200, body = "no JSON" }, { raw = "x" }, { redirect = "http://127.0.0.1:1/" } } do
      here:fault { match = { kind = "patch" }, fault = fault }
      assert.not_equal(200, scale("patch", stage.clusters.umas).status)
    end
    here:fault({ match = { kind = "watch" }, fault = { status = 401 } },
      { match = { kind = "list" }, fault = { status = 401 } })
    here:control("POST", "restart")
    program.eventually(function()
      return client.request(here.service.admin_port, { path = "/metrics" }).body:find 'troubles_total.-401"'
        or client.request(here.service.admin_port, { path = "/metrics" }).body:find 'troubles_total.-unauthorized"'
    end)
    here:fault()
  end)

  it("leave the process in no core", function()
    assert.matches("\nMax core file size +1 +1 +bytes", program.read(("/proc/%d/limits"):format(here.service.pid)))
  end)

  it("of callers are in nothing that the service has told", function()
    local texts = texts_of(here.service)
    here.service:stop()
    table.remove(here.processes)
    texts.stdout, texts.stderr = here.service:stdout(), here.service:stderr()
    texts.answers = table.concat(answers)
    texts.decisions = program.read(here.decisions)
    assert.matches('"verdict":"deny"', texts.decisions)
    local pipe = assert(io.popen(("find '%s' -type f -exec cat {} +"):format(here.state)))
    texts.state = pipe:read "a"
    pipe:close()
    assert.is_true(#texts.state > 1000)
    assert_clean(texts)
    for _, disguise in ipairs(disguises(secrets[1])) do
      assert.has_error(function() assert_clean { ["a text that is not clean"] = "before" .. disguise .. "after" } end)
    end
    assert.is_true(#here.service:log "request" > 40)
  end)

  describe("of a kubeconfig", function()
    --- What serve says with it: it ends, or is ended.
    local function said(kubeconfig, settings)
      settings = settings or {}
      program.write(here.kubeconfig, kubeconfig)
      for name, value in pairs { LISTEN = "127.0.0.1:0", ADMIN_LISTEN = "127.0.0.1:0", LOG_LEVEL = "debug",
        KUBECONFIG = here.kubeconfig, DRAIN_SECONDS = "0" } do
        settings[name] = settings[name] or value
      end
      local service = program.start { arguments = { "serve" }, directory = here.directory, environment = settings }
      local texts
      program.eventually(function()
        local admin_port = service:stdout():match "admin on port (%d+)"
        if admin_port and service:stdout():find "kubernetes" then
          service.admin_port = tonumber(admin_port)
          pcall(program.eventually, function()
            texts = texts_of(service)
            return texts["/metrics"]:find "troubles_total"
          end, 3)
          return true
        end
        return not service:running()
      end)
      if service:running() then
        service:stop()
      else
        assert.matches("^rayclusterscaler: ", service:stderr())
      end
      texts = texts or {}
      texts.stdout, texts.stderr = service:stdout(), service:stderr()
      return texts
    end

    local nobody

    setup(function() nobody = "127.0.0.1:" .. processes.free_port() end)

    for name, make in pairs {
      ["a token"] = function() return KUBECONFIG:format("http://" .. nobody, "", "token: " .. secret "token") end,
      ["a token that no header takes"] = function()
        return KUBECONFIG:format("http://" .. nobody, "", ('token: "%s\\n%s"'):format(secret "token", secret "token"))
      end,
      ["a password"] = function()
        return KUBECONFIG:format("http://" .. nobody, "", "username: u, password: " .. secret "password")
      end,
      ["a key"] = function()
        return KUBECONFIG:format("https://" .. nobody, "", ("client-certificate-data: %s, client-key-data: %s"):format(
          base64(secret "certificate"), base64(secret "key")))
      end,
      ["a key that is no base64"] = function()
        return KUBECONFIG:format("https://" .. nobody, "", "client-key-data: '" .. secret "key" .. "!!'")
      end,
      ["a server's URL"] = function()
        return KUBECONFIG:format(("http://user:%s@%s"):format(secret "server", nobody), "", "token: x")
      end,
      ["a proxy's URL"] = function()
        return KUBECONFIG:format("http://" .. nobody, (', proxy-url: "http://u:%s@%s"'):format(secret "proxy", nobody),
          "token: x")
      end,
      ["broken YAML"] = function()
        return KUBECONFIG:format("http://" .. nobody, "", "token: " .. secret "yaml" .. ', "') .. "\t}"
      end,
      ["an exec plugin"] = function()
        return KUBECONFIG:format("http://" .. nobody, "", ("exec: {apiVersion: client.authentication.k8s.io/v1, " ..
          "command: /nowhere/plugin, args: [%s], env: [{name: PASSWORD, value: %s}]}"):format(secret "argument",
          secret "environment"))
      end,
    } do
      it("stay out of all that is told: " .. name, function() assert_clean(said(make())) end)
    end

    it("stay out of the complaint about another setting", function()
      assert_clean(said("", { DOMINO_NUCLEUS_URI = "http://user:" .. secret "uri" .. "@domino" }))
      assert_clean(said("", { DOMINO_NUCLEUS_URI = "http://domino/?token=" .. secret "uri" }))
    end)
  end)
end)
