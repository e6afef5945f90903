local cjson = require "cjson"
local native = require "native.kube_cache"

local kube_store = require "native.kube_store"
local proc = require "proc"

local SANITIZED <const> = require("build").sanitized
local LIST = "GET /apis/g.io/v1/namespaces/ns/things?limit=500 HTTP/1.1"

local function object(name, version, extra)
  return ('{"metadata":{"labels":{"owner":"u"},"name":"%s","namespace":"ns","resourceVersion":"%d","uid":"u"}%s}')
    :format(name, version, extra or "")
end

local function answer(status, body, headers)
  return ("HTTP/1.1 %d X\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s"):format(status, #body, headers or "",
    body)
end

local function list(version, ...)
  return answer(200, ('{"metadata":{"resourceVersion":"%d"},"items":[%s]}'):format(version, table.concat({ ... }, ",")))
end

local function status(code, reason, message)
  return ('{"kind":"Status","status":"Failure","message":"%s","reason":"%s","code":%d}'):format(message, reason, code)
end

local function event(kind, text)
  return ('{"type":"%s","object":%s}\n'):format(kind, text)
end

--- A stream held open; its end is the connection's.
local function stream(...)
  return "HOLD HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" .. table.concat({ ... })
end

--- A stream that is cut in the middle of a chunk.
local function torn(text)
  return ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s"):format(#text + 100, text)
end

describe("host/kube_cache", function()
  local opened

  local function open(max_stale_ms, idle_ms, first_pause_ms)
    native.open(max_stale_ms or 5000, idle_ms, first_pause_ms)
    opened = true
  end

  local function close()
    opened = false
    return native.close()
  end

  after_each(function()
    if opened then close() end
  end)

  local function state()
    local document, reasons = native.state()
    return cjson.decode(document)[1], reasons
  end

  local function eventually(what, check, seconds)
    for _ = 1, 200 * (seconds or 3) do
      if check() then return end
      native.pause(5)
    end
    error("never happened: " .. what .. "\n" .. (native.state()) .. "\n" .. table.concat(native.asked(), "\n"), 2)
  end

  local function await_text(name, text)
    eventually(name .. " is " .. tostring(text), function() return native.get(name) == text end)
  end

  local function first_line(index)
    local request = native.asked()[index]
    return request and request:match("^[^\r]+")
  end

  local function await_up()
    eventually("a stream is open", function() return state().up end)
  end

  it("lists, watches, and reads without asking", function()
    open()
    native.say(list(10, object("a", 5), object("b", 6)))
    native.say(stream())
    native.start()
    await_text("a", object("a", 5))
    await_up()
    native.more(event("MODIFIED", object("a", 11)))
    await_text("a", object("a", 11))
    native.more(event("ADDED", object("c", 12)):sub(1, 30))
    native.pause(20)
    assert.is_nil(native.get("c"))
    native.more(event("ADDED", object("c", 12)):sub(31) .. event("DELETED", object("b", 13)))
    await_text("b", nil)
    assert.equal(object("c", 12), native.get("c"))
    assert.equal(2, #native.asked())
    assert.equal(LIST, first_line(1))
    local seconds = tonumber(first_line(2):match(
      "^GET /apis/g%.io/v1/namespaces/ns/things%?watch=1&allowWatchBookmarks=true"
        .. "&timeoutSeconds=(%d+)&resourceVersion=10 HTTP/1%.1$"))
    assert.is_true(seconds >= 300 and seconds <= 600)
    local now = state()
    assert.same({ "things.g.io", "ns", true, true, 2, 1, 1, 3, cjson.null },
      { now.resource, now.namespace, now.listed, now.up, now.objects, now.lists, now.streams, now.events, now.error })
  end)

  it("is not ready before the first list, and says why", function()
    open(5000, nil, 200)
    native.say(answer(403, status(403, "Forbidden", "User x cannot list resource things")))
    native.say(answer(403, status(403, "Forbidden", "User x cannot list resource things")))
    native.say(list(10))
    native.say(stream())
    native.start()
    assert.equal(false, native.get("a"))
    eventually("the missing right is named", function()
      return select(2, state()):find("missing the right to list things.g.io in namespace ns", 1, true)
    end)
    assert.equal(false, native.get("a"))
    eventually("ready", function() return select(2, state()) == "" end)
    await_up()
    assert.equal(cjson.null, state().error)
  end)

  it("watches on from where it was when a stream ends, is cut in the middle of an event, or is refused", function()
    open()
    native.say(list(10, object("a", 5)))
    native.say(torn(event("MODIFIED", object("a", 11)) .. event("MODIFIED", object("a", 12)):sub(1, 40)))
    native.say("")
    native.say(answer(500, "oops"))
    native.say(answer(429, status(429, "TooManyRequests", "slow"), "Retry-After: 0\r\n"))
    native.say(answer(200, event("BOOKMARK", '{"metadata":{"resourceVersion":"15"}}')))
    native.say(stream(event("MODIFIED", object("a", 16))))
    native.start()
    await_text("a", object("a", 16))
    local versions = {}
    for i, request in ipairs(native.asked()) do
      versions[i] = request:match("resourceVersion=(%d+)") or "list"
    end
    assert.same({ "list", "10", "11", "11", "11", "11", "15" }, versions)
    assert.equal(1, state().lists)
  end)

  for name, say in pairs {
    ["410 as status"] = function() native.say(answer(410, status(410, "Expired", "too old"))) end,
    ["410 as event"] = function() native.say(answer(200, event("ERROR", status(410, "Expired", "too old")))) end,
    ["another ERROR event"] = function() native.say(answer(200, event("ERROR", status(500, "X", "boom")))) end,
    ["something that is no event"] = function() native.say(answer(200, "{]\n")) end,
    ["a refusal of the request"] = function() native.say(answer(400, status(400, "BadRequest", "no"))) end,
  } do
    it("lists again after " .. name, function()
      open()
      native.say(list(10, object("a", 5), object("b", 6)))
      say()
      native.say(list(20, object("a", 18)))
      native.say(stream())
      native.start()
      await_text("a", object("a", 18))
      assert.is_nil(native.get("b"))
      eventually("the stream follows the new list", function() return first_line(4) end)
      assert.matches("resourceVersion=20 ", first_line(4))
      assert.equal(2, state().lists)
    end)
  end

  it("starts a list over whose continue token has expired", function()
    open()
    native.say(answer(200, '{"metadata":{"resourceVersion":"9","continue":"t"},"items":[' .. object("a", 1) .. "]}"))
    native.say(answer(410, status(410, "Expired", "too old")))
    native.say(list(20, object("b", 18)))
    native.say(stream())
    native.start()
    await_text("b", object("b", 18))
    assert.is_nil(native.get("a"))
    assert.matches("continue=t ", first_line(2))
  end)

  it("goes by the list's own token, whatever else looks like one", function()
    open()
    local lie = object("a", 1, ',"spec":{"continue":"lie"}')
    native.say(answer(200, '{"metadata":{"resourceVersion":"9","continue":"t"},"items":[' .. lie .. "]}"))
    native.say(list(9, object("c", 2)))
    native.say(list(9, object("b", 8)))
    native.say(stream())
    native.start()
    await_text("b", object("b", 8))
    assert.equal(lie, native.get("a"))
    assert.is_nil(native.get("c"))
    assert.matches("continue=lie ", first_line(2))
    assert.matches("continue=t ", first_line(3))
  end)

  it("passes over an event of an unknown type", function()
    open()
    native.say(list(10))
    native.say(stream(event("RESIZED", object("x", 11)), event("ADDED", object("a", 12))))
    native.start()
    await_text("a", object("a", 12))
    assert.is_nil(native.get("x"))
    assert.equal(1, state().streams)
  end)

  it("takes an object of 1 MB", function()
    open()
    local large = object("large", 11, (',"spec":"%s"'):format(("x"):rep(1024 * 1024)))
    native.say(list(10))
    native.say(stream(event("ADDED", large), event("ADDED", object("a", 12))))
    native.start()
    await_text("a", object("a", 12))
    assert.equal(large, native.get("large"))
  end)

  it("is no larger after a million events than after a tenth of them", function()
    local OBJECTS <const>, BATCH <const> = 1000, 1000
    local EVENTS <const> = SANITIZED and 50000 or 1000000
    local function resident_kb() return proc.status("self", "VmRSS") end
    local function await_events(count)
      eventually(count .. " events", function() return state().events == count end, 60)
    end
    open()
    native.say(list(10))
    native.say(stream())
    native.start()
    await_up()
    math.randomseed(3)
    local version, before, lines = 10, nil, {}
    for first = 1, EVENTS, BATCH do
      for i = 1, BATCH do
        version = version + 1
        local kind = version % 5 == 0 and "DELETED" or "MODIFIED"
        lines[i] = event(kind, object("n" .. math.random(OBJECTS), version, ',"spec":"' .. version .. '"'))
      end
      native.more(table.concat(lines))
      if first + BATCH - 1 == EVENTS // 10 then
        await_events(EVENTS // 10)
        collectgarbage()
        before = { bytes = kube_store.in_use(), kb = resident_kb() }
      end
    end
    await_events(EVENTS)
    collectgarbage()
    assert.equal(1, state().lists)
    local bytes, kb = kube_store.in_use() - before.bytes, resident_kb() - before.kb
    assert.is_true(bytes < 1e6, bytes .. " bytes more in use")
    assert.is_true(SANITIZED or kb < 4096, kb .. " KB more resident")
  end)

  it("notices a connection that died without a word, and watches on", function()
    open(5000, 150)
    native.say(list(10, object("a", 5)))
    native.say(stream())
    native.say(stream(event("MODIFIED", object("a", 11))))
    native.start()
    await_text("a", object("a", 11))
    assert.equal(1, state().lists)
    assert.matches("resourceVersion=10 ", first_line(3))
  end)

  it("is not read when the watch has been down for too long", function()
    open(150)
    native.say(list(10, object("a", 5)))
    native.say(stream())
    native.start()
    await_up()
    for _ = 1, 60 do
      native.say(answer(500, ""))
    end
    native.drop()
    assert.equal(object("a", 5), native.get("a"), "for a moment still")
    eventually("reads go to the API server", function() return native.get("a") == false end)
    local now, reasons = state()
    assert.is_true(now.lag_ms >= 150)
    assert.is_false(now.up)
    assert.equal("", reasons, "the process stays ready: it can ask")
    assert.matches("unavailable", now.error)
  end)

  it("is not read while an event takes long to come in, which ends", function()
    open(100, 600)
    native.say(list(10, object("a", 5)))
    native.say(stream(event("MODIFIED", object("a", 11)):sub(1, 20)))
    native.say(list(12, object("a", 11)))
    native.say(stream())
    native.start()
    await_up()
    assert.equal(object("a", 5), native.get("a"), "for a moment still")
    for i = 21, 200 do -- never 600 ms without a byte
      native.more("x")
      native.pause(10)
      if i == 40 then
        assert.equal(false, native.get("a"))
        assert.is_true(state().up)
        assert.is_true(state().lag_ms >= 100)
      end
      if state().lists == 2 then break end
    end
    await_text("a", object("a", 11))
    eventually("a stream is open again", function() return state().lag_ms == 0 end)
  end)

  it("is read again when a stream is open, before anything comes", function()
    open(50, nil, 300)
    native.say(list(10, object("a", 5)))
    for _ = 1, 3 do -- pauses are random: one of three is long enough to be seen
      native.say(answer(500, ""))
    end
    native.say(stream())
    native.start()
    eventually("too old", function() return first_line(2) and native.get("a") == false end)
    await_text("a", object("a", 5))
  end)

  it("shows our own patch at once, and after an older list", function()
    open()
    native.say(list(10, object("a", 5)))
    native.say(stream())
    native.start()
    await_up()
    assert.is_true(native.answered(object("a", 12)))
    assert.equal(object("a", 12), native.get("a"))
    native.say(list(11, object("a", 5)))
    native.say(stream())
    native.drop(event("ERROR", status(410, "Expired", "too old")))
    eventually("listed again", function() return state().lists == 2 end)
    assert.equal(object("a", 12), native.get("a"))
  end)

  it("is not read while in doubt", function()
    open(100)
    native.say(list(10, object("a", 5)))
    native.say(stream())
    native.start()
    await_up()
    native.doubt()
    assert.equal(false, native.get("a"))
    await_text("a", object("a", 5))
  end)

  it("waits longer after each trouble, and as long as it is told", function()
    open(5000, nil, 20)
    native.say(answer(503, "", "Retry-After: 1\r\n"))
    native.say(list(10))
    native.say(stream())
    native.start()
    eventually("one request", function() return first_line(1) end)
    native.pause(700)
    assert.equal(1, #native.asked())
    await_up()
  end)

  it("is one copy for everybody", function()
    open()
    native.say(list(10, object("a", 5)))
    native.say(stream())
    native.start()
    await_text("a", object("a", 5))
    assert.is_true(native.open_again())
    assert.equal(1, state().lists)
  end)

  it("ends soon, whatever it is waiting for", function()
    for name, line in pairs { stream = stream(), page = "HOLD HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[",
      silence = "HOLD ", refusal = answer(503, "", "Retry-After: 100\r\n") } do
      open()
      if name == "stream" then native.say(list(10)) end
      native.say(line)
      native.start()
      eventually("asked", function() return first_line(name == "stream" and 2 or 1) end)
      native.pause(20)
      assert.is_true(close() < 1000, name)
    end
  end)
end)
