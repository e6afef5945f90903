--- W3C trace context: from a caller to the log, to Domino and to Kubernetes.
local program = require "program"
local stage = require "stage"

local TRACE <const>, PARENT <const> = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

describe("a trace", function()
  local here

  setup(function()
    -- Reads go to Kubernetes, and each caller to Domino: every request calls both.
    here = stage.open { DRAIN_SECONDS = "0", IDENTITY_TTL_SECONDS = "0" }
  end)

  teardown(function() here:close() end)

  --- Scales Uma's cluster with those headers; the log line, and what Domino and Kubernetes last saw.
  local function scale(headers)
    local response = here:scale(stage.uma, stage.clusters.umas, 2, headers)
    assert.equal(200, response.status)
    local id = response.headers["x-request-id"]
    local line = program.eventually(function()
      for _, each in ipairs(here.service:log "request") do
        if each.request_id == id then return each end
      end
    end)
    local last = here:control("GET", "requests").last
    return line, last.principal.trace, last.patch.trace
  end

  it("is logged and goes on to Domino and Kubernetes, with the request's id", function()
    local line, domino, kubernetes = scale { traceparent = ("00-%s-%s-01"):format(TRACE, PARENT),
      tracestate = "vendor=1,other=2", ["X-Request-Id"] = "spec-17" }
    assert.equal(TRACE, line.trace_id)
    assert.equal("spec-17", line.request_id)
    for _, seen in ipairs { domino, kubernetes } do
      local span = seen.traceparent:match("^00%-" .. TRACE .. "%-(%x+)%-01$")
      assert.equal(16, #span)
      assert.not_equal(PARENT, span)
      assert.equal("vendor=1,other=2", seen.tracestate)
      assert.equal("spec-17", seen.request_id)
    end
  end)

  it("is not made up, and a malformed one is ignored", function()
    for _, given in ipairs { "", "00-x", ("00-%s-%s-01"):format(("0"):rep(32), PARENT),
      ("00-%s-%s-01, 00-%s-%s-01"):format(TRACE, PARENT, TRACE, PARENT) } do
      local line, domino, kubernetes = scale { traceparent = given, tracestate = "vendor=1" }
      assert.is_nil(line.trace_id)
      for _, seen in ipairs { domino, kubernetes } do
        assert.is_nil(seen.traceparent)
        assert.is_nil(seen.tracestate)
        assert.equal(line.request_id, seen.request_id)
      end
    end
  end)
end)
