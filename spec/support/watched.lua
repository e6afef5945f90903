--- What specs of the copy ask of a stage: how its watch is, and whether callers read what the API server has.
local client = require "client"
local program = require "program"
local stage = require "stage"

local watched = {}

--- The watch as /readyz tells of it.
function watched.state(here)
  return client.request(here.service.admin_port, { path = "/readyz" }).json.watches[1]
end

function watched.eventually(check, what)
  return program.eventually(check, 60, what) -- after troubles a watch hesitates for up to 30 s
end

function watched.cluster(here, name, who)
  return here:get(who or stage.admin, "/raycluster/" .. name)
end

function watched.version_of(response)
  return tonumber(response.json.metadata.resourceVersion)
end

--- The copy is current: it shows a change that is made now.
function watched.await_up(here)
  local version, response = here.kubernetes:touch(stage.clusters.nobodys), nil
  local is_up = pcall(watched.eventually, function()
    response = watched.state(here).up and watched.cluster(here, stage.clusters.nobodys)
    return response and response.status == 200 and watched.version_of(response) >= version
  end)
  if is_up then return end
  local state = client.request(here.service.admin_port, { path = "/readyz" }).body
  error(("version %d is not shown but %s\n%s"):format(version, response and response.body or "nothing", state), 2)
end

--- The API server's own list, as one text for each name.
function watched.truth(here)
  local texts = {}
  for _, name in ipairs(here.kubernetes:names()) do
    texts[name] = here:bytes(name)
  end
  return texts
end

function watched.names_of(texts)
  local names = {}
  for name in pairs(texts) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function differing(here, texts, names)
  local wrong = {}
  for _, name in ipairs(names) do
    if watched.cluster(here, name).body ~= texts[name] then wrong[#wrong + 1] = name end
  end
  return wrong
end

--- The body of a list that holds these texts.
function watched.list_of(texts)
  return ('{"ray_clusters":[%s]}'):format(table.concat(texts, ","))
end

--- What callers read of every cluster is what the API server has, byte for byte.
function watched.assert_equals_truth(here)
  here.kubernetes:operator(false)
  local wrong
  local same = pcall(program.eventually, function()
    local expected = watched.truth(here)
    local names, texts = watched.names_of(expected), {}
    for i, name in ipairs(names) do texts[i] = expected[name] end
    wrong = differing(here, expected, names)
    local listed = here:get(stage.admin, "/raycluster/list").body
    if listed ~= watched.list_of(texts) then wrong[#wrong + 1] = "the list" end
    return #wrong == 0
  end, 10)
  here.kubernetes:operator(true)
  if not same then error("not the API server's: " .. table.concat(wrong or {}, ", "), 2) end
end

return watched
