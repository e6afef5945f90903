--- The part of the proof that a bundle's own values allow: every policy passes its examples, and every route can be
--- reached and is guarded. `check` runs it, and the host does before a bundle may serve, under the limits of serving.
--- Every function returns a list of failures, one sentence each; empty when there is nothing to say against the bundle.
local proof = {}

--- What a module of the bundle returned. With path and source, failures begin with file and line.
---@class module
---@field module string "policies.scaling"
---@field value any what it returned
---@field examples any those of a policy, where the host has taken them out of its value
---@field path string? "policies/scaling.lua"
---@field source string?

local MAX_DEPTH = 16 -- of values that are compared and shown; deeper ones are never equal
local MAX_SHOWN = 300 -- bytes of a value in a failure

--- Where text stands in the module's source for the nth time; the first line when it does not.
local function line_of(module, text, nth)
  local stop = 0
  for _ = 1, nth do
    stop = select(2, module.source:find(text, stop + 1, true))
    if not stop then return 1 end
  end
  local line = 1
  for _ in module.source:sub(1, stop):gmatch "\n" do
    line = line + 1
  end
  return line
end

--- "policies/scaling.lua:12: ", of where the text stands.
local function place(module, text, nth)
  if not module.source then return module.module .. ": " end
  return ("%s:%d: "):format(module.path, line_of(module, text, nth or 1))
end

-- Examples --------------------------------------------------------------------------------------------------------

local function show_key(key)
  if type(key) == "string" and key:find("^[%a_][%w_]*$") then return key end
  return ("[%s]"):format(type(key) == "string" and ("%q"):format(key) or tostring(key))
end

local function show(value, depth)
  if type(value) == "string" then return (("%q"):format(value):gsub("\\\n", "\\n")) end
  if type(value) ~= "table" then return tostring(value) end
  if depth >= MAX_DEPTH then return "{ ... }" end
  local parts, list = {}, 0
  for _, item in ipairs(value) do
    list = list + 1
    parts[list] = show(item, depth + 1)
  end
  local keyed = {}
  for key, item in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= list) then
      keyed[#keyed + 1] = show_key(key) .. " = " .. show(item, depth + 1)
    end
  end
  table.sort(keyed)
  table.move(keyed, 1, #keyed, list + 1, parts)
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

local function show_all(values, count)
  local shown = {}
  for i = 1, count do
    shown[i] = show(values[i], 0)
  end
  local text = count == 0 and "nothing" or table.concat(shown, ", ")
  return #text <= MAX_SHOWN and text or text:sub(1, MAX_SHOWN) .. "..."
end

local function equal(a, b, depth)
  if type(a) ~= "table" or type(b) ~= "table" then return rawequal(a, b) or (a ~= a and b ~= b) end
  if depth >= MAX_DEPTH then return false end
  for key, value in next, a do
    if not equal(value, rawget(b, key), depth + 1) then return false end
  end
  for key in next, b do
    if rawget(a, key) == nil then return false end
  end
  return true
end

local function copy(value, depth)
  if type(value) ~= "table" or depth >= MAX_DEPTH then return value end
  local twin = {}
  for key, item in next, value do
    twin[key] = copy(item, depth + 1)
  end
  return twin
end

--- A list may hold nil: `{ nil, "reason" }` has two values. nil at the end says nothing, here as in a call.
local function last_index(list)
  local last = 0
  for key in next, list do
    if math.type(key) ~= "integer" or key < 1 then return nil end
    if key > last then last = key end
  end
  return last
end

---@return string? failure
local function prove_example(decide, example, accepts, options)
  local given, expect = example.given, example.expect
  if type(given) ~= "table" then return "has no `given`, the list of what decide is called with" end
  if type(expect) ~= "table" then return "has no `expect`, the list of what decide returns" end
  local given_count, expect_count = last_index(given), last_index(expect)
  if not given_count then return "`given` is not a list" end
  if not expect_count then return "`expect` is not a list" end
  if expect_count == 0 then return "`expect` is empty" end

  if options.restore then options.restore() end
  local before = copy(given, 0)
  local got = table.pack(pcall(decide, table.unpack(given, 1, given_count)))
  if not got[1] then return "raised " .. (type(got[2]) == "string" and got[2] or show(got[2], 0)) end
  table.remove(got, 1)
  got.n = nil
  local got_count = last_index(got)

  if not equal(given, before, 0) then return "changed what it was given, which a rule may only read" end
  if not equal(expect, got, 0) then
    return ("expected %s, got %s"):format(show_all(expect, expect_count), show_all(got, got_count))
  end
  local refusal = accepts and accepts(table.unpack(got, 1, got_count))
  return refusal and ("expects what the service cannot use: " .. refusal) or nil
end

local function prove_policy(policy, options, failures)
  local function fail(message, text)
    failures[#failures + 1] = place(policy, text or "return {") .. message
  end
  local value = policy.value
  if type(value) ~= "table" then return fail("returns no table but " .. show(value, 0)) end
  if type(value.decide) ~= "function" then return fail("has no function `decide`") end
  local examples = policy.examples or value.examples
  if examples == nil and options.examples_optional then return end
  if type(examples) ~= "table" then return fail("has no list `examples`") end
  local count = last_index(examples)
  if not count then return fail("`examples` is not a list", "examples") end
  if count == 0 and not options.examples_optional then return fail("has no examples") end

  local accepts = options.contracts and options.contracts[policy.module]
  for i = 1, count do
    local example = examples[i]
    if type(example) ~= "table" or type(example.name) ~= "string" or example.name == "" then
      fail(("example %d has no name"):format(i), "examples")
    else
      local failure = prove_example(value.decide, example, accepts, options)
      if failure then fail(("example %q %s"):format(example.name, failure), example.name) end
    end
  end
end

--- An example is `{ name = …, given = { arguments }, expect = { results } }`.
---@param policies module[]
---@param options { contracts: table<string, fun(...): string?>?, examples_optional: boolean?, restore: fun()? }?
---contracts: by module, says what is wrong with results, so that no example can expect what would fail in service;
---restore: lets every example meet the rules as they were loaded
---@return string[] failures
function proof.policies(policies, options)
  local failures = {}
  for _, policy in ipairs(policies) do
    prove_policy(policy, options or {}, failures)
  end
  return failures
end

-- Routes ----------------------------------------------------------------------------------------------------------

local methods = { GET = true, POST = true, PUT = true, PATCH = true, DELETE = true }
local keys = { [1] = true, [2] = true, action = true, run = true, cluster = true, body = true }
local probes = { ["/healthz"] = true, ["/readyz"] = true } -- the host answers them before any script

--- Returns the path with its parameters made nameless, and the set of their names; or nil and what is wrong.
local function shape_of(path)
  local shape, names = "", {}
  if path:sub(1, 1) ~= "/" then return nil, 'the path does not begin with "/"' end
  local start = 2
  repeat
    local stop = path:find("/", start, true) or #path + 1
    local segment = path:sub(start, stop - 1)
    if segment == "" then return nil, "the path has an empty segment, which no request matches" end
    if segment:find("[{}]") then
      local name = segment:match("^{([%a_]+)}$")
      if not name then return nil, "a parameter is a whole segment, {name}" end
      if names[name] then return nil, ("{%s} stands twice in the path"):format(name) end
      names[name] = true
      segment = "{}"
    end
    shape = shape .. "/" .. segment
    start = stop + 1
  until stop > #path
  return shape, names
end

---@return string? failure
local function prove_source(route, names)
  local source = route.cluster
  if source == nil or source == "each" then return nil end
  local from, field = tostring(source):match("^(%l+)%.([%a_]+)$")
  if from == "path" then
    return not names[field] and ("takes its cluster from {%s}, which the path does not have"):format(field) or nil
  elseif from == "body" then
    return not route.body and "takes its cluster from a body that it does not read" or nil
  end
  return 'cluster is "path.<parameter>", "body.<field>" or "each"'
end

--- The actions that the rules name, when they do.
local function known_actions(policies)
  for _, policy in ipairs(policies) do
    if policy.module == "policies.authorization" and type(policy.value.actions) == "table" then
      return policy.value.actions
    end
  end
end

---@return string[] failures of one route alone, and the shape of its path when it has one
local function prove_route(route, actions)
  local failures = {}
  local function fail(message)
    failures[#failures + 1] = message
  end
  local method, path, action = route[1], route[2], route.action
  if method == "HEAD" then
    fail("HEAD goes where GET goes, without a route of its own")
  elseif not methods[method] then
    fail("unknown method")
  end
  if type(action) ~= "string" or action == "" then
    fail("names no action, so no rule guards it")
  elseif actions and not actions[action] then
    fail(("policies.authorization knows no action %q"):format(action))
  end
  if type(route.run) ~= "function" then fail("`run` is not a function") end
  if route.body ~= nil and type(route.body) ~= "function" then fail("`body` is not a function") end
  for key in next, route do
    if not keys[key] then fail("unknown key " .. show(key, 0)) end
  end
  if probes[path] then fail("is never reached: the host answers this path itself") end
  local shape, names = shape_of(path)
  local failure = not shape and names or shape and prove_source(route, names)
  if failure then fail(failure) end
  return failures, shape
end

--- A route is `{ "GET", "/path/{parameter}", action = …, run = function, cluster = …, body = function }`.
---@param routes module what scripts.routes returned
---@param policies module[]? whose authorization may name the actions that there are
---@return string[] failures
function proof.routes(routes, policies)
  local rows, actions = routes.value, known_actions(policies or {})
  local count = type(rows) == "table" and last_index(rows)
  if type(rows) ~= "table" then return { place(routes, "return") .. "the route table is no table" } end
  if not count then return { place(routes, "return") .. "the route table is not a list" } end
  if count == 0 then return { place(routes, "return") .. "the route table is empty" } end
  local failures, seen, times = {}, {}, {}
  for i = 1, count do
    local route = rows[i]
    if type(route) ~= "table" or type(route[1]) ~= "string" or type(route[2]) ~= "string" then
      failures[#failures + 1] = place(routes, "return")
        .. ("route %d is not { method, path, action = ..., run = ... }"):format(i)
    else
      local method, path = route[1], route[2]
      times[path] = (times[path] or 0) + 1
      local faults, shape = prove_route(route, actions)
      if shape then
        local earlier = seen[method .. " " .. shape]
        if earlier == path then
          faults[#faults + 1] = "stands here twice"
        elseif earlier then
          faults[#faults + 1] = "is never reached: " .. earlier .. " takes its requests"
        end
        seen[method .. " " .. shape] = earlier or path
      end
      for _, fault in ipairs(faults) do
        failures[#failures + 1] = ("%s%s %s: %s"):format(place(routes, ('"%s"'):format(path), times[path]), method,
          path, fault)
      end
    end
  end
  return failures
end

return proof
