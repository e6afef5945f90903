local chart = require "chart"

local everything = "spec/helm/values/everything.yaml"

local function identities(objects)
  local list = {}
  for _, object in ipairs(objects) do
    list[#list + 1] = ("%s %s %s"):format(object.metadata.namespace, object.kind, object.metadata.name)
  end
  table.sort(list)
  return list
end

local function service_container(objects)
  local _, first = chart.service(objects)
  return first
end

describe("helm/rayclusterscaler", function()
  it("passes helm lint with every values file", function()
    for _, values in ipairs(chart.values_files) do
      local argument = values == "" and "" or "-f " .. values
      chart.run_well(("build/tools/helm lint --strict %s %s"):format(chart.directory, argument))
    end
  end)

  it("installs with the command that is known", function()
    local text = chart.run_well("build/tools/helm install --dry-run=client -f ./values.yaml rayclusterscaler " ..
      "helm/rayclusterscaler -n domino-field")
    assert.matches("STATUS: pending%-install", text)
    assert.matches("http://rayclusterscaler%-svc%.domino%-field/", text)
    local _, commands = text:match("NOTES:.*"):gsub("\n   %S", "")
    assert.equal(3, commands)
  end)

  it("renders one object a template, and these by default", function()
    assert.same({
      "domino-compute Role rayclusterscaler",
      "domino-compute RoleBinding rayclusterscaler",
      "domino-field ConfigMap rayclusterscaler-policies",
      "domino-field ConfigMap rayclusterscaler-scripts",
      "domino-field Deployment rayclusterscaler",
      "domino-field NetworkPolicy rayclusterscaler",
      "domino-field Pod rayclusterscaler-test",
      "domino-field PodDisruptionBudget rayclusterscaler",
      "domino-field Service rayclusterscaler-svc",
      "domino-field ServiceAccount rayclusterscaler",
    }, identities(chart.render()))
    for _, values in ipairs(chart.values_files) do
      local _, text = assert(chart.template({ values = values }))
      local sources = {}
      for source in text:gmatch("\n?# Source: ([^\n]+)") do
        assert.is_nil(sources[source], source)
        sources[source] = true
      end
    end
  end)

  it("renders the same for a values file of today as by default", function()
    assert.same(identities(chart.render()), identities(chart.render({ values = "spec/helm/values/today.yaml" })))
    local container = service_container(chart.render({ values = "spec/helm/values/today.yaml" }))
    assert.equal("quay.io/domino/rayclusterscaler:v1.0.0-release", container.image)
    assert.equal("Always", container.imagePullPolicy)
  end)

  it("puts the names of the values file everywhere", function()
    assert.same({
      "compute Role scaler",
      "compute RoleBinding scaler",
      "field ConfigMap scaler-policies",
      "field Deployment scaler",
      "field NetworkPolicy scaler",
      "field PeerAuthentication scaler",
      "field Pod scaler-test",
      "field PodDisruptionBudget scaler",
      "field PrometheusRule scaler",
      "field Service scaler-admin",
      "field Service scaler-web",
      "field ServiceAccount scaler",
      "field ServiceMonitor scaler",
    }, identities(chart.render({ values = everything })))
    local container = service_container(chart.render({ values = everything }))
    assert.equal("registry.example.com:5000/mirror/scaler:v2.3.4-rc.1", container.image)
    assert.equal("compute", chart.environment(container).COMPUTE_NAMESPACE)
  end)

  it("has short top-level values: the keys of today, with the chart's defaults", function()
    local short = chart.yaml(chart.read("values.yaml"))[1]
    local today = chart.yaml(chart.read("spec/helm/values/today.yaml"))[1]
    local defaults = chart.yaml(chart.read(chart.directory .. "/values.yaml"))[1]
    local function keys(values, prefix, list)
      for key, value in pairs(values) do
        if type(value) == "table" then keys(value, prefix .. key .. ".", list) else list[#list + 1] = prefix .. key end
      end
      table.sort(list)
      return list
    end
    assert.same(keys(today, "", {}), keys(short, "", {}))
    assert.equal(chart.yaml(chart.read(chart.directory .. "/Chart.yaml"))[1].appVersion, short.image.appVersion)
    short.image.appVersion, short.image.pullSecrets = defaults.image.appVersion, defaults.image.pullSecrets
    assert.same({ defaults.image, defaults.env, defaults.istio }, { short.image, short.env, short.istio })
  end)

  it("is of the program's version", function()
    local metadata = chart.yaml(chart.read(chart.directory .. "/Chart.yaml"))[1]
    local version = chart.read("CMakeLists.txt"):match("project%(rayclusterscaler VERSION (%S+)")
    assert.same({ version, version }, { metadata.version, metadata.appVersion })
  end)

  it("takes over a Deployment of before: its selector cannot change", function()
    assert.same({ matchLabels = { app = "rayclusterscaler" } }, chart.only(chart.render(), "Deployment").spec.selector)
  end)
end)
