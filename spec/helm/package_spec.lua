local chart = require "chart"

--- What helm package must take: every file of the chart, those behind its two links to the repository's own Lua
--- included, and none that .helmignore names.
local function expected_files()
  local files = {}
  for path in chart.run_well("find -L " .. chart.directory .. " -type f"):gmatch("[^\n]+") do
    local name = path:sub(#chart.directory + 2)
    if not name:match("^files/%a+/.*%.md$") then files["rayclusterscaler/" .. name] = chart.read(path) end
  end
  return files
end

describe("helm package", function()
  local directory, archive

  setup(function()
    directory = chart.run_well("mktemp -d"):gsub("\n", "")
    chart.run_well(("build/tools/helm package %s -d %s"):format(chart.directory, directory))
    archive = chart.run_well(("ls %s/*.tgz"):format(directory)):gsub("\n", "")
  end)

  teardown(function() chart.run_well("rm -rf " .. directory) end)

  it("is named after the chart's version", function()
    local version = chart.read(chart.directory .. "/Chart.yaml"):match("\nversion: (%S+)")
    assert.equal(("%s/rayclusterscaler-%s.tgz"):format(directory, version), archive)
  end)

  it("holds the chart and the repository's scripts and policies, the same bytes", function()
    chart.run_well(("tar -xzf %s -C %s"):format(archive, directory))
    local packed = {}
    for path in chart.run_well(("cd %s && find rayclusterscaler -type f"):format(directory)):gmatch("[^\n]+") do
      packed[path] = chart.read(directory .. "/" .. path)
    end
    local metadata = "rayclusterscaler/Chart.yaml" -- which Helm writes anew
    local expected = expected_files()
    assert.same(chart.yaml(expected[metadata]), chart.yaml(packed[metadata]))
    expected[metadata], packed[metadata] = nil, nil
    assert.same(expected, packed)
    for _, kind in ipairs({ "scripts", "policies" }) do
      for name, bytes in pairs(chart.files(kind, ".lua")) do
        assert.equal(bytes, packed[("rayclusterscaler/files/%s/%s"):format(kind, name)])
      end
    end
  end)

  it("renders what the directory renders", function()
    for _, values in ipairs(chart.values_files) do
      local _, from_directory = assert(chart.template({ values = values }))
      local ok, from_archive, messages = chart.template({ values = values, chart = archive })
      assert(ok, messages)
      assert.equal(from_directory, from_archive)
    end
  end)
end)
