local chart = require "chart"

local everything = "spec/helm/values/everything.yaml"

describe("access to and by the service", function()
  it("may do what is used, where it is used, and nothing else", function()
    for _, values in ipairs({ "", everything }) do
      local objects = chart.render({ values = values })
      local role, binding = chart.only(objects, "Role"), chart.only(objects, "RoleBinding")
      local account = chart.only(objects, "ServiceAccount")
      assert.same({ { apiGroups = { "distributed-compute.dominodatalab.com" }, resources = { "rayclusters" },
        verbs = { "get", "list", "watch", "patch" } } }, role.rules)
      assert.equal(role.metadata.namespace, binding.metadata.namespace)
      assert.same({ apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = role.metadata.name }, binding.roleRef)
      assert.same({ { kind = "ServiceAccount", name = account.metadata.name, namespace = account.metadata.namespace } },
        binding.subjects)
      local pod = chart.only(objects, "Deployment").spec.template.spec
      assert.equal(account.metadata.name, pod.serviceAccountName)
      assert.is_true(pod.automountServiceAccountToken)
      assert.is_false(account.automountServiceAccountToken)
      assert.is_false(chart.only(objects, "Pod").spec.automountServiceAccountToken)
    end
  end)

  it("selects the service's pods, never the test's", function()
    for _, values in ipairs(chart.values_files) do
      local objects = chart.render({ values = values })
      local selectors = {}
      for _, object in ipairs(objects) do
        local spec = object.spec or {}
        if object.kind == "Service" then
          selectors[object.metadata.name] = spec.selector
        elseif object.kind ~= "ServiceMonitor" and (spec.selector or spec.podSelector) then
          selectors[object.kind] = (spec.selector or spec.podSelector).matchLabels
        end
      end
      for _, constraint in ipairs(chart.only(objects, "Deployment").spec.template.spec.topologySpreadConstraints) do
        selectors[constraint.topologyKey] = constraint.labelSelector.matchLabels
      end
      for name, selector in pairs(selectors) do
        for _, pod in ipairs(chart.pods(objects)) do
          local serves = pod.name:match("^Deployment") ~= nil
          assert.equal(serves, chart.selects(selector, pod.labels), name .. " selects " .. pod.name)
        end
      end
    end
  end)

  it("lets in callers of compute namespaces, and monitoring to the admin port", function()
    local policy = chart.only(chart.render(), "NetworkPolicy").spec
    assert.same({ "Ingress" }, policy.policyTypes)
    assert.equal(2, #policy.ingress)
    assert.same({ { protocol = "TCP", port = 6000 } }, policy.ingress[1].ports)
    assert.same({ namespaceSelector = { matchLabels = { ["domino-compute"] = "true" } } }, policy.ingress[1].from[1])
    assert.equal(2, #policy.ingress[1].from)
    local test = chart.only(chart.render(), "Pod").metadata.labels
    assert.is_true(chart.selects(policy.ingress[1].from[2].podSelector.matchLabels, test))
    assert.same({ { protocol = "TCP", port = 6001 } }, policy.ingress[2].ports)
    assert.same({ { namespaceSelector = { matchLabels = { ["domino-platform"] = "true" } } } }, policy.ingress[2].from)
  end)

  it("closes the admin port when nobody is named, instead of opening it to all", function()
    local policy = chart.only(chart.render({ arguments = "--set-json networkPolicy.adminFrom=[]" }), "NetworkPolicy")
    assert.equal(1, #policy.spec.ingress)
    assert.same({ { protocol = "TCP", port = 6000 } }, policy.spec.ingress[1].ports)
  end)

  it("lets in more callers, or leaves the NetworkPolicy out", function()
    local policy = chart.only(chart.render({ values = everything }), "NetworkPolicy").spec
    assert.same({ ipBlock = { cidr = "10.0.0.0/8" } }, policy.ingress[1].from[4])
    assert.is_nil(chart.render({ arguments = "--set networkPolicy.enabled=false" })["NetworkPolicy rayclusterscaler"])
  end)

  it("turns mTLS off for its own pods with Istio", function()
    local peer = chart.only(chart.render({ arguments = "--set istio.enabled=true" }), "PeerAuthentication")
    assert.matches("^security%.istio%.io/", peer.apiVersion)
    assert.same({ selector = { matchLabels = { app = "rayclusterscaler" } }, mtls = { mode = "DISABLE" } }, peer.spec)
  end)

  it("is found by the Prometheus operator, through the admin port alone", function()
    local objects = chart.render({ values = everything })
    local monitor, admin = chart.only(objects, "ServiceMonitor"), objects["Service scaler-admin"]
    local selector = monitor.spec.selector.matchLabels
    assert.is_true(chart.selects(selector, admin.metadata.labels))
    assert.is_false(chart.selects(selector, objects["Service scaler-web"].metadata.labels))
    assert.same({ { port = "admin", interval = "15s" } }, monitor.spec.endpoints)
    assert.same({ { name = "admin", port = 6001, targetPort = 6001 } }, admin.spec.ports)
    assert.same({ "None", true }, { admin.spec.clusterIP, admin.spec.publishNotReadyAddresses })
    assert.equal("prometheus", monitor.metadata.labels.release)
    local rule = chart.only(objects, "PrometheusRule")
    assert.equal("prometheus", rule.metadata.labels.release)
    assert.same(chart.yaml(chart.read(chart.directory .. "/files/alerts.yaml"))[1], rule.spec)
  end)
end)
