local chart = require "chart"
local cjson = require "cjson"
local config = require "native.config"

local everything = "spec/helm/values/everything.yaml"

local function service_container(objects)
  local _, first = chart.service(objects)
  return first
end

describe("the chart's pods", function()
  it("passes restricted Pod Security", function()
    local volume_kinds = { configMap = true, emptyDir = true, projected = true }
    for _, values in ipairs(chart.values_files) do
      for _, pod in ipairs(chart.pods(chart.render({ values = values }))) do
        for _, name in ipairs({ "hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers" }) do
          assert.is_nil(pod.spec[name], pod.name .. " " .. name)
        end
        assert.same({ runAsNonRoot = true, runAsUser = 1000, runAsGroup = 1000,
          seccompProfile = { type = "RuntimeDefault" } }, pod.spec.securityContext)
        for _, container in ipairs(pod.spec.containers) do
          assert.same({ allowPrivilegeEscalation = false, readOnlyRootFilesystem = true,
            capabilities = { drop = { "ALL" } } }, container.securityContext)
          for _, port in ipairs(container.ports or {}) do assert.is_nil(port.hostPort) end
        end
        for _, volume in ipairs(pod.spec.volumes) do
          for kind in pairs(volume) do
            assert(kind == "name" or volume_kinds[kind], pod.name .. " mounts a " .. kind)
          end
        end
      end
    end
  end)

  it("runs as Domino's field services do", function()
    local objects = chart.render()
    local deployment = chart.only(objects, "Deployment")
    assert.equal(2, deployment.spec.replicas)
    assert.same({ app = "rayclusterscaler", ["nucleus-client"] = "true" }, deployment.spec.template.metadata.labels)
    assert.same({ ["dominodatalab.com/node-pool"] = "platform" }, deployment.spec.template.spec.nodeSelector)
    local service = objects["Service rayclusterscaler-svc"]
    assert.same({ { name = "http", port = 80, targetPort = 6000 } }, service.spec.ports)
  end)

  it("is probed on the admin port", function()
    local container = service_container(chart.render())
    assert.same({ { name = "http", containerPort = 6000 }, { name = "admin", containerPort = 6001 } }, container.ports)
    assert.same({ path = "/healthz", port = "admin" }, container.livenessProbe.httpGet)
    assert.same({ path = "/readyz", port = "admin" }, container.readinessProbe.httpGet)
    assert.is_nil(container.startupProbe)
    local values = chart.environment(container)
    assert.same({ "0.0.0.0:6000", "0.0.0.0:6001" }, { values.LISTEN, values.ADMIN_LISTEN })
  end)

  it("rolls over and drains nodes without a gap", function()
    local objects = chart.render()
    local strategy = chart.only(objects, "Deployment").spec.strategy
    assert.same({ rollingUpdate = { maxUnavailable = 0, maxSurge = 1 } }, strategy)
    local budget = chart.only(objects, "PodDisruptionBudget").spec
    assert.same({ 1, "AlwaysAllow" }, { budget.maxUnavailable, budget.unhealthyPodEvictionPolicy })
    for _, values in ipairs(chart.values_files) do
      local deployment = chart.only(chart.render({ values = values }), "Deployment")
      local set = chart.environment(deployment.spec.template.spec.containers[1])
      local needed = tonumber(set.DRAIN_SECONDS) + tonumber(set.REQUEST_TIMEOUT_SECONDS)
      assert.is_true(deployment.spec.template.spec.terminationGracePeriodSeconds > needed)
    end
  end)

  it("sets only settings that the program knows, to values that it takes", function()
    local known = {}
    for _, setting in ipairs(config.settings()) do known[setting.name] = true end
    for _, values in ipairs(chart.values_files) do
      local objects = chart.render({ values = values })
      local set = chart.environment(service_container(objects))
      for name in pairs(set) do assert(known[name], name .. " is no setting") end
      local fields, message = config.read(set)
      assert(fields, message)
      fields = cjson.decode(fields)
      for name, value in pairs(set) do assert.equal(value, (tostring(fields[name]):gsub("%.0$", ""))) end
      set.STATE_DIR = nil
      assert.same(set, chart.environment(chart.only(objects, "Pod").spec.containers[1]))
    end
  end)

  it("can set every setting of the program but those that a cluster has no use for", function()
    local outside = { KUBECONFIG = true, SIMULATOR_DIR = true, DECISION_LOG = true } -- files; a pod logs to its output
    local schema = cjson.decode(chart.read(chart.directory .. "/values.schema.json"))
    local can = chart.environment(service_container(chart.render()))
    for name in pairs(schema.properties.settings.properties) do can[name] = true end
    for _, setting in ipairs(config.settings()) do
      assert(can[setting.name] or outside[setting.name],
        setting.name .. " is missing in " .. chart.directory .. "/values.schema.json (settings) and its README")
      can[setting.name] = nil
    end
    assert.same({}, can)
  end)

  it("takes the values of settings that the program takes", function()
    local schema = cjson.decode(chart.read(chart.directory .. "/values.schema.json"))
    for name, rule in pairs(schema.properties.settings.properties) do
      rule = rule["$ref"] and schema.definitions[rule["$ref"]:match("[^/]+$")] or rule
      local step = rule.type == "integer" and 1 or rule.type == "number" and 0.01
      local taken = {}
      for _, value in ipairs(rule.enum or {}) do taken[value] = true end
      if step then
        taken[rule.minimum], taken[rule.maximum] = true, true
        taken[rule.minimum - step], taken[rule.maximum + step] = false, false
      end
      for value, expected in pairs(taken) do
        value = type(value) == "number" and ("%.14g"):format(value) or value
        assert.equal(expected, config.read({ [name] = value }) ~= nil, name .. "=" .. value)
      end
    end
  end)

  it("tests what is mounted, and the Service", function()
    local pod = chart.only(chart.render({ values = everything }), "Pod")
    assert.equal("test", pod.metadata.annotations["helm.sh/hook"])
    assert.same({ "check" }, pod.spec.containers[1].args)
    assert.equal("scaler-web.field", chart.environment(pod.spec.containers[2]).HOST)
    local deployment = chart.only(chart.render({ values = everything }), "Deployment").spec.template.spec
    local lua = { scripts = true, policies = true }
    local function of_lua(list)
      local found = {}
      for _, entry in ipairs(list) do
        if lua[entry.name] then found[#found + 1] = entry end
      end
      return found
    end
    assert.same(of_lua(deployment.volumes), pod.spec.volumes)
    assert.same(of_lua(deployment.containers[1].volumeMounts), pod.spec.containers[1].volumeMounts)
    for _, container in ipairs(pod.spec.containers) do assert.equal(deployment.containers[1].image, container.image) end
  end)
end)
