local chart = require "chart"
local cjson = require "cjson"

local schema_path = chart.directory .. "/values.schema.json"

--- A typo or a wrong type somewhere, and what Helm's message must name.
local refused = {
  { "--set imag.repository=x", "imag" },
  { "--set image.repositry=x", "repositry" },
  { "--set-json image.appVersion=1.1", "/image/appVersion" },
  { "--set-string 'image.appVersion=1.0 beta'", "/image/appVersion" },
  { "--set image.pullPolicy=always", "/image/pullPolicy" },
  { "--set-json 'image.pullSecrets=[\"registry\"]'", "/image/pullSecrets/0" },
  { "--set env.names=x", "names" },
  { "--set env.name=Ray_Scaler", "/env/name" },
  { "--set env.service=", "/env/service" },
  { "--set env.service=null", "service" },
  { "--set env.namespace.fields=x", "fields" },
  { "--set env.namespace.compute=a.b", "/env/namespace/compute" },
  { "--set istio.enable=true", "enable" },
  { "--set-string istio.enabled=true", "/istio/enabled" },
  { "--set replica=3", "replica" },
  { "--set replicas=-1", "/replicas" },
  { "--set replicas=1.5", "/replicas" },
  { "--set settings.LOG_LEVL=debug", "LOG_LEVL" },
  { "--set settings.LOG_LEVEL=verbose", "/settings/LOG_LEVEL" },
  { "--set settings.MAX_REQUEST=64", "MAX_REQUEST" },
  { "--set settings.MAX_REQUESTS=0", "/settings/MAX_REQUESTS" },
  { "--set settings.MAX_REQUESTS_PER_CALLER=1001", "/settings/MAX_REQUESTS_PER_CALLER" },
  { "--set settings.DECISION_SAMPLE_RATE=1.5", "/settings/DECISION_SAMPLE_RATE" },
  { "--set settings.POLICY_EXAMPLES=none", "/settings/POLICY_EXAMPLES" },
  { "--set settings.COMPUTE_NAMESPACE=x", "COMPUTE_NAMESPACE" },
  { "--set settings.REQUEST_TIMEOUT_SECONDS=0", "/settings/REQUEST_TIMEOUT_SECONDS" },
  { "--set-string settings.REQUEST_TIMEOUT_SECONDS=10s", "/settings/REQUEST_TIMEOUT_SECONDS" },
  { "--set settings.REQUEST_TIMEOUT_SECONDS=null", "REQUEST_TIMEOUT_SECONDS" },
  { "--set settings.DOMINO_NUCLEUS_URI=nucleus-frontend", "/settings/DOMINO_NUCLEUS_URI" },
  { "--set-string 'scripts.file.a\\.lua=x'", "file" },
  { "--set-string 'policies.files.scaling=x'", "scaling" },
  { "--set-string 'policies.files.a/b\\.lua=x'", "a/b.lua" },
  { "--set 'policies.files.a\\.lua=1'", "a.lua" },
  { "--set policies.existingConfigmap=x", "existingConfigmap" },
  { "--set resources.request.cpu=1", "request" },
  { "--set nodeSelector.a=1", "/nodeSelector/a" },
  { "--set-json 'tolerations=[{\"keys\":\"a\"}]'", "keys" },
  { "--set networkPolicy.enable=false", "enable" },
  { "--set-json 'networkPolicy.extraFrom=[{}]'", "/networkPolicy/extraFrom/0" },
  { "--set-json 'networkPolicy.adminFrom=[{\"namespaceSelectr\":{}}]'", "namespaceSelectr" },
  { "--set serviceMonitor.intervall=1m", "intervall" },
  { "--set serviceMonitor.interval=often", "/serviceMonitor/interval" },
  { "--set prometheusRule.label.a=b", "label" },
}

describe("values.schema.json", function()
  for _, case in ipairs(refused) do
    it("refuses " .. case[1], function()
      local ok, _, messages = chart.template({ arguments = case[1] })
      assert.is_false(ok)
      assert.matches("values don't meet the specifications of the schema", messages, 1, true)
      assert.matches(case[2], messages, 1, true)
    end)
  end

  it("leaves no object open to typos", function()
    local open = {}
    local function walk(node, path)
      if type(node) ~= "table" then return end
      if node.properties and node.additionalProperties ~= false then open[#open + 1] = path end
      for key, value in pairs(node) do walk(value, path .. "/" .. key) end
    end
    walk(cjson.decode(chart.read(schema_path)), "")
    assert.same({}, open)
  end)

  it("names each value that has a default, and values.yaml each that the schema names", function()
    local schema = cjson.decode(chart.read(schema_path))
    local function resolve(node)
      local definition = node and node["$ref"] and node["$ref"]:match("^#/definitions/(.+)$")
      return definition and schema.definitions[definition] or node
    end
    local function compare(values, node, path)
      node = resolve(node)
      assert(node, path .. " is missing in the schema")
      if type(values) ~= "table" or not node.properties then return end
      for key, value in pairs(values) do compare(value, node.properties[key], path .. "." .. key) end
      for key in pairs(node.properties) do
        local has = values[key] ~= nil or path == ".settings" or key == "global"
        assert(has, path .. "." .. key .. " is not in values.yaml")
      end
    end
    compare(chart.yaml(chart.read(chart.directory .. "/values.yaml"))[1], schema, "")
  end)
end)
