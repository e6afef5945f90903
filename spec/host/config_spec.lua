local cjson = require "cjson"
local config = require "native.config"

--- The values in force, or nil and the message.
local function read(environment)
  local fields, message = config.read(environment)
  if not fields then return nil, message end
  return cjson.decode(fields)
end

local function assert_value(expected, name, value)
  local values, message = read({ [name] = value })
  assert(values, message)
  assert.equal(expected, values[name], ("%s=%q"):format(name, value))
end

--- A wrong value gives one line that names the setting and shows the value and what is allowed.
local function assert_refused(name, value, allowed, shown)
  local values, message = read({ [name] = value })
  assert.is_nil(values, ("%s=%q was taken"):format(name, value))
  local text, allowed_text = message:match("^" .. name .. "=(\".*\"): must be ([^\n]*)$")
  assert.equal(allowed, allowed_text, message)
  assert.equal(shown or value, shown and text or cjson.decode("[" .. text .. "]")[1])
end

describe("host/config", function()
  it("has a fallback for every setting", function()
    assert.same({
      DOMINO_NUCLEUS_URI = "http://nucleus-frontend.domino-platform:80",
      COMPUTE_NAMESPACE = "domino-compute",
      LOG_LEVEL = "info",
      KUBECONFIG = "",
      LISTEN = "0.0.0.0:6000",
      ADMIN_LISTEN = "0.0.0.0:6001",
      SCRIPTS_DIR = "scripts",
      POLICIES_DIR = "policies",
      POLICY_EXAMPLES = "required",
      DECISION_LOG = "",
      DECISION_SAMPLE_RATE = 0.01,
      STATE_DIR = "",
      SIMULATOR_DIR = "spec/simulator",
      IDENTITY_TTL_SECONDS = 10,
      REQUEST_TIMEOUT_SECONDS = 10,
      KUBE_MAX_STALE_SECONDS = 5,
      DRAIN_SECONDS = 5,
      MAX_REQUESTS = 128,
      MAX_REQUESTS_PER_CALLER = 112,
    }, read({}))
  end)

  it("takes an empty value as unset and ignores what it does not know", function()
    local empty = { HOME = "/root", IDENTITY_TTL = "x" }
    for _, setting in ipairs(config.settings()) do
      empty[setting.name] = ""
    end
    assert.same(read({}), read(empty))
  end)

  it("reads Domino's URL", function()
    assert_value("https://domino.example.com", "DOMINO_NUCLEUS_URI", "https://domino.example.com/")
    assert_value("http://127.0.0.1:8080/prefix", "DOMINO_NUCLEUS_URI", "http://127.0.0.1:8080/prefix//")
    assert_value("http://[::1]:8080", "DOMINO_NUCLEUS_URI", "http://[::1]:8080")
    assert_value("HTTP://nucleus_frontend", "DOMINO_NUCLEUS_URI", "HTTP://nucleus_frontend")
  end)

  it("refuses URLs that are none", function()
    local allowed = "an http or https URL without credentials, query and fragment, at most 511 bytes"
    for _, value in ipairs {
      "nucleus", "nucleus:80", "ftp://nucleus", "file:///etc/passwd", "http://", "http:///x", "http:nucleus",
      "http://nucleus:", "http://nucleus:0", "http://nucleus:65536", "http://nucleus:80x", "http://nucleus:+80",
      "http://[::1", "http://[nucleus]", "http://a b", "http://a\\b", "http://a,b", " http://a", "http://a\r\nX: y",
      "http://détection",
    } do
      assert_refused("DOMINO_NUCLEUS_URI", value, allowed)
    end
    assert_value("http://" .. ("a"):rep(504), "DOMINO_NUCLEUS_URI", "http://" .. ("a"):rep(504))
    local long = "http://" .. ("a"):rep(505)
    assert_refused("DOMINO_NUCLEUS_URI", long, allowed, '"' .. long:sub(1, 200) .. '"')
  end)

  it("shows no secret of a URL that it refuses", function()
    local allowed = "an http or https URL without credentials, query and fragment, at most 511 bytes"
    for _, value in ipairs { "http://user:secret@nucleus", "http://nucleus?token=secret", "user:secret@nucleus",
      "http://nucleus/#secret", } do
      assert_refused("DOMINO_NUCLEUS_URI", value, allowed, '"***"')
    end
  end)

  it("reads the namespace", function()
    local allowed = 'a DNS-1123 label: at most 63 of a-z, 0-9 and "-", not at either end'
    for _, value in ipairs { "a", "0", "domino-compute", ("a"):rep(63) } do
      assert_value(value, "COMPUTE_NAMESPACE", value)
    end
    for _, value in ipairs { "-a", "a-", "A", "a.b", "a b", "a/b", "a\n", ("a"):rep(64), "*" } do
      assert_refused("COMPUTE_NAMESPACE", value, allowed)
    end
  end)

  it("reads the log level in any case", function()
    for value, expected in pairs {
      DEBUG = "debug", info = "info", Info = "info", WARNING = "warning", warn = "warning", ERROR = "error",
    } do
      assert_value(expected, "LOG_LEVEL", value)
    end
    for _, value in ipairs { "verbose", "1", "info ", "warnings" } do
      assert_refused("LOG_LEVEL", value, "debug, info, warning or error")
    end
  end)

  it("reads addresses to listen at", function()
    for _, name in ipairs { "LISTEN", "ADMIN_LISTEN" } do
      for _, value in ipairs { "127.0.0.1:8080", "[::1]:6000", "[::]:65535", "0.0.0.0:0" } do
        assert_value(value, name, value)
      end
      for _, value in ipairs {
        "6000", ":6000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:06000", "127.0.0.1:+1",
        "127.0.0.1:80s", "127.0.0.1:80,127.0.0.1:81", "localhost:80", "::1:80", "[::1]", "[::1]80", "[::1:80",
        "[127.0.0.1]:80", "256.0.0.1:80", "127.0.0.1:80 ", "[" .. (":"):rep(100) .. "]:80",
      } do
        assert_refused(name, value, "address:port, such as 0.0.0.0:6000 or [::1]:6000")
      end
    end
  end)

  it("reads numbers strictly and within their range", function()
    for name, range in pairs {
      IDENTITY_TTL_SECONDS = { 0, 3600 }, REQUEST_TIMEOUT_SECONDS = { 1, 60 }, KUBE_MAX_STALE_SECONDS = { 0, 3600 },
      MAX_REQUESTS = { 1, 1000 }, MAX_REQUESTS_PER_CALLER = { 1, 1000 },
    } do
      local allowed = ("a whole number from %d to %d"):format(range[1], range[2])
      assert_value(range[1], name, tostring(range[1]))
      assert_value(range[2], name, tostring(range[2]))
      for _, value in ipairs {
        tostring(range[1] - 1), tostring(range[2] + 1), "010", "+5", "5s", "5.0", " 5", "5 ", "0x5", "1e1", "five",
        "99999999999999999999",
      } do
        assert_refused(name, value, allowed)
      end
    end
  end)

  it("reads shares", function()
    for value, expected in pairs { ["0"] = 0, ["1"] = 1, ["0.01"] = 0.01, ["1.0"] = 1, ["0.5"] = 0.5 } do
      assert_value(expected, "DECISION_SAMPLE_RATE", value)
    end
    for _, value in ipairs {
      "-0", "1.01", "2", ".5", "1.", "1e-2", "0x1p-1", "nan", "1%", " 1", "0,5", "0.00000000001",
    } do
      assert_refused("DECISION_SAMPLE_RATE", value, "a number from 0 to 1, such as 0.01")
    end
  end)

  it("is what the README says", function()
    local file = assert(io.open("README.md"))
    local section = (file:read("a") .. "\n## "):match("\n## Settings\n(.-)\n## ")
    file:close()
    assert(section, "README.md has no section '## Settings'")
    local written, expected = {}, {}
    for row in section:gmatch("[^\n]+") do
      if row:find("^| `[A-Z_]+` |") then written[#written + 1] = row end
    end
    for i, setting in ipairs(config.settings()) do
      local fallback = setting.fallback == "" and "" or (" `%s`"):format(setting.fallback)
      expected[i] = ("| `%s` |%s | %s |"):format(setting.name, fallback, setting.meaning)
    end
    assert.equal(table.concat(expected, "\n"), table.concat(written, "\n"))
  end)
end)
