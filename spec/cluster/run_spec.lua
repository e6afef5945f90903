--- `make test-cluster` against the simulator, which plays the cluster: behind TLS, where a client certificate is the
--- credential, as in the kubeconfigs of kind, k3s and kubeadm.
local certificates = require "certificates"
local cjson = require "cjson"
local client = require "client"
local lyaml = require "lyaml"
local program = require "program"
local tls_proxy = require "tls_proxy"
local types = require "kubernetes_types"
local uv = require "luv"

local TOKEN <const> = "simulator-cluster-admin-token"
local DEFINITION <const> = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
  .. "rayclusters.distributed-compute.dominodatalab.com"

local KUBECONFIG <const> = [[
apiVersion: v1
kind: Config
current-context: spec
contexts: [{name: spec, context: {cluster: spec, user: spec}}]
clusters:
- name: spec
  cluster: {server: "https://127.0.0.1:%d", tls-server-name: api.example, certificate-authority-data: %s}
users:
- name: spec
  user: %s
]]

local CERTIFICATE <const> = "{client-certificate-data: %s, client-key-data: %s}"
local PLUGIN <const> = [[{exec: {apiVersion: client.authentication.k8s.io/v1, command: cat, args: ["%s"],
    interactiveMode: Never}}]]

local function base64(path)
  local pipe <close> = assert(io.popen(("base64 -w0 '%s'"):format(path)))
  return pipe:read "a"
end

describe("make test-cluster", function()
  local directory, made, simulator, port, proxy, kubeconfig

  setup(function()
    directory, made = program.directory(), certificates.new()
    simulator = program.start { arguments = { "simulate", "127.0.0.1:0" }, directory = directory }
    port = tonumber(program.eventually(function()
      return simulator:stdout():match "simulator on http://127%.0%.0%.1:(%d+)"
    end))
    proxy = tls_proxy(made.directory, port, { client = true, header = "Authorization: Bearer " .. TOKEN })
    kubeconfig = directory .. "/kubeconfig"
  end)

  teardown(function()
    if proxy then proxy.stop() end
    simulator:stop()
    made.remove()
    program.remove(directory)
  end)

  local function ask(method, path, body)
    return client.request(port, { method = method, path = path, token = TOKEN, body = body })
  end

  local function credential(text)
    program.write(kubeconfig, KUBECONFIG:format(proxy.port, base64(made.directory .. "/ca.crt"), text))
  end

  before_each(function()
    assert.equal(200, ask("POST", "/_simulator/reset", {}).status)
    assert.equal(200, ask("POST", "/_simulator/options", { operator = false, webhook = false }).status)
    credential(CERTIFICATE:format(base64(made.directory .. "/client.crt"), base64(made.directory .. "/client.key")))
  end)

  --- Exit code and output. interrupt: what has to be in the output for Ctrl-C.
  local function run(arguments, interrupt)
    local path, code = directory .. "/output", nil
    local output = assert(uv.fs_open(path, "w", 384))
    local process, pid = uv.spawn("spec/cluster/run.sh", { args = arguments, detached = true,
      stdio = { nil, output, output }, env = { "PATH=" .. os.getenv "PATH", "KUBECONFIG=" .. kubeconfig } },
      function(status) code = status end)
    uv.fs_close(output)
    assert(process, pid)
    local function is_over()
      uv.run "nowait"
      return code
    end
    if interrupt then
      program.eventually(function() return is_over() or program.read(path):find(interrupt) end, 60, interrupt)
      uv.kill(-pid, "sigint")
    end
    program.eventually(is_over, 120, "the end of the run")
    process:close()
    return code, program.read(path)
  end

  local function assert_nothing_left()
    local namespaces = ask("GET", "/api/v1/namespaces").body
    assert.is_truthy(namespaces:find('"domino-compute"', 1, true))
    assert.is_nil(namespaces:find("rayclusterscaler-test", 1, true))
    local clusters = ask("GET", "/apis/distributed-compute.dominodatalab.com/v1alpha1/rayclusters").body
    assert.is_nil(clusters:find("rayclusterscaler-test", 1, true))
  end

  it("brings a definition that Kubernetes knows how to read", function()
    -- The declarations leave out what is no identifier.
    local text = program.read "spec/cluster/rayclusters.yaml":gsub("x%-kubernetes%-preserve%-unknown%-fields: true", "")
    assert.same({}, types.problems(lyaml.load(text)))
  end)

  it("passes where nothing is installed, and leaves it so", function()
    assert.equal(200, ask("DELETE", DEFINITION).status)
    local code, output = run {}
    assert.equal(0, code, output)
    assert.is_truthy(output:find "\n%d%d+ passed, 0 failed, %d+ skipped\n", output)
    assert_nothing_left()
    assert.equal(404, ask("GET", DEFINITION).status)
  end)

  it("uses a definition that is there, and leaves it", function()
    local before = ask("GET", DEFINITION).body
    local code, output = run { "--filter=answers HEAD as GET" }
    assert.equal(0, code, output)
    assert.is_truthy(output:find("2 passed, 0 failed", 1, true), output)
    assert_nothing_left()
    assert.equal(before, ask("GET", DEFINITION).body)
  end)

  it("ends its namespace where no controller does", function()
    assert.equal(200, ask("POST", "/_simulator/options", { namespace_controller = false }).status)
    local code, output = run { "--filter=answers HEAD as GET" }
    assert.equal(0, code, output)
    assert.is_truthy(output:find("2 passed, 0 failed", 1, true), output)
    assert_nothing_left()
  end)

  it("takes a credential that a plugin makes", function()
    program.write(directory .. "/credential.json", cjson.encode { kind = "ExecCredential",
      apiVersion = "client.authentication.k8s.io/v1", status = {
        clientCertificateData = program.read(made.directory .. "/client.crt"),
        clientKeyData = program.read(made.directory .. "/client.key"),
      } })
    credential(PLUGIN:format(directory .. "/credential.json"))
    local code, output = run { "--filter=answers HEAD as GET" }
    assert.equal(0, code, output)
    assert.is_truthy(output:find("2 passed, 0 failed", 1, true), output)
    assert_nothing_left()
  end)

  it("cleans up after a failure", function()
    assert.equal(200, ask("DELETE", DEFINITION).status)
    local code, output = run { "--helper=no-such-helper" }
    assert.not_equal(0, code, output)
    assert_nothing_left()
    assert.equal(404, ask("GET", DEFINITION).status)
  end)

  it("cleans up after Ctrl-C", function()
    assert.equal(200, ask("DELETE", DEFINITION).status)
    local code, output = run({}, "%+%+")
    assert.equal(130, code, output)
    assert_nothing_left()
    assert.equal(404, ask("GET", DEFINITION).status)
  end)
end)
