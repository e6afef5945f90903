local span = require "native.json_span"

describe("host/json_span", function()
  describe("validation", function()
    it("takes what RFC 8259 takes", function()
      for _, text in ipairs {
        "{}", "[]", " [ ] ", "0", "-0", "-0.0e-0", "1E+2", "12.50", "true", "false", "null", '""', "[[],{}]",
        '{"a":1,"b":[true,null,"x"]}', '"\\u00e9\\ud83d\\ude80\\/\\b"', '"détection 🚀"', '"\127"', '{"":0}',
        "\t\r\n 1 \n", "[1,\n2]", '{"a":{"a":{"a":1}}}', "1e999",
      } do
        assert.is_true(span.valid(text, 64, true), text)
      end
    end)

    it("refuses everything else", function()
      for _, text in ipairs {
        "", " ", "{", "[", "]", "}", "[1", "[1,", "[1,]", "[,1]", '{"a"}', '{"a":}', '{"a":1,}', "{a:1}", "{1:1}",
        "01", "-", "+1", "1.", ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "-Infinity", "nan", "tru", "truex",
        "nul", "'a'", '"', '"a', '"\\"', '"\\x41"', '"\\u12"', '"\\u12g4"', '"\\ud800"', '"\\udc00"',
        '"\\ud800\\u0041"', '"\1"', '"\n"', '"\0"', "\0", "1\0", "1 2", "{} {}", "[1 2]", '{"a":1 "b":2}', "[1}",
        '{"a":1]', "// x\n1", "/**/1", "\u{feff}1", '"\xff"', '"\xc0\xaf"', '"\xed\xa0\x80"', '"\xe2\x82"',
        '"\xf5\x80\x80\x80"', "undefined", "--1", '{"a":1,"b"}', "[[]", "\f1",
      } do
        assert.is_false(span.valid(text, 64, true), text)
      end
    end)

    it("says what is wrong and where", function()
      local function error_of(text)
        local _, offset, message = span.valid(text, 4, true)
        return offset .. ": " .. message
      end
      assert.equal("5: expected ':'", error_of('{"a" 1}'))
      assert.equal("2: the text ends early", error_of("[ "))
      assert.equal("2: not UTF-8", error_of('"a\xff"'))
      assert.equal("4: nested too deep", error_of("[[[[[1]]]]]"))
      assert.equal("3: expected the end of the text", error_of("[] 1"))
      assert.equal("7: a key stands twice in one object", error_of('{"a":1,"a":2}'))
      assert.equal("3: expected ',' or ']'", error_of("[1 2]"))
    end)

    it("bounds the depth", function()
      assert.is_true(span.valid(("["):rep(64) .. ("]"):rep(64)))
      assert.is_false(span.valid(("["):rep(65) .. ("]"):rep(65)))
      assert.is_false(span.valid(("["):rep(100000)))
      assert.is_false(span.valid("[]", 0))
      assert.is_true(span.valid("1", 0))
      assert.is_true(span.valid(('{"a":'):rep(64) .. "1" .. ("}"):rep(64), 64, true))
    end)

    it("sees a key twice, whatever way it is written", function()
      for _, text in ipairs {
        '{"a":1,"a":2}', '{"a":1,"b":{"c":[{}]},"a":2}', '{"a":1,"\\u0061":2}', '{"\\u0061":1,"a":2}',
        '{"é":1,"\\u00e9":2}', '{"\\ud83d\\ude80":1,"🚀":2}', '{"x":{"a":1,"b":2,"a":3}}', '[{"a":1,"a":1}]',
        '{"\\/":1,"/":2}', '{"":1,"":2}',
      } do
        assert.is_true(span.valid(text, 64, false), text)
        assert.is_false(span.valid(text, 64, true), text)
      end
      for _, text in ipairs {
        '{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', '{"a":1,"A":2}', '{"a":1,"aa":2,"":3}', '{"\\\\":1,"\\"":2}',
        '{"a":{"b":1},"b":1}', '{"é":1,"e":2}', '{"ab":1,"a\\u0063":2}',
      } do
        assert.is_true(span.valid(text, 64, true), text)
      end
    end)

    it("compares the keys of 64 members, at every depth", function()
      local members = {}
      for i = 1, 64 do
        members[i] = ('"k%d":%s'):format(i, "1")
      end
      local wide = "{" .. table.concat(members, ",") .. "}"
      assert.is_true(span.valid(wide, 64, true))
      assert.is_false(span.valid((wide:gsub('"k64"', '"k63"')), 64, true))
      local deep = wide
      for _ = 2, 64 do
        deep = wide:sub(1, -3) .. deep .. "}"
      end
      assert.is_true(span.valid(deep, 64, true))
    end)

    it("never reads past the end of a text that is cut anywhere", function()
      local text = '{"a":[1,-2.5e+3,"x\\u00e9\\ud83d\\ude80é"],"b":{"c":null,"d":true},"a\\n":false}'
      assert.is_true(span.valid(text, 64, true))
      for i = 0, #text - 1 do
        local cut = text:sub(1, i)
        assert.is_false(span.valid(cut, 64, true), cut)
        span.items(cut)
        span.path(cut, "b", "d")
        span.string(cut:sub(-7))
      end
    end)
  end)

  describe("looking inside", function()
    local text = ' { "metadata" : {"name":"ray-1", "labels": {"a\\/b":"x", "é": "\\u00e9\\n"}, "n": -12 },'
      .. '"list":[ 1 , [2], {"a":"]}"} ],"empty":{} , "last":"\\\\"} '

    it("finds members as they stand", function()
      assert.equal('"ray-1"', span.path(text, "metadata", "name"))
      assert.equal("-12", span.path(text, "metadata", "n"))
      assert.equal('"x"', span.path(text, "metadata", "labels", "a/b"))
      assert.equal('"\\u00e9\\n"', span.path(text, "metadata", "labels", "é"))
      assert.equal("{}", span.path(text, "empty"))
      assert.equal('"\\\\"', span.path(text, "last"))
      assert.equal('[ 1 , [2], {"a":"]}"} ]', span.path(text, "list"))
    end)

    it("finds nothing where there is nothing", function()
      assert.is_nil(span.path(text, "nam"))
      assert.is_nil(span.path(text, "metadata", "name", "x"))
      assert.is_nil(span.path(text, "list", "1"))
      assert.is_nil(span.path("5", "a"))
      assert.is_nil(span.path("", "a"))
    end)

    it("walks arrays and objects", function()
      assert.same({ { value = "1" }, { value = "[2]" }, { value = '{"a":"]}"}' } },
        span.items(span.path(text, "list")))
      assert.same({ { key = '"a"', value = "1" }, { key = '"b"', value = "{}" } }, span.items('{"a":1 , "b" : {}}'))
      assert.same({}, span.items("[]"))
      assert.same({}, span.items(" { } "))
      assert.same({}, span.items('"text"'))
    end)

    it("unescapes strings", function()
      assert.equal('"\\/\b\f\n\r\té🚀\0', span.string([["\"\\\/\b\f\n\r\t\u00e9\ud83d\ude80\u0000"]]))
      assert.equal("", span.string('""'))
      assert.is_nil(span.string("5"))
    end)

    it("reads integers exactly or not at all", function()
      assert.equal(9007199254740993, span.integer("9007199254740993"))
      assert.equal(math.maxinteger, span.integer("9223372036854775807"))
      assert.equal(math.mininteger, span.integer("-9223372036854775808"))
      assert.equal(0, span.integer("-0"))
      for _, other in ipairs { "9223372036854775808", "-9223372036854775809", "1.0", "1e2", '"1"', "", "-", "null",
        "99999999999999999999999" } do
        assert.is_nil(span.integer(other), other)
      end
    end)

    it("tells types", function()
      for text_of, name in pairs { ["{}"] = "object", ["[]"] = "array", ['"a"'] = "string", ["-1"] = "number",
        ["true"] = "true", ["false"] = "false", [" null"] = "null", [""] = "none", ["x"] = "none" } do
        assert.equal(name, span.type(text_of))
      end
    end)
  end)
end)
