local cjson = require "cjson"
local message = require "native.message"

describe("host/message: a response", function()
  it("takes headers that can stand in one", function()
    local response = message.response()
    assert.is_true(response:header("ETag", '"947"'))
    assert.is_true(response:header("X-Odd!#$%&'*+-.^_`|~9", ""))
    assert.is_true(response:header("X-Tab", "a\tb \u{e9}"))
    local _, headers = response:show()
    assert.equal("ETag: \"947\"\r\nX-Odd!#$%&'*+-.^_`|~9: \r\nX-Tab: a\tb \u{e9}\r\n", headers)
  end)

  it("takes no header that would become two, or the body", function()
    local response = message.response()
    for _, name in ipairs { "", "a b", "a:", "a\r\nb", "a\n", "\u{e9}", "(a)", "a\t" } do
      assert.is_false(response:header(name, "v"), name)
    end
    for _, value in ipairs { "\r", "\n", "a\r\nX: y", "a\tb\r\nX: y", "a\t\n", "\1", "a\27b", "\127" } do
      assert.is_false(response:header("X", value), value)
    end
    local _, headers = response:show()
    assert.equal("", headers)
  end)

  it("finds its headers by name, without case", function()
    local response = message.response()
    assert.is_false(response:has_header "Content-Type")
    response:header("X-Content-Type", "Cache-Control: none")
    response:header("content-type", "text/plain")
    assert.is_true(response:has_header "Content-Type")
    assert.is_false(response:has_header "Content")
    assert.is_false(response:has_header "Cache-Control")
  end)

  it("is made of pieces, in order", function()
    local response = message.response()
    local expected = {}
    for i = 1, 100 do
      local piece = ("piece %d "):format(i)
      response:piece(piece, 1, #piece - 1)
      expected[i] = piece:sub(2)
    end
    local _, _, body, length = response:show()
    assert.equal(table.concat(expected), body)
    assert.equal(#body, length)
    response:clear()
    _, _, body, length = response:show()
    assert.equal("", body)
    assert.equal(0, length)
  end)

  it("becomes a problem document, whatever it was", function()
    local response = message.response()
    response:header("ETag", '"1"')
    response:piece("secret")
    local text = 'quoted " \\ \u{1F680} \xff\r\n'
    response:problem(409, "conflict", text, "id-1")
    local status, headers, body, length, error = response:show()
    assert.equal(409, status)
    assert.equal("Content-Type: application/problem+json\r\n", headers)
    assert.equal(#body, length)
    assert.equal("conflict", error)
    local detail = text:gsub("\xff", "\u{fffd}")
    assert.same({
      type = "urn:rayclusterscaler:problem:conflict", title = "Conflict", status = 409, detail = detail,
      error = "conflict", message = detail, requestId = "id-1",
    }, cjson.decode(body))
  end)
end)

describe("host/message: a request", function()
  it("finds its headers by name, without case, the first of several", function()
    local headers = { "Host", "a", "If-Match", '"1"', "if-match", '"2"' }
    assert.equal('"1"', message.request_header("IF-MATCH", headers))
    assert.equal("a", message.request_header("host", headers))
    assert.is_nil(message.request_header("If", headers))
    assert.is_nil(message.request_header("If-Match", {}))
  end)
end)

describe("host/message: status phrases", function()
  it("are those of RFC 9110", function()
    assert.equal("OK", message.status_phrase(200))
    assert.equal("Content Too Large", message.status_phrase(413))
    assert.equal("Gateway Timeout", message.status_phrase(504))
    assert.equal("Unknown", message.status_phrase(299))
  end)
end)
