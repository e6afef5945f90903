local native = require "native.kube_store"

local function object(name, version, owner, extra)
  return ('{"metadata":{"labels":{"owner":"%s"},"name":"%s","namespace":"ns","resourceVersion":"%s"}%s}'):format(
    owner or "", name, version, extra or "")
end

local function event(kind, text)
  return ('{"type":"%s","object":%s}'):format(kind, text)
end

local function bookmark(version)
  return event("BOOKMARK", ('{"kind":"RayCluster","metadata":{"resourceVersion":"%s","creationTimestamp":null}}')
    :format(version))
end

describe("host/kube_store", function()
  local store

  before_each(function()
    store = native.new("owner")
  end)

  it("is empty at first", function()
    assert.same({}, store:list())
    assert.same({}, store:list("u"))
    assert.is_nil(store:get("a"))
    assert.equal(0, store:count())
    assert.equal("", store:version())
  end)

  it("shows a list byte for byte", function()
    local a, b = object("a", 5, "u", ',"é":[{}, {} ]'), object("b", 6, "v")
    assert.is_true(store:replace({ a, b }, "7"))
    assert.same({ a, b }, store:list())
    assert.equal(a, store:get("a"))
    assert.is_nil(store:get("a", "other"))
    assert.is_nil(store:get("c"))
    assert.equal("7", store:version())
    assert.is_true(store:replace({ b }, "9"))
    assert.same({ b }, store:list())
    assert.is_true(store:replace({}, "10"))
    assert.same({}, store:list())
  end)

  it("lists by the indexed label", function()
    store:replace({ object("a", 1, "u"), object("b", 2, "v"), object("c", 3, "u"), object("d", 4, "") }, "5")
    assert.same({ object("a", 1, "u"), object("c", 3, "u") }, store:list("u"))
    assert.same({ object("b", 2, "v") }, store:list("v"))
    assert.same({}, store:list("w"))
    assert.same({}, store:list("uu"))
    store:event(event("MODIFIED", object("a", 6, "v")))
    store:event(event("DELETED", object("b", 7, "v")))
    store:event(event("ADDED", object("e", 8, "u")))
    store:event(event("MODIFIED", object("c", 9, "")))
    assert.same({ object("e", 8, "u") }, store:list("u"))
    assert.same({ object("a", 6, "v") }, store:list("v"))
    assert.same({ object("c", 9, ""), object("d", 4, "") }, store:list(""))
    assert.equal(4, store:count())
  end)

  it("lists by several values, in order of the name", function()
    store:replace({ object("a", 1, "u"), object("b", 2, "v"), object("c", 3, "u"), object("d", 4, "") }, "5")
    assert.same({ object("a", 1, "u"), object("b", 2, "v"), object("c", 3, "u") }, store:list("v", "u"))
    assert.same({ object("b", 2, "v"), object("d", 4, "") }, store:list("", "v", "w"))
  end)

  it("shows one object of each value, and one without", function()
    assert.same({ {}, {} }, { store:samples() })
    local objects = {}
    for i = 1, 1000 do
      objects[i] = object(("n%04d"):format(i), i, ({ [0] = "", "u", "v", "v" })[i % 4])
    end
    store:replace(objects, "1000")
    assert.same({ { objects[4], objects[1], objects[2] }, { 250, 250, 500 } }, { store:samples() })
    store:event(event("MODIFIED", object("n0900", 1001, "w")))
    assert.same({ objects[4], objects[1], objects[2], object("n0900", 1001, "w") }, (store:samples()))
    store:event(event("DELETED", object("n0900", 1002, "w")))
    assert.same({ { objects[4], objects[1], objects[2] }, { 249, 250, 500 } }, { store:samples() })
    store:replace({ object("a", 1, "u"), object("b", 3, "v"), object("\u{602}", 2, "u") }, "9") -- no name in Kubernetes
    assert.same({ { object("a", 1, "u"), object("b", 3, "v") }, { 2, 1 } }, { store:samples() })
  end)

  it("does without an index", function()
    local plain = native.new()
    plain:replace({ object("a", 1) }, "1")
    assert.equal("change", plain:event(event("ADDED", object("b", 2))))
    assert.equal(2, plain:count())
  end)

  it("applies events and remembers where the stream is", function()
    store:replace({ object("a", 1) }, "1")
    assert.equal("change", store:event(event("ADDED", object("b", 2))))
    assert.equal("change", store:event(event("MODIFIED", object("a", 3))))
    assert.equal("3", store:version())
    assert.equal("change", store:event(event("DELETED", object("b", 4))))
    assert.same({ object("a", 3) }, store:list())
    assert.equal("bookmark", store:event(bookmark(9)))
    assert.equal("9", store:version())
    assert.equal("change", store:event(event("DELETED", object("unknown", 10))))
    assert.equal("10", store:version())
  end)

  it("tells errors, unknown types and rubbish, and stays as it was", function()
    store:replace({ object("a", 1) }, "1")
    assert.same({ "error", "gone", "too old resource version: 1 (244)" }, { store:event(event("ERROR",
      '{"kind":"Status","message":"too old resource version: 1 (244)","reason":"Expired","code":410}')) })
    assert.same({ "error", "unavailable", "boom" }, { store:event(event("ERROR",
      '{"kind":"Status","message":"boom","code":500}')) })
    assert.same({ "error", "bad_answer", "" }, { store:event(event("ERROR", "{}")) })
    assert.equal("unknown", store:event(event("RESIZED", object("a", 2))))
    for _, line in ipairs { "", "x", "[]", "{}", '{"type":"ADDED"}', '{"type":5,"object":{}}',
      '{"type":"ADDED","object":5}', event("ADDED", "{}"), event("ADDED", '{"metadata":{}}'),
      event("BOOKMARK", "{}"), event("ADDED", object("a", 2)):sub(1, -2) } do
      assert.equal("malformed", store:event(line), line)
    end
    assert.same({ object("a", 1) }, store:list())
    assert.equal("1", store:version())
  end)

  describe("after our own patch", function()
    before_each(function()
      store:replace({ object("a", 5, "u"), object("b", 6, "u") }, "10")
    end)

    it("shows what the API server answered at once", function()
      assert.is_true(store:patched(object("a", 12, "v")))
      assert.equal(object("a", 12, "v"), store:get("a"))
      assert.same({ object("b", 6, "u") }, store:list("u"))
      assert.equal("10", store:version(), "the stream has not come so far")
    end)

    it("keeps it while older events come in", function()
      store:patched(object("a", 12))
      store:event(event("MODIFIED", object("a", 11)))
      assert.equal(object("a", 12), store:get("a"))
      store:event(event("MODIFIED", object("a", 12)))
      store:event(event("MODIFIED", object("a", 13)))
      assert.equal(object("a", 13), store:get("a"))
    end)

    it("believes a deletion that came later", function()
      store:patched(object("a", 12))
      store:event(event("DELETED", object("a", 14)))
      assert.is_nil(store:get("a"))
      assert.is_true(store:patched(object("a", 13)), "an answer that was slow")
      assert.is_nil(store:get("a"))
    end)

    it("takes no answer that the stream has passed", function()
      store:event(event("MODIFIED", object("a", 20)))
      assert.is_true(store:patched(object("a", 15)))
      assert.equal(object("a", 20), store:get("a"))
      store:event(bookmark(30))
      assert.is_true(store:patched(object("b", 25)))
      assert.equal(object("b", 6, "u"), store:get("b"))
    end)

    it("keeps it over a list that is older, not over one that is newer", function()
      store:patched(object("a", 12, "v"))
      store:replace({ object("a", 5, "u"), object("b", 6, "u") }, "11")
      assert.equal(object("a", 12, "v"), store:get("a"))
      assert.same({ object("a", 12, "v") }, store:list("v"))
      assert.same({ object("b", 6, "u") }, store:list("u"))
      store:replace({ object("b", 6, "u") }, "12")
      assert.is_nil(store:get("a"))
    end)

    it("keeps the newer of two answers that came in the wrong order", function()
      store:patched(object("a", 13))
      store:patched(object("a", 12))
      assert.equal(object("a", 13), store:get("a"))
      store:replace({ object("a", 5), object("b", 6) }, "11")
      assert.equal(object("a", 13), store:get("a"))
    end)

    it("says when it cannot tell", function()
      assert.is_false(native.new():patched(object("a", 12)), "before the first list")
      assert.is_false(store:patched(object("a", "x12")))
      assert.equal(object("a", 5, "u"), store:get("a"))
    end)
  end)

  it("believes a list of an API server that was set back", function()
    store:replace({ object("a", 500) }, "500")
    store:event(event("MODIFIED", object("a", 501)))
    store:replace({ object("a", 40) }, "100")
    assert.equal(object("a", 40), store:get("a"))
    store:event(event("MODIFIED", object("a", 101)))
    assert.equal(object("a", 101), store:get("a"))
  end)

  it("equals a model after any sequence of changes", function()
    math.randomseed(42)
    for _ = 1, 5 do
      local model, version = {}, 0
      store = native.new("owner")
      local function expected(owner)
        local names = {}
        for name, entry in pairs(model) do
          if not owner or entry.owner == owner then names[#names + 1] = name end
        end
        table.sort(names)
        for i, name in ipairs(names) do
          names[i] = model[name].text
        end
        return names
      end
      local function next_version()
        version = version + 1
        return version
      end
      for step = 1, 3000 do
        local name, owner = ("n%03d"):format(math.random(step < 1500 and 600 or 40)), "u" .. math.random(0, 5)
        local dice = math.random(100)
        if dice <= 60 then
          local text = object(name, next_version(), owner)
          store:event(event(model[name] and "MODIFIED" or "ADDED", text))
          model[name] = { text = text, owner = owner }
        elseif dice <= 97 then
          store:event(event("DELETED", object(name, next_version(), owner)))
          model[name] = nil
        elseif dice <= 99 then
          store:event(bookmark(next_version()))
        else
          store:replace(expected(), tostring(next_version()))
        end
        if step % 250 == 0 then
          assert.same(expected(), store:list())
          local owned = "u" .. math.random(0, 5)
          assert.same(expected(owned), store:list(owned))
          for known, entry in pairs(model) do
            assert.equal(entry.text, store:get(known))
          end
        end
      end
      assert.equal(tostring(version), store:version())
    end
  end)

  it("grows and shrinks by hundreds, in any order", function()
    for _, order in ipairs { "up", "down", "mixed" } do
      store = native.new()
      local names = {}
      for i = 1, 1000 do
        names[i] = ("n%04d"):format(order == "down" and 1001 - i or order == "mixed" and i * 377 % 1000 or i)
      end
      for i, name in ipairs(names) do
        store:event(event("ADDED", object(name, i)))
      end
      assert.equal(1000, store:count())
      for i = 1, 1000, 2 do
        store:event(event("DELETED", object(names[i], 1000 + i)))
      end
      assert.equal(500, #store:list())
      for i = 2, 1000, 2 do
        assert.is_truthy(store:get(names[i]))
        store:event(event("DELETED", object(names[i], 2000 + i)))
      end
      assert.same({}, store:list())
    end
  end)

  it("shows readers whole states that only ever get newer", function()
    assert.equal(0, store:storm(6000))
  end)

  it("weighs little more than the bytes, and no more after many events", function()
    local objects, bytes = 2000, 6000
    collectgarbage()
    local empty = native.in_use()
    assert.is_true(store:load(objects, bytes))
    local _, before = store:churn(objects, bytes, 2000, 2)
    local each_us, after = store:churn(objects, bytes, 20000, 5000)
    assert.is_true(each_us < 1000, ("%.1f µs an event"):format(each_us))
    assert.is_true(after < before * 1.1 + 1e6, ("%d bytes in use, then %d"):format(before, after))
    assert.is_true(after - empty < objects * bytes * 1.1 + 1e6, ("%d bytes in use"):format(after - empty))
  end)
end)
