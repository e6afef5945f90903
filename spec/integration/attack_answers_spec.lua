--- What a script returns, keeps or writes may be anything: it is bounded, and refused where it cannot be sent.
local disk = require "disk"
local program = require "program"
local rules_service = require "rules_service"

local sanitized = require("build").sanitized

local RULE <const> = [[
return { decide = function() return true end, examples = { { name = "it", given = {}, expect = { true } } } }]]

describe("an answer of a script is no way out:", function()
  local root, service
  local answers = {
    { "one text a thousand times", [[
      local text, body = ("x"):rep(1 << 20), {}
      for i = 1, 1000 do body[i] = text end
      return { status = 200, body = body }]], "body is larger than" },
    { "one text a thousand times, as JSON", [[
      local text, list = ("x"):rep(1 << 20), {}
      for i = 1, 1000 do list[i] = text end
      return { status = 200, body = require("json").encode(list) }]], "the text is too large" },
    { "a tree of two to the sixtieth, as JSON", [[
      local tree = {}
      for _ = 1, 60 do tree = { tree, tree } end
      return { status = 200, body = require("json").encode(tree) }]], "t[oi][om]" }, -- too large, or the time is over
    { "a ring, as JSON", [[
      local ring = {}
      ring.ring = ring
      return { status = 200, body = require("json").encode(ring) }]], "holds itself" },
    { "one text a thousand times, to be kept", [[
      local text, list = ("x"):rep(1 << 20), {}
      for i = 1, 1000 do list[i] = text end
      return require("cache").fetch("spec", "much", 1000, function() return list end)]], "too large" },
    { "a load that loads itself", [[
      local function load() return require("cache").fetch("spec", "key", 1000, load) end
      return load()]], "a load fetches the key that it loads" },
    { "a load that yields", [[
      local function load() return require("cache").fetch("spec", "yield", 1000, coroutine.yield) end
      return coroutine.wrap(load)()]], "attempt to yield" },
    { "a body that says it is endless",
      "return { status = 200, body = setmetatable({}, { __len = function() return 1 << 60 end }) }", "body must be" },
    { "a second header in a first", [[return { status = 200, headers = { X = "a\r\nSet-Cookie: b" } }]],
      "'X' cannot be sent" },
    { "a header's name that is two", [[return { status = 200, headers = { ["X: a\r\nY"] = "b" } }]],
      "cannot be sent" },
    { "a length of its own", [[return { status = 200, headers = { ["content-length"] = "0" } }]], "cannot be sent" },
    { "a revision of its own", [[return { status = 200, headers = { ["x-policy-revision"] = "0" } }]], "cannot" },
    { "a status that is none", "return { status = 1e308 }", "status must be" },
    { "a status before the answer", "return { status = 101 }", "status must be" },
    { "no answer", "return nil", "must return a response table" },
  }

  setup(function()
    local functions = {}
    for i, answer in ipairs(answers) do functions[i] = ("function() %s\nend"):format(answer[2]) end
    root = disk.directory()
    service = rules_service.start(root, "answers", { ["app.lua"] = [[
      local much = "[" .. ('"' .. ("x"):rep(60) .. '",'):rep(100000) .. "1]"
      local answers = { ]] .. table.concat(functions, ",") .. [[ }
      return function(request)
        local number = tonumber(request.path:match "%d+")
        if number then return answers[number]() end
        local kept = {}
        while request.path == "/decode" do kept[#kept + 1] = require("json").decode(much) end
        return { status = 200, headers = { ["Content-Type"] = "text/plain" }, body = "fine" }
      end]] }, { ["rule.lua"] = RULE })
  end)

  teardown(function()
    service:stop()
    disk.remove_all(root)
  end)

  for i, answer in ipairs(answers) do
    it(answer[1], function()
      local record = rules_service.cost(service, function()
        return { answer = rules_service.ask(service, "/" .. i) }
      end)
      assert.same({ 500, "policy_error" }, { record.answer.status, record.answer.json.error })
      local id = record.answer.headers["x-request-id"]
      local line = program.eventually(function()
        for _, line in ipairs(service:log "a script failed; the request was denied") do
          if line.request_id == id then return line end
        end
      end)
      assert.matches(answer[3], line.detail)
      assert.equal("fine", rules_service.ask(service, "/").body)
      rules_service.check_cost(record)
    end)
  end

  it("over and over, without memory that nobody gives back", function()
    local function resident()
      return rules_service.metric(service, "process_resident_memory_bytes")
    end
    local before
    for i = 1, 12 do
      assert.equal(500, rules_service.ask(service, "/decode").status)
      before = i == 4 and resident() or before
    end
    if not sanitized then assert.is_true(resident() - before < 32 << 20) end
  end)
end)
