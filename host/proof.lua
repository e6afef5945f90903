--- The part of the proof that a bundle's own values allow: every policy passes its examples, and every route can be
--- reached and is guarded. `check` runs it, and the host does before a bundle may serve, under the limits of serving.
--- Every function returns a list of failures, one sentence each; empty when there is nothing to say against the bundle.
local proof = {}

local MAX_DEPTH = 16 -- of values that are compared and shown; deeper ones are never equal
local MAX_SHOWN = 300 -- bytes of a value in a failure

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
  local function fail(message)
    failures[#failures + 1] = policy.module .. ": " .. message
  end
  local value = policy.value
  if type(value) ~= "table" then return fail("returns no table but " .. show(value, 0)) end
  if type(value.decide) ~= "function" then return fail("has no function `decide`") end
  local examples = policy.examples or value.examples
  if examples == nil and options.examples_optional then return end
  if type(examples) ~= "table" then return fail("has no list `examples`") end
  local count = last_index(examples)
  if not count then return fail("`examples` is not a list") end
  if count == 0 and not options.examples_optional then return fail("has no examples") end

  local accepts = options.contracts and options.contracts[policy.module]
  for i = 1, count do
    local example = examples[i]
    if type(example) ~= "table" or type(example.name) ~= "string" or example.name == "" then
      fail(("example %d has no name"):format(i))
    else
      local failure = prove_example(value.decide, example, accepts, options)
      if failure then fail(("example %q %s"):format(example.name, failure)) end
    end
  end
end

--- An example is `{ name = …, given = { arguments }, expect = { results } }`.
---@param policies { module: string, value: any, examples: any }[] what each module of the policies returned, and its
---examples where the host has taken them out of it
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

--- A route is `{ "GET", "/path/{parameter}", action = …, run = function, cluster = …, body = function }`.
---@param routes table[] what scripts.routes returned
---@return string[] failures
function proof.routes(routes)
  if type(routes) ~= "table" then return { "the route table is no table" } end
  local count = last_index(routes)
  if not count then return { "the route table is not a list" } end
  if count == 0 then return { "the route table is empty" } end
  local failures, seen = {}, {}
  for i = 1, count do
    local route, title = routes[i], ("route %d"):format(i)
    local function fail(message)
      failures[#failures + 1] = title .. ": " .. message
    end
    if type(route) ~= "table" or type(route[1]) ~= "string" or type(route[2]) ~= "string" then
      fail("is not { method, path, action = ..., run = ... }")
    else
      title = route[1] .. " " .. route[2]
      local shape, names = shape_of(route[2])
      if route[1] == "HEAD" then
        fail("HEAD goes where GET goes, without a route of its own")
      elseif not methods[route[1]] then
        fail("unknown method")
      end
      if type(route.action) ~= "string" or route.action == "" then fail("names no action, so no rule guards it") end
      if type(route.run) ~= "function" then fail("`run` is not a function") end
      if route.body ~= nil and type(route.body) ~= "function" then fail("`body` is not a function") end
      for key in pairs(route) do
        if not keys[key] then fail("unknown key " .. show(key, 0)) end
      end
      if not shape then
        fail(names)
      else
        local failure = prove_source(route, names)
        if failure then fail(failure) end
        local earlier = seen[route[1] .. " " .. shape]
        if earlier == route[2] then
          fail("stands here twice")
        elseif earlier then
          fail("is never reached: " .. earlier .. " takes its requests")
        end
        seen[route[1] .. " " .. shape] = earlier or route[2]
      end
    end
  end
  return failures
end

return proof
