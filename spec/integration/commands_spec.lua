local program = require "program"

describe("command", function()
  local directory

  setup(function()
    directory = program.directory()
    program.write(directory .. "/kubeconfig", [[
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: a, user: a}}]
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: a, user: {token: a}}]
]])
  end)

  teardown(function()
    program.remove(directory)
  end)

  local function run(arguments, environment)
    return program.run { arguments = arguments, environment = environment, directory = directory }
  end

  --- A copy of a directory in which a file says something else once, by pattern.
  local function changed(name, file, pattern, replacement)
    local copy = ("%s/%s-%s"):format(directory, name, file)
    assert(os.execute(("rm -rf '%s' && cp -r '%s' '%s'"):format(copy, name, copy)))
    local text, count = program.read(copy .. "/" .. file):gsub(pattern, replacement, 1)
    assert(count == 1, pattern)
    program.write(copy .. "/" .. file, text)
    return copy
  end

  describe("check", function()
    it("finds nothing wrong with what is here", function()
      local code, out, complaint = run { "check" }
      assert.equal(0, code, out)
      assert.equal("", complaint)
      assert.matches("^%d+ files, revision %x+: ", out)
    end)

    it("tells file and line of what does not load", function()
      local policies = changed("policies", "scaling.lua", "return nil,", "return nil;,")
      local code, out = run({ "check" }, { POLICIES_DIR = policies })
      assert.equal(1, code)
      assert.matches("policies/scaling.lua:%d+: ", out)
    end)

    it("tells which example fails", function()
      local policies = changed("policies", "scaling.lua", "max_replicas = n %+ 1", "max_replicas = n + 2")
      local code, out = run({ "check" }, { POLICIES_DIR = policies })
      assert.equal(1, code)
      assert.is_truthy(out:find("five workers leave room for a sixth", 1, true), out)
      assert.matches("policies[./]scaling", out)
    end)

    it("refuses a route that names no action", function()
      local scripts = changed("scripts", "routes.lua", 'action = "get", ', "")
      local code, out = run({ "check" }, { SCRIPTS_DIR = scripts })
      assert.equal(1, code)
      assert.is_truthy(out:find("names no action", 1, true), out)
    end)

    it("misses a directory", function()
      local code, out = run({ "check" }, { POLICIES_DIR = directory .. "/none" })
      assert.equal(1, code)
      assert.is_truthy(out:find(directory .. "/none", 1, true), out)
    end)
  end)

  it("routes shows each with its action and file", function()
    local code, out, complaint = run { "routes" }
    assert.equal(0, code)
    assert.equal("", complaint)
    for _, spelling in ipairs { "raycluster", "rayclusterscaler" } do
      assert.matches(("GET +/%s/list +list +scripts/list%%.lua"):format(spelling), out)
      assert.matches(("GET +/%s/{name} +get +scripts/get%%.lua"):format(spelling), out)
      assert.matches(("POST +/%s/scale +scale +scripts/scale%%.lua"):format(spelling), out)
    end
  end)

  it("version and --help go to standard output", function()
    local code, out, complaint = run { "version" }
    assert.same({ 0, "" }, { code, complaint })
    assert.matches("^rayclusterscaler %d+%.%d+%.%d+\n$", out)
    code, out, complaint = run { "--help" }
    assert.same({ 0, "" }, { code, complaint })
    for _, command in ipairs { "serve", "demo", "check", "routes", "version" } do
      assert.matches("\n  " .. command .. " ", out)
    end
  end)

  it("that is none gets the usage and exit code 2", function()
    for _, arguments in ipairs { {}, { "sevre" }, { "serve", "now" }, { "--verbose" }, { "" } } do
      local code, out, complaint = run(arguments)
      assert.equal(2, code)
      assert.equal("", out)
      assert.matches("^rayclusterscaler: [^\n]+\n", complaint)
      assert.matches("usage: ", complaint)
    end
  end)

  describe("serve", function()
    --- It does not start, and says why in one line that holds these words.
    local function assert_refused(environment, ...)
      environment.KUBECONFIG = environment.KUBECONFIG or directory .. "/kubeconfig"
      environment.LISTEN = environment.LISTEN or "127.0.0.1:0"
      environment.ADMIN_LISTEN = environment.ADMIN_LISTEN or "127.0.0.1:0"
      local code, _, complaint = run({ "serve" }, environment)
      assert.equal(1, code)
      assert.matches("^rayclusterscaler: [^\n]+\n$", complaint)
      for _, word in ipairs { ... } do
        assert.is_truthy(complaint:find(word, 1, true), complaint)
      end
    end

    it("does not start with a wrong setting, and says which and what is allowed", function()
      for name, value in pairs {
        DOMINO_NUCLEUS_URI = "nucleus", COMPUTE_NAMESPACE = "Domino_Compute", LOG_LEVEL = "loud", LISTEN = "6000",
        ADMIN_LISTEN = "127.0.0.1:http", IDENTITY_TTL_SECONDS = "-1", REQUEST_TIMEOUT_SECONDS = "0",
        KUBE_MAX_STALE_SECONDS = "soon",
      } do
        assert_refused({ [name] = value }, name, value, "must be")
      end
    end)

    it("does not start without a way to Kubernetes", function()
      assert_refused({ KUBECONFIG = directory .. "/none" }, directory .. "/none")
      program.write(directory .. "/broken", "{")
      assert_refused({ KUBECONFIG = directory .. "/broken" }, directory .. "/broken")
    end)

    it("does not start where somebody else listens", function()
      local socket = require "socket"
      local taken = assert(socket.bind("127.0.0.1", 0))
      local _, port = taken:getsockname()
      for _, name in ipairs { "LISTEN", "ADMIN_LISTEN" } do
        assert_refused({ [name] = "127.0.0.1:" .. port }, "127.0.0.1:" .. port)
      end
      taken:close()
    end)
  end)
end)
