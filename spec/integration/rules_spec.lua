--- The rules are files: what they say is what happens, and what they must not do they cannot.
local client = require "client"
local exposition = require "exposition"
local program = require "program"
local stage = require "stage"

describe("rules:", function()
  local here

  setup(function()
    here = stage.open()
  end)

  teardown(function()
    here:close()
  end)

  local function replace(text, old, new)
    local first, last = text:find(old, 1, true)
    assert(first, old .. " is not in the policy")
    return text:sub(1, first - 1) .. new .. text:sub(last + 1)
  end

  --- A service with one policy that says something else, and so has lost its examples.
  local function serve(policy, old, new)
    local text = replace(program.read("policies/" .. policy), "  examples = {", "  once = {")
    local service = here:serve { policies = { [policy] = replace(text, old, new) }, POLICY_EXAMPLES = "optional" }
    stage.await_ready(service)
    return service
  end

  local function scale(service, who, name, replicas)
    return here:request(who, { port = service.port, method = "POST", path = "/raycluster/scale",
      body = { cluster_name = name, replicas = replicas } })
  end

  it("another plan, another size", function()
    local service = serve("scaling.lua", "max_replicas = n + 1", "max_replicas = n * 10")
    local name = here:cluster(nil, service)
    assert.equal(200, scale(service, stage.uma, name, 3).status)
    assert.equal(30, here:object(name).spec.autoscaling.maxReplicas)
  end)

  it("a plan may refuse, in its own words", function()
    local service = serve("scaling.lua", "local n = wish.replicas", [[local n = wish.replicas
  if n > 4 then return nil, "no more than four before noon" end]])
    local name = here:cluster(nil, service)
    local response = scale(service, stage.uma, name, 5)
    assert.same({ 403, "refused_by_policy" }, { response.status, response.error })
    assert.is_truthy(response.json.detail:find("no more than four before noon", 1, true))
    assert.equal(200, scale(service, stage.uma, name, 4).status)
  end)

  it("another verdict, another list", function()
    local service = serve("authorization.lua", "  if not cluster then", [[
  if action ~= "scale" and cluster and cluster.owner == "]] .. stage.urs.id .. [[" then return true end
  if not cluster then]])
    local list = here:request(stage.uma, { port = service.port, path = "/raycluster/list" }).body
    assert.is_truthy(list:find(stage.clusters.urss, 1, true))
    assert.is_truthy(list:find(stage.clusters.umas, 1, true))
    assert.is_nil(list:find(stage.clusters.nobodys, 1, true))
    local urss = "/raycluster/" .. stage.clusters.urss
    assert.equal(200, here:request(stage.uma, { port = service.port, path = urss }).status)
    assert.equal(403, here:get(stage.uma, urss).status)
    assert.equal(403, scale(service, stage.uma, stage.clusters.urss, 1).status)
  end)

  describe("one that fails", function()
    local service

    setup(function()
      service = serve("scaling.lua", "local n = wish.replicas", [=[local n = wish.replicas
  if n == 11 then error("secret-of-the-house " .. caller.id, 2) end
  if n == 12 then while true do end end
  if n == 13 then local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end end
  if n == 14 then return "secret-of-the-house" end
  if n == 15 then return { replicas = 5, min_replicas = 0, max_replicas = 5 } end
  if n == 16 then return { replicas = 5.5, min_replicas = 5, max_replicas = 6 } end
  if n == 17 then return nil end
  if n == 18 then return (nil).secret_of_the_house end
  if n == 19 then return pcall(function() while true do end end) end
  if n == 20 then local function deep() return 1 + deep() end return deep() end
  if n == 21 then cluster.name = "other" end
  if n == 22 then _ENV["leak" .. "ed"] = caller end
  if n == 23 then return require("http").get("http://127.0.0.1:1/") end
  if n == 24 then return _ENV["i" .. "o"].open("/etc/passwd") end]=])
    end)

    for replicas = 11, 24 do
      it(("answers 500 and tells nothing, case %d"):format(replicas), function()
        local name = here:cluster(nil, service)
        local before = here:bytes(name)
        local response = scale(service, stage.uma, name, replicas)
        assert.same({ 500, "policy_error" }, { response.status, response.error }, response.body)
        for _, secret in ipairs { "secret", "scaling", "policies", "lua", "traceback", stage.uma.id, "passwd" } do
          assert.is_nil(response.body:find(secret, 1, true), response.body)
        end
        assert.equal(before, here:bytes(name))
        assert.equal(200, scale(service, stage.uma, name, 2).status)
        program.eventually(function() return service:stdout():find(response.json.requestId, 1, true) end)
      end)
    end

    it("is counted when a limit ends it, and when it comes near", function()
      local metrics = exposition.read(client.request(service.admin_port, { path = "/metrics" }).body)
      local function hits(limit)
        return exposition.sum(metrics, "rayclusterscaler_limit_hits_total", { limit = limit })
      end
      assert.equal(4, hits "cpu" + hits "memory") -- cases 12, 13, 19, 20; what fills memory slowly runs out of time
      assert.is_true(hits "cpu" >= 2 and hits "cpu_soft" >= 2)
    end)

    it("is explained in the log", function()
      program.eventually(function()
        local written = service:stdout()
        return written:find("policies/scaling.lua:", 1, true) and written:find("secret-of-the-house", 1, true)
      end)
    end)
  end)

  it("a verdict that is neither yes nor no is a no", function()
    for _, verdict in ipairs { "nil", '"yes"', "1", "{}", 'error "x"' } do
      local service = serve("authorization.lua", "  if not caller then", ("  if cluster and cluster.name == %q then "
        .. "return %s end\n  if not caller then"):format(stage.clusters.umas, verdict))
      local response = here:request(stage.admin, { port = service.port, path = "/raycluster/" .. stage.clusters.umas })
      assert.same({ 500, "policy_error" }, { response.status, response.error })
      assert.equal(200, here:request(stage.admin, { port = service.port, path = "/raycluster/" .. stage.clusters.urss })
        .status)
      assert.equal(500, here:request(stage.admin, { port = service.port, path = "/raycluster/list" }).status)
      service:stop()
    end
  end)
end)
