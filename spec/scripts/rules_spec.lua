local authorization = require "policies.authorization"
local clock = require "clock"
local clusters = require "scripts.clusters"
local decisions = require "decisions"
local json = require "json"
local kube = require "kube"
local read_only = require "scripts.read_only"
local rules = require "scripts.rules"
local scaling = require "policies.scaling"

local NOW = { hour = 21, minute = 5, weekday = 7, utc = "2026-11-22T21:05:21Z" }
local jane = { id = "u1", name = "jane", admin = false }
local ada = { id = "a1", admin = true }

local function cluster(name, owner)
  return clusters.view(kube.put(name, { owner = owner, resource_version = "7" }))
end

--- A cluster as the decision log holds it.
local function logged(name, owner)
  return {
    name = name, owner = owner, replicas = 2, resource_version = "7",
    labels = { kind = "test", ["dominodatalab.com/starting-user-id"] = owner },
    autoscaling = { min_replicas = 2, max_replicas = 3 },
  }
end

--- Runs body with another decide.
local function with(policy, decide, body)
  local before = policy.decide
  policy.decide = decide
  local ok, message = pcall(body)
  policy.decide = before
  assert(ok, message)
end

describe("scripts/rules", function()
  local verdict, plan = rules.contracts["policies.authorization"], rules.contracts["policies.scaling"]

  it("holds a verdict to true or false, and text for a reason", function()
    assert.is_nil(verdict(true))
    assert.is_nil(verdict(true, "admin"))
    assert.is_nil(verdict(false))
    assert.is_nil(verdict(false, "not_owner"))
    for _, bad in ipairs { 1, 0, "true", "", {} } do
      assert.truthy(verdict(bad))
    end
    assert.truthy(verdict(nil))
    assert.truthy(verdict(nil, "reason"))
    assert.truthy(verdict(false, 7))
  end)

  it("holds a plan to what the operator and an int32 take", function()
    local function planned(replicas, min, max)
      return plan { replicas = replicas, min_replicas = min, max_replicas = max }
    end
    assert.is_nil(planned(5, 5, 6))
    assert.is_nil(planned(0, 1, 1))
    assert.is_nil(planned(5.0, 5.0, 6.0), "10 / 2 is 5.0")
    assert.is_nil(planned(2147483647, 2147483647, 2147483647))
    assert.equal("replicas is no integer but 2.5", planned(2.5, 1, 2))
    assert.equal("replicas is no integer but 5", planned("5", 1, 2))
    assert.equal("max_replicas is no integer but nil", planned(5, 1, nil))
    assert.equal("replicas is no integer but inf", planned(1 / 0, 1, 2))
    assert.equal("replicas is no int32 of at least 0: -1", planned(-1, 1, 2))
    assert.equal("max_replicas is no int32 of at least 0: 2147483648", planned(1, 1, 2147483648))
    assert.equal("min_replicas is below 1", planned(0, 0, 1))
    assert.equal("max_replicas is below min_replicas", planned(3, 3, 2))
  end)

  it("holds a refusal to a reason", function()
    assert.is_nil(plan(nil, "not_scalable"))
    assert.truthy(plan(nil))
    assert.truthy(plan(nil, ""))
    assert.truthy(plan(nil, 7))
    assert.truthy(plan(true))
    assert.truthy(plan "yes")
  end)

  describe("gives a rule", function()
    after_each(function()
      clock.now = nil
    end)

    it("the time as its last argument", function()
      local seen = {}
      clock.now = { hour = 3, minute = 7, weekday = 1, utc = "2026-11-23T03:07:00Z" }
      with(authorization, function(...)
        seen[1] = select(4, ...)
        return true
      end, function()
        rules.allows(jane, "get", cluster("ray-1", "u1"))
      end)
      with(scaling, function(...)
        seen[2] = select(4, ...)
        return nil, "no"
      end, function()
        rules.plan({ replicas = 3 }, cluster("ray-1", "u1"), jane)
      end)
      for i = 1, 2 do
        assert.same({ 3, 7, 1, "2026-11-23T03:07:00Z" }, { seen[i].hour, seen[i].minute, seen[i].weekday, seen[i].utc })
      end
    end)

    it("nothing that it can change", function()
      local caller = read_only(jane, "caller")
      local function assert_refused(policy, ask)
        for argument = 1, 4 do
          with(policy, function(...)
            local value = select(argument, ...)
            if type(value) == "table" then value.id = "u2" else error("may not change: text") end
          end, function()
            local ok, message = pcall(ask)
            assert.is_false(ok)
            assert.matches("may not change", message)
          end)
        end
      end
      assert_refused(authorization, function() rules.allows(caller, "get", cluster("ray-1", "u1")) end)
      assert_refused(scaling, function() rules.plan({ replicas = 3 }, cluster("ray-1", "u1"), caller) end)
      assert.equal("u1", jane.id)
    end)

    it("what it can enumerate", function()
      local found = {}
      for key, value in pairs(read_only(jane, "caller")) do found[key] = value end
      assert.same(jane, found)
    end)
  end)

  it("takes a plan's numbers once, however often they change", function()
    with(scaling, function()
      local reads = 0
      return setmetatable({}, { __index = function()
        reads = reads + 1
        return reads
      end })
    end, function()
      assert.same({ replicas = 1, min_replicas = 2, max_replicas = 3 },
        rules.plan({ replicas = 3 }, cluster("ray-1", "u1"), jane))
    end)
  end)

  describe("writes to the decision log", function()
    before_each(function()
      kube.reset()
      decisions.reset()
    end)

    it("a denial, with everything that the rule saw", function()
      assert.is_false(rules.allows(read_only(jane, "caller"), "get", cluster("ray-2", "u2")))
      assert.same({ {
        policy = "authorization", action = "get", caller = "u1", cluster = "ray-2", verdict = "deny",
        reason = "not_owner", given = { jane, "get", logged("ray-2", "u2"), NOW },
      } }, decisions.written)
    end)

    it("an allowed change", function()
      assert.is_true(rules.allows(ada, "scale", cluster("ray-2", "u2")))
      assert.equal("allow", decisions.written[1].verdict)
    end)

    it("of the allowed views those that are wanted", function()
      assert.is_true(rules.allows(ada, "get", cluster("ray-2", "u2")))
      assert.same({}, decisions.written)
      decisions.views = true
      assert.is_true(rules.allows(ada, "get", cluster("ray-2", "u2")))
      assert.same({ ada, "get", logged("ray-2", "u2"), NOW }, decisions.written[1].given)
    end)

    it("an action about no cluster, with null in its place", function()
      assert.is_false(rules.allows(jane, "scale", nil))
      assert.same({ jane, "scale", json.null, NOW }, decisions.written[1].given)
      assert.is_nil(decisions.written[1].cluster)
    end)

    it("a plan and a refusal, with the wish", function()
      rules.plan({ replicas = 5 }, cluster("ray-1", "u1"), jane)
      assert.same({
        policy = "scaling", action = "scale", caller = "u1", cluster = "ray-1", verdict = "plan",
        plan = { replicas = 5, min_replicas = 5, max_replicas = 6 },
        given = { { replicas = 5 }, logged("ray-1", "u1"), jane, NOW },
      }, decisions.written[1])
      rules.plan({ replicas = 5 }, clusters.view(kube.put("ray-9", { autoscaling = false })), jane)
      assert.same({ "refuse", "not_scalable" }, { decisions.written[2].verdict, decisions.written[2].reason })
    end)

    it("what a rule may not answer, before the request fails", function()
      with(authorization, function() return 1 end, function()
        assert.has_error(function() rules.allows(jane, "get", cluster("ray-1", "u1")) end)
      end)
      with(scaling, function() return { replicas = -1 } end, function()
        assert.has_error(function() rules.plan({ replicas = 5 }, cluster("ray-1", "u1"), jane) end)
      end)
      for i = 1, 2 do
        assert.equal("error", decisions.written[i].verdict)
        assert.is_string(decisions.written[i].reason)
        assert.is_nil(decisions.written[i].plan)
      end
    end)

    describe("of a list", function()
      local function list(count)
        kube.reset()
        for i = 1, count do
          kube.put(("ray-%03d"):format(i), { owner = i % 5 == 0 and "u1" or i % 2 == 0 and "u2" or nil })
        end
        return rules.visible(jane, "list", clusters)
      end

      --- How often a rule is asked about a list of 100 clusters of two owners and of nobody, and how many it allows.
      local function asked(rule)
        local times, allowed = 0
        with(authorization, function(...)
          times = times + 1
          return rule(...)
        end, function() allowed = #list(100) end)
        return { times, allowed }
      end

      it("asks a rule that reads nothing but the owner once an owner", function()
        assert.same({ 3, 20 }, asked(function(caller, _, seen) return seen.owner == caller.id end))
        assert.same({ 3, 100 }, asked(function() return true end))
      end)

      it("asks a rule that reads more about every cluster that it does so for", function()
        local function about(expected, allowed, rule)
          local given = asked(rule)
          assert.equal(allowed, given[2])
          -- and before that about one cluster of each owner, up to the first about which it reads more
          assert.is_true(given[1] > expected and given[1] <= expected + 3, given[1])
        end
        about(100, 1, function(_, _, seen) return seen.name == "ray-007" end)
        about(100, 100, function(_, _, seen) return seen.labels ~= nil end)
        about(100, 100, function(_, _, seen) return pairs(seen) ~= nil end)
        -- 20 of its own, one each of another's and of nobody's
        about(22, 20, function(caller, _, seen) return seen.owner == caller.id and seen.name ~= nil end)
      end)

      it("asks Kubernetes for what the caller may see, and for all only where that is everything", function()
        list(100)
        assert.equal(1, #kube.calls[#kube.calls].like)
        with(authorization, function() return true end, function() list(100) end)
        assert.is_nil(kube.calls[#kube.calls].like)
        with(authorization, function() return false end, function() assert.same({}, list(100)) end)
        assert.equal(0, kube.count "list")
      end)

      it("looks at every cluster when the host has no copy to find owners in", function()
        assert.equal(20, #list(100))
        kube.lagging = true
        assert.equal(20, #rules.visible(jane, "list", clusters))
        assert.is_nil(kube.calls[#kube.calls].like)
      end)

      it("hands on why Kubernetes did not answer", function()
        list(100)
        kube.fail("list", { code = "timeout" })
        local objects, failure = rules.visible(jane, "list", clusters)
        assert.is_nil(objects)
        assert.same({ code = "timeout" }, failure)
      end)

      it("nothing as a rule: what is not in it was denied to nobody", function()
        assert.equal(20, #list(100))
        assert.same({}, decisions.written)
      end)

      it("when it is wanted, a line that counts, after a decision of each owner", function()
        decisions.views = true
        assert.equal(20, #list(100))
        local written = decisions.written
        assert.equal(4, #written)
        assert.same({
          policy = "authorization", action = "list", caller = "u1", verdict = "list", clusters = 100, allowed = 20,
          reasons = { not_owner = 40, no_owner = 40 },
        }, written[4])
        local verdicts = {}
        for i = 1, 3 do verdicts[written[i].reason or written[i].verdict] = #written[i].given end
        assert.same({ allow = 4, not_owner = 4, no_owner = 4 }, verdicts)
      end)

      it("or after some of the decisions of a rule that is asked about each", function()
        decisions.views = true
        with(authorization, function(caller, _, seen)
          if seen.name and seen.owner == caller.id then return true end
          return false, seen.owner and "not_owner" or "no_owner"
        end, function() assert.equal(20, #list(100)) end)
        local written = decisions.written
        assert.equal(11, #written)
        assert.same({
          policy = "authorization", action = "list", caller = "u1", verdict = "list", clusters = 100, allowed = 20,
          reasons = { not_owner = 40, no_owner = 40 },
        }, written[11])
        for i = 1, 10 do
          assert.equal(("ray-%03d"):format(i * 10), written[i].cluster)
          assert.equal(4, #written[i].given)
        end
      end)

      it("every decision of a short one, and a line of an empty one", function()
        decisions.views = true
        list(5) -- of two owners and of nobody
        assert.equal(4, #decisions.written)
        decisions.written = {}
        list(0)
        assert.same({ 0, 0 }, { decisions.written[1].clusters, decisions.written[1].allowed })
      end)

      it("a bounded number of reasons", function()
        decisions.views = true
        with(authorization, function(_, _, seen) return false, seen.name end, function()
          list(100)
        end)
        local count, total = 0, 0
        for _, times in pairs(decisions.written[#decisions.written].reasons) do
          count, total = count + 1, total + times
        end
        assert.same({ 17, 100 }, { count, total })
      end)
    end)
  end)
end)
