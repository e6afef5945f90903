local router = require "scripts.router"

describe("scripts/router", function()
  local function run() end

  local function row(method, path, more)
    local made = { method, path, action = "get", run = run }
    for key, value in pairs(more or {}) do
      made[key] = value
    end
    return made
  end

  it("finds routes with their parameters, fixed segments first", function()
    local match = router.new {
      row("GET", "/a/{x}"), row("GET", "/a/list"), row("POST", "/a/{x}/b/{y}"), row("DELETE", "/a/list"),
    }
    local route, parameters = match("GET", "/a/list")
    assert.equal("/a/list", route.path)
    assert.same({}, parameters)
    route, parameters = match("HEAD", "/a/lists")
    assert.equal("/a/{x}", route.path)
    assert.same({ x = "lists" }, parameters)
    route, parameters = match("POST", "/a/1/b/2")
    assert.equal("/a/{x}/b/{y}", route.path)
    assert.same({ x = "1", y = "2" }, parameters)
    assert.same({ nil, "DELETE, GET, HEAD", n = 2 }, table.pack(match("POST", "/a/list")))
    for _, path in ipairs { "/a", "/a/", "/a/1/b", "/a/1/b/", "/b", "/", "" } do
      assert.is_nil((match("GET", path)))
      assert.is_nil((select(2, match("GET", path))))
    end
  end)

  it("does not load a route that nothing guards, or that names its cluster wrongly", function()
    local function refused(made)
      return assert.has_error(function()
        router.new { made }
      end)
    end
    local bare = row("GET", "/a")
    bare.action = nil
    refused(bare)
    refused(row("GET", "/a", { action = "" }))
    refused(row("GET", "/a", { run = "scripts.get" }))
    refused(row("GET", "/a", { cluster = "name" }))
    refused(row("GET", "/a", { cluster = "header.name" }))
    refused(row("POST", "/a", { cluster = "body.name" }))
  end)
end)

describe("scripts/routes", function()
  it("passes the proof", function()
    assert.same({}, require("host.proof").routes({ module = "scripts.routes",
      value = require "scripts.routes" }, { { module = "policies.authorization",
      value = require "policies.authorization" } }))
  end)

  it("has every endpoint under both spellings", function()
    local seen = {}
    for _, made in ipairs(require "scripts.routes") do
      local prefix, rest = made[2]:match("^(/%w+)(/.*)$")
      local key = ("%s %s %s %s"):format(made[1], rest, made.action, made.cluster)
      seen[key] = (seen[key] or "") .. prefix
    end
    assert.same({
      ["GET /list list each"] = "/raycluster/rayclusterscaler",
      ["GET /{name} get path.name"] = "/raycluster/rayclusterscaler",
      ["POST /scale scale body.cluster_name"] = "/raycluster/rayclusterscaler",
    }, seen)
  end)
end)
