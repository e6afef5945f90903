local chart = require "chart"

local rules_path = chart.directory .. "/files/alerts.yaml"

local function alerts()
  local list = {}
  for _, group in ipairs(chart.yaml(chart.read(rules_path))[1].groups) do
    for _, rule in ipairs(group.rules) do list[#list + 1] = rule end
  end
  return list
end

--- The names of metrics in the program's sources, which make each with its name in quotes.
local function metrics()
  local names = {}
  local sources = chart.run_well("cat host/*.c host/bind/*.c scripts/*.lua")
  for name in sources:gmatch('"(rayclusterscaler_[a-z_]+)"') do names[name] = true end
  for name in sources:gmatch('"(process_[a-z_]+)"') do names[name] = true end
  return names
end

describe("alert rules", function()
  it("are accepted by promtool", function()
    chart.run_well("build/tools/promtool check rules --lint-fatal " .. rules_path)
  end)

  it("pass promtool test rules", function()
    local ok, output, messages = chart.run("build/tools/promtool test rules spec/helm/alerts_test.yaml")
    assert(ok, output .. messages)
  end)

  it("are each tested where they fire and where they do not", function()
    local fires, quiet = {}, {}
    for _, test in ipairs(chart.yaml(chart.read("spec/helm/alerts_test.yaml"))[1].tests) do
      for _, expectation in ipairs(test.alert_rule_test) do
        local list = #expectation.exp_alerts > 0 and fires or quiet
        list[expectation.alertname] = true
      end
    end
    for _, rule in ipairs(alerts()) do
      assert(fires[rule.alert], rule.alert .. " is not tested to fire")
      assert(quiet[rule.alert], rule.alert .. " is not tested to keep quiet")
    end
  end)

  it("read metrics that the program has", function()
    local known = metrics()
    for _, rule in ipairs(alerts()) do
      for name in rule.expr:gmatch("[a-z]+_[a-z_]+") do
        local family = name:gsub("_bucket$", ""):gsub("_count$", "")
        local is_metric = family:match("^rayclusterscaler_") or family:match("^process_")
        assert(not is_metric or known[family], rule.alert .. " reads " .. family)
      end
    end
  end)

  it("are each explained in the operator's guide", function()
    local guide = chart.read(chart.directory .. "/README.md")
    for _, rule in ipairs(alerts()) do
      assert(guide:find("\n| `" .. rule.alert .. "` |", 1, true), rule.alert .. " is not in the guide")
      assert.is_truthy(rule.annotations.summary and rule.labels.severity)
    end
    for name in guide:gmatch("\n| `(RayClusterScaler%a+)` |") do
      local found
      for _, rule in ipairs(alerts()) do found = found or rule.alert == name end
      assert(found, name .. " is in the guide but no rule")
    end
  end)
end)
