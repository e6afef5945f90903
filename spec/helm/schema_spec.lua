local chart = require "chart"
local types = require "kubernetes_types"

--- Custom resources, whose types are not Kubernetes' own; chart_spec compares their whole spec.
local custom = {
  ["security.istio.io/v1beta1"] = "PeerAuthentication",
  ["monitoring.coreos.com/v1"] = "ServiceMonitor PrometheusRule",
}

describe("rendered objects", function()
  for _, values in ipairs(chart.values_files) do
    it("fit Kubernetes' types with " .. (values == "" and "the defaults" or values), function()
      for _, object in ipairs(chart.render({ values = values })) do
        if types.knows(object) then
          assert.same({}, types.problems(object))
        else
          assert((custom[object.apiVersion] or ""):find(object.kind), object.apiVersion .. " " .. object.kind)
        end
      end
    end)
  end

  it("would not fit with a typo, a wrong type or a gap", function()
    local function problems(change)
      local deployment = chart.only(chart.render(), "Deployment")
      change(deployment.spec.template.spec)
      return types.problems(deployment)
    end
    assert.same({}, problems(function() end))
    assert.same({ "Deployment.spec.template.spec.containers[1].redinessProbe is unknown" },
      problems(function(pod) pod.containers[1].redinessProbe = {} end))
    assert.same({ "Deployment.spec.template.spec.containers[1].ports[1].containerPort is missing" },
      problems(function(pod) pod.containers[1].ports[1].containerPort = nil end))
    assert.same({ "Deployment.spec.template.spec.containers[1].env[1].value must be string, not 5" },
      problems(function(pod) pod.containers[1].env[1].value = 5 end))
    assert.same({ "Deployment.spec.template.spec.nodeSelector.a must be string, not true" },
      problems(function(pod) pod.nodeSelector.a = true end))
    assert.same({ "Deployment.spec.template.spec.containers[1].resources.limits.memory must be Quantity, not much" },
      problems(function(pod) pod.containers[1].resources.limits.memory = "much" end))
  end)

  -- kubectl without a server: it decodes into Kubernetes' Go types, leaves out what they lack, and prints the rest.
  it("come back whole from kubectl's own types", function()
    local path = os.tmpname()
    local function without_empty(value)
      if type(value) ~= "table" then return value end
      local copy = {}
      for key, item in pairs(value) do
        item = without_empty(item)
        if type(item) ~= "table" or next(item) ~= nil then copy[key] = item end
      end
      return copy
    end
    local function through_kubectl(text)
      chart.write(path, text)
      return without_empty(chart.yaml(chart.run_well(
        "KUBECONFIG=/dev/null build/tools/kubectl set env --local -o yaml ADDED=by-kubectl -f " .. path))[1])
    end
    for _, values in ipairs(chart.values_files) do
      for _, template in ipairs({ "deployment", "tests/pod" }) do
        local only = ("-s templates/%s.yaml"):format(template)
        local ok, text, messages = chart.template({ values = values, arguments = only })
        assert(ok, messages)
        local expected = without_empty(chart.yaml(text)[1])
        for _, container in ipairs((expected.spec.template or expected).spec.containers) do
          table.insert(container.env, { name = "ADDED", value = "by-kubectl" })
          for _, quantities in pairs(container.resources or {}) do
            for name, quantity in pairs(quantities) do
              quantities[name] = quantity == 2.5 and "2500m" or tostring(quantity) -- as Go writes them
            end
          end
        end
        assert.same(expected, through_kubectl(text))
        local misspelt = through_kubectl((text:gsub("readOnlyRootFilesystem", "readonlyRootFilesytem")))
        assert.not_same(expected, misspelt)
      end
    end
    os.remove(path)
  end)
end)
