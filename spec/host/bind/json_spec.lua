local json = require "native.bind_json"

describe("host/bind/json", function()
  describe("decode", function()
    it("gives Lua values", function()
      assert.same({ a = { 1, 2.5, "x", true, false }, b = { c = {} } },
        json.decode('{"a":[1,2.5,"x",true,false],"b":{"c":{}}}'))
      assert.equal("é🚀", json.decode([["\u00e9\ud83d\ude80"]]))
      assert.equal(false, json.decode("false"))
    end)

    it("gives integers where numbers are integral, at every depth", function()
      for _, pair in ipairs { { "5", 5 }, { "-0", 0 }, { "5.0", 5 }, { "1e2", 100 },
        { "9007199254740991", 9007199254740991 } } do
        local value = json.decode(pair[1])
        assert.equal("integer", math.type(value), pair[1])
        assert.equal(pair[2], value)
        assert.equal("integer", math.type(json.decode(("[[%s]]"):format(pair[1]))[1][1]))
        assert.equal("integer", math.type(json.decode(('{"a":{"b":%s}}'):format(pair[1])).a.b))
      end
    end)

    it("gives floats where they are not, or where their writer may have rounded", function()
      for _, text in ipairs { "2.5", "9007199254740993", "-9007199254740992", "1e99" } do
        assert.equal("float", math.type(json.decode(text)), text)
      end
    end)

    it("reads what other readers read", function()
      math.randomseed(7)
      local cjson = require "cjson"
      local function value(depth)
        local kind = math.random(depth > 4 and 5 or 7)
        if kind == 1 then return math.random(-1000, 1000) end
        if kind == 2 then return math.random(-1000, 1000) / 8 end
        if kind == 3 then return ("é\"\\/\n\0\u{1F680}x"):rep(math.random(0, 3)) end
        if kind == 4 then return math.random(2) == 1 end
        if kind == 5 then return json.null end
        local made = {}
        for i = 1, math.random(5) do
          made[kind == 6 and i or ("key %d\t"):format(i)] = value(depth + 1)
        end
        return made
      end
      for _ = 1, 500 do
        local made = { value(0) }
        assert.same(made, json.decode(json.encode(made)))
        assert.same(made, json.decode(" " .. cjson.encode(made):gsub("[%[%]{},:]", " %0\r\n\t") .. "\n"))
      end
    end)

    it("stands null in", function()
      assert.equal(json.null, json.decode("null"))
      assert.equal(json.null, json.decode('{"a":null}').a)
      assert.is_truthy(json.null)
    end)

    it("is strict, and says where", function()
      for text, message in pairs {
        ["{"] = "expected a key in quotes at byte 2",
        ['{"a" 1}'] = "expected ':' at byte 6",
        ['{"a":1,"a":2}'] = "a key stands twice in one object at byte 8",
        ["[NaN]"] = "expected a value at byte 2",
        ["0x10"] = "expected the end of the text at byte 2",
        ["1e999"] = "a number is out of range",
        ["[1e999]"] = "a number is out of range",
        ['"\xff"'] = "not UTF-8 at byte 2",
      } do
        assert.same({ nil, message }, { json.decode(text) })
      end
      assert.is_nil(json.decode(("["):rep(65) .. ("]"):rep(65)))
      assert.is_table(json.decode(("["):rep(64) .. ("]"):rep(64)))
      assert.is_nil(json.decode(("["):rep(1000000)))
      assert.has_error(function() json.decode({}) end)
    end)
  end)

  describe("encode", function()
    it("writes values", function()
      assert.equal('"a\\"é\\u0000"', json.encode('a"é\0'))
      assert.equal("[1,2.5,true,false,null]", json.encode { 1, 2.5, true, false, json.null })
      assert.equal('{"a":{"b":[]}}', json.encode { a = { b = json.array {} } })
      assert.equal("[{}]", json.encode { {} })
    end)

    it("writes integers exactly and integral floats as integers", function()
      for value, text in pairs { [5.0] = "5", [-3.0] = "-3", [math.maxinteger] = "9223372036854775807",
        [2.0 ^ 53] = "9007199254740992", [0.1] = "0.1", [1e99] = "1e+99", [1 / 3] = "0.3333333333333333" } do
        assert.equal(text, json.encode(value))
      end
      assert.equal(1 / 3, json.decode(json.encode(1 / 3)))
    end)

    it("tells arrays from objects", function()
      assert.equal("{}", json.encode {})
      assert.equal("[]", json.encode(json.array {}))
      assert.equal("[1]", json.encode(json.array { 1 }))
      local list = {}
      assert.equal(list, json.array(json.array(list)))
    end)

    it("raises on what JSON cannot say", function()
      local loop = {}
      loop.self = loop
      for name, value in pairs { holes = { 1, nil, 3 }, sparse = { [5] = 1 }, mixed = { 1, a = 2 }, zero = { [0] = 1 },
        float_key = { [1.5] = 1 }, boolean_key = { [true] = 1 }, loop = loop, nan = 0 / 0, infinite = math.huge,
        f = print, thread = coroutine.create(print), marked = json.array { a = 1 } } do
        assert.has_error(function() json.encode(value) end, nil, name)
      end
      assert.has_error(function() json.encode(nil) end)
      assert.has_error(function() json.encode() end)
      assert.has_error(function() json.array(setmetatable({}, {})) end)
    end)

    it("bounds the text, however often a string stands in it", function()
      local text = ("x"):rep(1 << 20)
      local list = {}
      for i = 1, 1000 do list[i] = text end
      assert.has_error(function() json.encode(list) end, "json: the text is too large")
      assert.has_error(function() json.encode(text:rep(9)) end, "json: the text is too large")
      assert.equal(8 << 20, #json.encode(text:rep(8)) - 2)
    end)

    it("goes 64 deep", function()
      local function nest(depth)
        local value = {}
        for _ = 2, depth do
          value = { value }
        end
        return value
      end
      assert.equal(("["):rep(63) .. "{}" .. ("]"):rep(63), json.encode(nest(64)))
      assert.has_error(function() json.encode(nest(65)) end)
    end)
  end)
end)
