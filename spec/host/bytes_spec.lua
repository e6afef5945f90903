local bytes = require "native.bytes"

describe("host/bytes", function()
  it("writes JSON strings that any reader takes", function()
    assert.equal([["plain"]], bytes.json_string("plain"))
    assert.equal([["a\"b\\c"]], bytes.json_string('a"b\\c'))
    assert.equal([["\u0000\u000a\u001f\u007f"]], bytes.json_string("\0\n\31\127"))
    assert.equal('"détection 🚀"', bytes.json_string("détection 🚀"))
  end)

  it("replaces what is not UTF-8, byte by byte", function()
    assert.equal('"a\u{fffd}b"', bytes.json_string("a\xffb"))
    assert.equal('"\u{fffd}\u{fffd}"', bytes.json_string("\xc0\xaf"), "overlong")
    assert.equal('"\u{fffd}\u{fffd}\u{fffd}"', bytes.json_string("\xed\xa0\x80"), "surrogate")
    assert.equal('"\u{fffd}"', bytes.json_string("\xe2"), "cut short")
  end)

  it("grows while formatting", function()
    local expected = {}
    for i = 1, 5000 do
      expected[i] = i .. ","
    end
    assert.equal(table.concat(expected), bytes.format(5000))
  end)
end)
