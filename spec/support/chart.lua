--- The chart as the real helm renders it. Commands run in the repository's root.
local lyaml = require "lyaml"

local chart = {
  directory = "helm/rayclusterscaler",
  --- Values files that every general statement about the chart is checked against; "" are the defaults.
  values_files = {
    "", "values.yaml", "spec/helm/values/today.yaml", "spec/helm/values/everything.yaml",
    "spec/helm/values/minimal.yaml",
  },
}

function chart.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = assert(file:read("a"))
  file:close()
  return bytes
end

function chart.write(path, bytes)
  local file = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
end

--- Runs a shell command: whether it ended well, its standard output, its standard error.
function chart.run(command)
  local errors = os.tmpname()
  local pipe = assert(io.popen(("{ %s\n} 2>%s"):format(command, errors)))
  local output = pipe:read("a")
  local ok = pipe:close() == true
  local messages = chart.read(errors)
  os.remove(errors)
  return ok, output, messages
end

function chart.run_well(command)
  local ok, output, messages = chart.run(command)
  assert(ok, command .. "\n" .. messages)
  return output, messages
end

function chart.yaml(text)
  local documents = {}
  for _, document in ipairs(lyaml.load(text, { all = true })) do
    if document ~= lyaml.null then documents[#documents + 1] = document end
  end
  return documents
end

local function template(options)
  local values = (options.values or "") ~= "" and "-f " .. options.values or ""
  return table.concat({
    "build/tools/helm template rayclusterscaler", options.chart or chart.directory, "-n domino-field", values,
    options.arguments or "",
  }, " ")
end

--- helm template: {values = file, arguments = more of the command line, chart = path} -> ok, text, messages.
function chart.template(options)
  return chart.run(template(options))
end

--- The rendered objects: a list, which also holds each by "Kind name".
function chart.render(options)
  local ok, text, messages = chart.template(options or {})
  assert(ok, messages)
  local objects = chart.yaml(text)
  for _, object in ipairs(objects) do
    local key = object.kind .. " " .. object.metadata.name
    assert(not objects[key], key .. " is rendered twice")
    objects[key] = object
  end
  return objects
end

--- The one object of a kind.
function chart.only(objects, kind)
  local found
  for _, object in ipairs(objects) do
    if object.kind == kind then
      assert(not found, "more than one " .. kind)
      found = object
    end
  end
  return assert(found, "no " .. kind)
end

--- The pods that objects make: {name, labels, spec}.
function chart.pods(objects)
  local list = {}
  for _, object in ipairs(objects) do
    local pod = object.kind == "Pod" and object or object.kind == "Deployment" and object.spec.template
    if pod then
      local name = object.kind .. " " .. object.metadata.name
      list[#list + 1] = { name = name, labels = pod.metadata.labels, spec = pod.spec }
    end
  end
  return list
end

--- The service's pod and its container.
function chart.service(objects)
  local pod = chart.only(objects, "Deployment").spec.template.spec
  return pod, pod.containers[1]
end

function chart.environment(container)
  local values = {}
  for _, variable in ipairs(container.env) do
    assert(values[variable.name] == nil, variable.name .. " is set twice")
    values[variable.name] = assert(variable.value, variable.name)
  end
  return values
end

--- Whether matchLabels select an object with labels.
function chart.selects(selector, labels)
  for name, value in pairs(selector) do
    if labels[name] ~= value then return false end
  end
  return next(selector) ~= nil
end

--- The contents by name of a directory's files whose names end so.
function chart.files(directory, ending)
  local files = {}
  for name in chart.run_well(("ls -A %s"):format(directory)):gmatch("[^\n]+") do
    if name:sub(-#ending) == ending then files[name] = chart.read(directory .. "/" .. name) end
  end
  return files
end

return chart
