local proof = require "host.proof"

describe("host/proof", function()
  describe("of policies", function()
    local function prove(value, options)
      return proof.policies({ { module = "policies.rule", value = value } }, options)
    end

    --- The failures of one example.
    local function example(decide, given, expect, options)
      return prove({ decide = decide, examples = { { name = "it", given = given, expect = expect } } }, options)
    end

    local function echo(...)
      return ...
    end

    it("passes a rule that does what its examples say", function()
      assert.same({}, example(echo, { 1, "a" }, { 1, "a" }))
      assert.same({}, example(echo, { { a = { b = { 1, 2 } } } }, { { a = { b = { 1, 2 } } } }))
      assert.same({}, example(echo, { nil, "not_scalable" }, { nil, "not_scalable" }))
      assert.same({}, example(echo, { true, nil }, { true }), "nil at the end says nothing")
      assert.same({}, example(echo, { 5 }, { 5.0 }))
      assert.same({}, proof.policies {})
    end)

    it("says module, example, what was expected and what came", function()
      assert.same({ 'policies.rule: example "it" expected { max = 2, min = 1 }, got { max = 3, min = 1 }' },
        example(echo, { { min = 1, max = 3 } }, { { min = 1, max = 2 } }))
      assert.same({ 'policies.rule: example "it" expected false, "not_owner", got true' },
        example(echo, { true }, { false, "not_owner" }))
      assert.same({ 'policies.rule: example "it" expected nil, "why", got nothing' }, example(echo, {}, { nil, "why" }))
      assert.same({ 'policies.rule: example "it" expected { 1, 2, ["a b"] = "x\\n\\"", [4] = 3 }, got { 1 }' },
        example(echo, { { 1 } }, { { 1, 2, [4] = 3, ["a b"] = 'x\n"' } }))
    end)

    it("compares deeply and exactly", function()
      for _, pair in ipairs {
        { { 1 }, { "1" } }, { { false }, { 0 } }, { { { a = 1 } }, { {} } }, { { {} }, { { a = 1 } } },
        { { true, "extra" }, { true } }, { { { { 1 } } }, { { { 2 } } } }, { { {} }, { "x" } },
      } do
        assert.equal(1, #example(echo, pair[1], pair[2]))
      end
    end)

    it("is not caught by tables that hold themselves", function()
      local ring = {}
      ring.ring = ring
      assert.equal(1, #example(echo, { ring }, { {} }))
      local other = {}
      other.ring = other
      assert.equal(1, #example(function()
        return other
      end, { 1 }, { ring }))
    end)

    it("catches a rule that raises", function()
      local failures = example(function(x)
        return x.y.z
      end, { {} }, { true })
      assert.equal(1, #failures)
      assert.truthy(failures[1]:find('^policies.rule: example "it" raised .*proof_spec.lua:%d+: attempt to index'))
      assert.same({ 'policies.rule: example "it" raised { code = 7 }' }, example(function()
        error { code = 7 }
      end, { 1 }, { true }))
      assert.same({ 'policies.rule: example "it" raised nil' }, example(function()
        error(nil)
      end, { 1 }, { true }))
    end)

    it("catches a rule that changes what it is given: in service that fails", function()
      assert.same({ 'policies.rule: example "it" changed what it was given, which a rule may only read' },
        example(function(cluster)
          cluster.labels.owner = "me"
          return true
        end, { { labels = {} } }, { true }))
    end)

    it("says file and line when it has the text", function()
      local source = 'return {\n  decide = echo,\n  examples = {\n    { name = "it", given = { 1 }, expect = { 2 } },\n'
      local function prove_text(value)
        return proof.policies { { module = "policies.rule", value = value, path = "policies/rule.lua",
          source = source } }
      end
      assert.same({ 'policies/rule.lua:4: example "it" expected 2, got 1' },
        prove_text { decide = echo, examples = { { name = "it", given = { 1 }, expect = { 2 } } } })
      assert.same({ "policies/rule.lua:3: example 1 has no name" }, prove_text { decide = echo, examples = { {} } })
      assert.same({ "policies/rule.lua:1: has no function `decide`" }, prove_text {})
    end)

    it("reports every example that fails, and goes on", function()
      local failures = proof.policies {
        { module = "policies.a", value = { decide = echo, examples = {
          { name = "one", given = { 1 }, expect = { 2 } },
          { name = "two", given = { 1 }, expect = { 1 } },
          { name = "three", given = { 1 }, expect = { 3 } },
        } } },
        { module = "policies.b", value = false },
      }
      assert.same({ 'policies.a: example "one" expected 2, got 1', 'policies.a: example "three" expected 3, got 1',
                    "policies.b: returns no table but false" }, failures)
    end)

    it("wants a rule in its shape", function()
      local function decide()
        return true
      end
      local one = { name = "it", given = {}, expect = { true } }
      local cases = {
        [{ true }] = "returns no table but true",
        [{ decide }] = "returns no table but function",
        [{ {} }] = "has no function `decide`",
        [{ { decide = "x", examples = { one } } }] = "has no function `decide`",
        [{ { decide = decide } }] = "has no list `examples`",
        [{ { decide = decide, examples = {} } }] = "has no examples",
        [{ { decide = decide, examples = { it = one } } }] = "`examples` is not a list",
        [{ { decide = decide, examples = { one, nil, one } } }] = "example 2 has no name",
        [{ { decide = decide, examples = { { given = {}, expect = { true } } } } }] = "example 1 has no name",
        [{ { decide = decide, examples = { 7 } } }] = "example 1 has no name",
        [{ { decide = decide, examples = { { name = "it", expect = { true } } } } }] = 'example "it" has no `given`',
        [{ { decide = decide, examples = { { name = "it", given = {} } } } }] = 'example "it" has no `expect`',
        [{ { decide = decide, examples = { { name = "it", given = {}, expect = {} } } } }] = "`expect` is empty",
        [{ { decide = decide, examples = { { name = "it", given = { a = 1 }, expect = { true } } } } }] = "not a list",
      }
      for value, expected in pairs(cases) do
        local failures = prove(value[1])
        assert.equal(1, #failures)
        assert.truthy(failures[1]:find(expected, 1, true), failures[1])
      end
    end)

    it("lets a rule go without examples only when told so", function()
      local value = { decide = echo }
      assert.same({}, prove(value, { examples_optional = true }))
      value.examples = {}
      assert.same({}, prove(value, { examples_optional = true }))
      value.examples = { { name = "it", given = { 1 }, expect = { 2 } } }
      assert.equal(1, #prove(value, { examples_optional = true }))
    end)

    it("refuses an example that expects what would fail in service", function()
      local options = { contracts = require("scripts.rules").contracts }
      local function prove_verdict(...)
        local expect = { ... }
        return proof.policies({ { module = "policies.authorization", value = {
          decide = function()
            return table.unpack(expect)
          end,
          examples = { { name = "it", given = {}, expect = expect } },
        } } }, options)
      end
      assert.same({}, prove_verdict(true))
      assert.same({}, prove_verdict(false, "not_owner"))
      assert.same({ 'policies.authorization: example "it" expects what the service cannot use: '
        .. "the verdict is neither true nor false but yes" }, prove_verdict "yes")
    end)
  end)

  describe("of routes", function()
    local function run() end

    local function prove_value(value, policies)
      return proof.routes({ module = "scripts.routes", value = value }, policies)
    end

    --- The failures, without the module's name.
    local function prove(...)
      local failures = prove_value { ... }
      for i, failure in ipairs(failures) do
        failures[i] = assert(failure:match "^scripts%.routes: (.*)$")
      end
      return failures
    end

    local function row(method, path, more)
      local made = { method, path, action = "get", run = run }
      for key, value in pairs(more or {}) do
        made[key] = value
      end
      return made
    end

    it("passes a table of routes", function()
      assert.same({}, prove(row("GET", "/a/list"), row("GET", "/a/{name}", { cluster = "path.name" }),
        row("POST", "/a/{name}", { cluster = "body.cluster_name", body = run }),
        row("GET", "/a", { cluster = "each" })))
    end)

    it("finds duplicates and what is never reached", function()
      assert.same({ "GET /a/b: stands here twice" }, prove(row("GET", "/a/b"), row("POST", "/a/b"), row("GET", "/a/b")))
      assert.same({ "GET /a/{id}: is never reached: /a/{name} takes its requests" },
        prove(row("GET", "/a/{name}"), row("GET", "/a/{id}")))
      for _, path in ipairs { "/a//b", "/a/", "/" } do
        assert.same({ "GET " .. path .. ": the path has an empty segment, which no request matches" },
          prove(row("GET", path)))
      end
      assert.same({ 'GET a/b: the path does not begin with "/"' }, prove(row("GET", "a/b")))
    end)

    it("finds what nothing guards", function()
      local bare = row("GET", "/a")
      bare.action = nil
      assert.same({ "GET /a: names no action, so no rule guards it" }, prove(bare))
      assert.equal(1, #prove(row("GET", "/a", { action = "" })))
      assert.equal(1, #prove(row("GET", "/a", { action = true })))
      assert.same({ 'GET /a/{name}: unknown key "clutser"' }, prove(row("GET", "/a/{name}", { clutser = "path.name" })))
    end)

    it("finds an action that the rules do not know, when they say which they know", function()
      local rows = { row("GET", "/a", { action = "gte" }) }
      local function authorization(actions)
        return { { module = "policies.authorization", value = { actions = actions } } }
      end
      assert.same({}, prove_value(rows, authorization(nil)))
      assert.same({}, prove_value(rows, authorization { gte = true }))
      assert.same({ 'scripts.routes: GET /a: policies.authorization knows no action "gte"' },
        prove_value(rows, authorization { get = true }))
    end)

    it("finds what the host answers itself", function()
      assert.same({ "GET /readyz: is never reached: the host answers this path itself" }, prove(row("GET", "/readyz")))
    end)

    it("says file and line when it has the text", function()
      local source = [[
return {
  { "GET", "/a", action = "get", run = run },
  { "PUT", "/a", action = "get", run = run },
  { "GET", "/a", action = "get", run = run },
}]]
      local value = { row("GET", "/a"), row("PUT", "/a"), row("GET", "/a") }
      assert.same({ "scripts/routes.lua:4: GET /a: stands here twice" },
        proof.routes { module = "scripts.routes", value = value, path = "scripts/routes.lua", source = source })
    end)

    it("finds a cluster that no request names", function()
      assert.same({ "GET /a/{name}: takes its cluster from {id}, which the path does not have" },
        prove(row("GET", "/a/{name}", { cluster = "path.id" })))
      assert.same({ "POST /a: takes its cluster from a body that it does not read" },
        prove(row("POST", "/a", { cluster = "body.cluster_name" })))
      for _, source in ipairs { "name", "query.name", true, "path" } do
        assert.equal(1, #prove(row("GET", "/a/{name}", { cluster = source })))
      end
    end)

    it("finds what is no route", function()
      assert.same({ "GET /a: `run` is not a function" }, prove(row("GET", "/a", { run = "scripts.get" })))
      assert.same({ "POST /a: `body` is not a function" }, prove(row("POST", "/a", { body = true })))
      assert.same({ "BREW /a: unknown method" }, prove(row("BREW", "/a")))
      assert.same({ "HEAD /a: HEAD goes where GET goes, without a route of its own" }, prove(row("HEAD", "/a")))
      assert.same({ "GET /a/x{name}: a parameter is a whole segment, {name}" }, prove(row("GET", "/a/x{name}")))
      assert.same({ "GET /{a}/{a}: {a} stands twice in the path" }, prove(row("GET", "/{a}/{a}")))
      assert.same({ "route 1 is not { method, path, action = ..., run = ... }" }, prove "GET /a")
      assert.same({ "scripts.routes: the route table is no table" }, prove_value(nil))
      assert.same({ "scripts.routes: the route table is empty" }, prove_value {})
      assert.same({ "scripts.routes: the route table is not a list" }, prove_value { a = row("GET", "/a") })
      assert.equal(1, #prove_value { row("GET", "/a"), nil, row("GET", "/b") })
    end)
  end)
end)
