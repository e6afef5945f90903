local chart = require "chart"

local everything = "spec/helm/values/everything.yaml"

local function service_container(objects)
  local _, first = chart.service(objects)
  return first
end

describe("ConfigMaps of the chart", function()
  local sources = { scripts = "rayclusterscaler-scripts", policies = "rayclusterscaler-policies" }

  it("hold the repository's own Lua, byte for byte, and nothing else", function()
    local objects = chart.render()
    for directory, name in pairs(sources) do
      local files = chart.files(directory, ".lua")
      assert.is_truthy(next(files))
      assert.same(files, objects["ConfigMap " .. name].data)
    end
  end)

  it("are mounted as directories, where the program is told to look", function()
    local container = service_container(chart.render())
    local values, mounts = chart.environment(container), {}
    for _, mount in ipairs(container.volumeMounts) do
      assert.is_nil(mount.subPath)
      mounts[mount.mountPath] = mount.name
    end
    assert.same({ "scripts", "policies", "state" },
      { mounts[values.SCRIPTS_DIR], mounts[values.POLICIES_DIR], mounts[values.STATE_DIR] })
    local volumes = chart.only(chart.render(), "Deployment").spec.template.spec.volumes
    for _, volume in ipairs(volumes) do
      assert.same(sources[volume.name] and { name = sources[volume.name] }, volume.configMap)
    end
  end)

  it("take further and replacing files from values", function()
    local data = chart.render({ values = everything })["ConfigMap scaler-policies"].data
    local expected = chart.files("policies", ".lua")
    expected["limits.lua"], expected["scaling.lua"] = "return { most = 10 }\n", "return {} -- ours\n\n"
    assert.same(expected, data)
  end)

  it("give way to a ConfigMap that exists", function()
    for directory, name in pairs(sources) do
      local objects = chart.render({ arguments = ("--set %s.existingConfigMap=ours"):format(directory) })
      assert.is_nil(objects["ConfigMap " .. name])
      for _, volume in ipairs(chart.only(objects, "Deployment").spec.template.spec.volumes) do
        local expected = volume.name == directory and "ours" or sources[volume.name]
        assert.equal(expected, volume.configMap and volume.configMap.name)
      end
      local ok, _, messages = chart.template({ arguments = ("--set %s.existingConfigMap=ours " ..
        "--set-string '%s.files.a\\.lua=return'"):format(directory, directory) })
      assert.is_false(ok)
      assert.matches(("%s.files and %s.existingConfigMap exclude each other"):format(directory, directory), messages, 1,
        true)
    end
  end)

  it("restart no pod when they change", function()
    local before = chart.render()
    local after = chart.render({ arguments = "--set-string 'policies.files.scaling\\.lua=return 1'" })
    assert.not_same(before["ConfigMap rayclusterscaler-policies"], after["ConfigMap rayclusterscaler-policies"])
    assert.same(chart.only(before, "Deployment"), chart.only(after, "Deployment"))
  end)
end)
