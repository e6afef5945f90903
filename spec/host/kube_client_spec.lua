local certificates = require "certificates"
local kube_client = require "native.kube_client"
local processes = require "processes"
local tls_proxy = require "tls_proxy"

describe("host/kube_client", function()
  local origin, base, proxy, made, directory

  local function write(name, text)
    local file = assert(io.open(directory .. "/" .. name, "w"))
    file:write(text)
    file:close()
    return directory .. "/" .. name
  end

  local function base64(text)
    local input = write("base64", text)
    local pipe = io.popen("base64 -w0 " .. input)
    local encoded = pipe:read("a")
    pipe:close()
    return encoded
  end

  setup(function()
    made = certificates.new()
    directory = made.directory
    os.execute("mkdir -p " .. directory .. "/home/.kube " .. directory .. "/account")
    origin = processes.start({ "lua5.4", "spec/support/origin.lua" }, { line = true })
    base = "http://127.0.0.1:" .. origin.line
    proxy = tls_proxy(directory, origin.line, { client = true })
  end)

  teardown(function()
    proxy.stop()
    origin.stop()
    made.remove()
  end)

  --- A kubeconfig of one cluster and one user, given as the insides of flow mappings.
  local function config(cluster, user, context)
    return ([[
apiVersion: v1
kind: Config
current-context: main
contexts:
- name: main
  context: {cluster: c, user: u%s}
clusters:
- name: c
  cluster: {%s}
users:
- name: u
  user: {%s}
]]):format(context or "", cluster, user or "")
  end

  local function open(text, environment)
    return kube_client.open(write("config", text), environment or {})
  end

  local function echo(kube, exchange)
    local result = kube:perform("/echo", exchange or {})
    assert.equal("ok", result.failure, result.message)
    return result.body
  end

  local function plain(user)
    return config("server: " .. base, user)
  end

  describe("in a cluster", function()
    local function environment(more)
      local map = { KUBERNETES_SERVICE_HOST = "127.0.0.1", KUBERNETES_SERVICE_PORT = tostring(proxy.port),
        SERVICE_ACCOUNT_DIR = directory .. "/account" }
      for name, value in pairs(more or {}) do
        map[name] = value
      end
      return map
    end

    before_each(function()
      write("account/token", "account-token\n")
      write("account/ca.crt", made.text("ca.crt"))
      write("account/namespace", "domino-field")
    end)

    it("finds the API server, also when a kubeconfig is there", function()
      local kube = kube_client.open(write("config", plain("token: x")), environment())
      assert.equal("in-cluster https://127.0.0.1:" .. proxy.port, kube:describe())
      assert.equal("domino-field", kube:namespace())
    end)

    it("puts brackets around an IPv6 address", function()
      local kube = kube_client.open("", environment { KUBERNETES_SERVICE_HOST = "fd00::1" })
      assert.equal("in-cluster https://[fd00::1]:" .. proxy.port, kube:describe())
    end)

    it("is not, without token, authority or address", function()
      for _, name in ipairs { "token", "ca.crt" } do
        os.remove(directory .. "/account/" .. name)
        assert.truthy(open(plain("token: x"), environment()):describe():find("^kubeconfig "))
        write("account/" .. name, "x")
      end
      local nowhere = environment { KUBERNETES_SERVICE_HOST = "" }
      assert.truthy(open(plain("token: x"), nowhere):describe():find("^kubeconfig "))
      assert.same({ nil, "kubeconfig: no such file: /nowhere/.kube/config" },
        { kube_client.open("", environment { KUBERNETES_SERVICE_PORT = "", HOME = "/nowhere" }) })
    end)
  end)

  describe("a kubeconfig", function()
    it("names server, namespace and context", function()
      local kube = open(config("server: " .. base .. "/prefix/", "token: abc", ", namespace: ours"))
      assert.equal(("kubeconfig %s/prefix context main"):format(base), kube:describe())
      assert.equal("ours", kube:namespace())
      local request = echo(kube, { headers = { { "Accept", "application/json" } } })
      assert.truthy(request:find("^GET /prefix/echo HTTP/1.1\r\n"))
      assert.truthy(request:find("\r\nAuthorization: Bearer abc\r\n", 1, true))
      assert.truthy(request:find("\r\nAccept: application/json\r\n", 1, true))
      assert.truthy(request:find("\r\nUser-Agent: rayclusterscaler/1.0.0\r\n", 1, true))
      assert.equal("default", open(plain("token: abc")):namespace())
    end)

    it("is looked for at home when none is named", function()
      write("home/.kube/config", plain("token: abc"))
      assert.truthy(kube_client.open("", { HOME = directory .. "/home" }))
    end)

    it("may name no user, or one without credentials", function()
      assert.falsy(echo(open(plain(""))):find("Authorization", 1, true))
      assert.falsy(echo(open((plain(""):gsub(", user: u", "")))):find("Authorization", 1, true))
    end)

    it("may hold a name and a password", function()
      local request = echo(open(plain('username: jane, password: "s3cret:x"')))
      assert.truthy(request:find("\r\nAuthorization: Basic amFuZTpzM2NyZXQ6eA==\r\n", 1, true))
    end)

    it("may be JSON, and may hold what does not matter here", function()
      local text = ([[{"kind": "Config", "preferences": {"a": [1, {"b": null}]}, "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "extensions": [{"name": "e"}]}}],
        "clusters": [{"name": "c", "cluster": {"server": "%s", "certificate-authority-data": null}}],
        "users": [{"name": "u", "user": {"token": "abc", "client-key": ""}}]}]]):format(base)
      assert.truthy(echo(open(text)):find("Bearer abc", 1, true))
    end)

    it("is put together from several files; the first that says something wins", function()
      local first = write("first", "current-context: main\nusers: [{name: u, user: {token: first}}]\n")
      local second = write("second", plain("token: second"):gsub("main", "other", 1))
      local third = write("third", plain("token: third"))
      local kube = kube_client.open(("%s/missing::%s:%s:%s"):format(directory, first, second, third), {})
      assert.equal(("kubeconfig %s context main"):format(base), kube:describe())
      assert.truthy(echo(kube):find("Bearer first", 1, true))
    end)

    it("brings trust and a client certificate, in itself or in files beside it", function()
      local server = ("server: 'https://127.0.0.1:%d', tls-server-name: api.example, "):format(proxy.port)
      local inside = config(server .. "certificate-authority-data: " .. base64(made.text("ca.crt")),
        ("client-certificate-data: %s, client-key-data: %s"):format(base64(made.text("client.crt")),
          base64(made.text("client.key"))))
      local beside = config(server .. "certificate-authority: ca.crt",
        "client-certificate: ./client.crt, client-key: " .. directory .. "/client.key")
      for _, text in ipairs { inside, beside } do
        local request = echo(open(text))
        assert.truthy(request:find("Via: 2 nghttpx", 1, true))
      end
      local result = open(config(server, "token: abc")):perform("/echo", {})
      assert.equal("tls", result.failure, "the system's trust")
      result = open(config(server:gsub(", tls%-server%-name.*", ", ") .. "certificate-authority: ca.crt",
        "client-certificate: client.crt, client-key: client.key")):perform("/echo", {})
      assert.equal("tls", result.failure, "another name")
      echo(open(config(server .. "insecure-skip-tls-verify: true",
        "client-certificate: client.crt, client-key: client.key")))
    end)

    it("may name a proxy", function()
      local kube = open(config("server: 'http://api.invalid:6443', proxy-url: " .. base, "token: abc"))
      assert.truthy(echo(kube):find("^GET http://api.invalid:6443/echo HTTP/1.1\r\n"))
    end)

    it("is refused in one clear line when it cannot be used as it is meant", function()
      local function refused(text, line)
        local kube, problem = open(text)
        assert.is_nil(kube)
        problem = problem:gsub(directory, "")
        assert.equal(line, problem)
        assert.falsy(problem:find("secret", 1, true))
      end
      local server = "server: " .. base
      for _, kind in ipairs { "exec: {command: aws}", "auth-provider: {name: gcp}", "as: admin" } do
        local line = 'kubeconfig /config: user "u" needs "%s", which is not supported: use a token, tokenFile or ' ..
          "client certificate"
        refused(config(server, kind), line:format(kind:match("^[%w-]+")))
      end
      refused(plain("token: secret, username: x"),
        'kubeconfig /config: user "u" has a token and a username: only one may be set')
      refused(plain('token: "secret\\nsecret"'), "kubernetes: the token cannot stand in a header")
      refused(plain("tokenFile: missing"), "kubernetes: no token can be read from /missing")
      refused(plain("client-certificate: client.crt"),
        'kubeconfig /config: user "u" has a client certificate or a client key, but not both')
      refused(plain("client-key-data: '!secret'"), "kubeconfig /config: client-key-data is not base64")
      refused(plain("client-key: missing"), "kubeconfig /config: client-key missing: No such file or directory")
      refused(config("server: 'http://user:secret@x'"),
        'kubeconfig /config: cluster "c": server must be a plain URL, without credentials or query')
      refused(config("server: x:6443"), 'kubeconfig /config: cluster "c": server must begin with https:// or http://')
      refused(config(""), 'kubeconfig /config: cluster "c" names no server')
      refused(config(server .. ", insecure-skip-tls-verify: true, certificate-authority: ca.crt"),
        'kubeconfig /config: cluster "c" has a certificate-authority and skips verification')
      refused(config(server .. ", insecure-skip-tls-verify: perhaps"),
        "kubeconfig /config: insecure-skip-tls-verify is neither true nor false")
      refused("", "kubeconfig: no current-context is set")
      refused((plain():gsub("name: main", "name: x")), 'kubeconfig: no context "main"')
      refused((plain():gsub("name: c", "name: x")), 'kubeconfig: no cluster "c"')
      refused((plain():gsub("name: u", "name: x")), 'kubeconfig: no user "u"')
    end)

    it("is refused when it is not plain YAML", function()
      local function refused(text, line)
        local kube, problem = open(text)
        assert.is_nil(kube)
        assert.equal("kubeconfig " .. directory .. "/config" .. line, problem)
      end
      refused("a: &x [1]\nb: *x\n", " line 2: aliases are not supported")
      refused(("["):rep(40) .. ("]"):rep(40), " line 1: nested too deeply")
      refused("a: 1\n---\nb: 2\n", " line 2: more than one YAML document")
      refused("a: 'unfinished\n", " line 2: found unexpected end of stream")
      refused("\0", " line 1: control characters are not allowed")
      refused(("# "):rep(3000000), ": File too large")
    end)
  end)

  describe("a token's file", function()
    it("is read again when the token is refused, and the call made once more", function()
      local token = write("token", "  old \n")
      local kube = open(plain("tokenFile: token"))
      assert.equal(200, kube:perform("/token?good=old", {}).status)
      write("token", "new")
      local result = kube:perform("/token?good=new", {})
      assert.equal(200, result.status)
      assert.equal("welcome\n", result.body)
      assert.equal(2, result.upstream_calls)
      assert.equal(1, kube:perform("/token?good=new", {}).upstream_calls, "and is remembered")
      os.remove(token)
    end)

    it("that holds nothing new is not tried twice", function()
      write("token", "old")
      local kube = open(plain("tokenFile: token"))
      local result = kube:perform("/token?good=new", {})
      assert.equal(401, result.status)
      assert.equal("who are you", result.body)
      assert.equal(1, result.upstream_calls)
    end)

    it("may vanish for a while", function()
      local token = write("token", "old")
      local kube = open(plain("tokenFile: token"))
      os.remove(token)
      assert.equal(401, kube:perform("/token?good=new", {}).status)
      assert.equal(200, kube:perform("/token?good=old", {}).status)
    end)

    it("comes before a token, which serves while there is no file", function()
      write("token", "from-file")
      assert.equal(200, open(plain("tokenFile: token, token: itself")):perform("/token?good=from-file", {}).status)
      os.remove(directory .. "/token")
      assert.equal(200, open(plain("tokenFile: token, token: itself")):perform("/token?good=itself", {}).status)
    end)

    it("serves streams, too", function()
      write("token", "old")
      local kube = open(plain("tokenFile: token"))
      write("token", "new")
      local result = kube:stream("/token?good=new", { timeout_ms = 0 }, 1000)
      assert.equal(200, result.status)
      assert.equal("welcome\n", result.streamed)
      result = kube:stream("/token?good=other", { timeout_ms = 0 }, 1000)
      assert.equal(401, result.status)
      assert.equal("", result.streamed)
    end)
  end)

  it("tells failures without the credentials", function()
    local kube = open(config("server: 'http://127.0.0.1:" .. processes.free_port() .. "'", "token: secret"))
    local result = kube:perform("/api?q=hidden", {})
    assert.equal("connect", result.failure)
    assert.falsy(result.message:find("secret", 1, true))
    assert.falsy(result.message:find("hidden", 1, true))
    assert.falsy(kube:describe():find("secret", 1, true))
  end)
end)
