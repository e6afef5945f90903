local measure = require "spec.bench.measure"

local RUN <const> = [[
Running 2s test @ http://127.0.0.1:6100/
  1 threads and 32 connections
  Latency Distribution
     50%    1.20ms
     99%    5.25ms
  1000 requests in 2.00s, 3.00MB read
Requests/sec:    500.25
]]

describe("spec/bench/measure", function()
  it("reads what wrk says", function()
    assert.same({ rate = 500.25, p99 = 5.25e-3, bytes = 3 * 1048576 / 1000 }, measure.statistics(RUN))
  end)

  it("takes no run with other answers, errors or none", function()
    assert.has_error(function() measure.statistics(RUN .. "  Non-2xx or 3xx responses: 12\n") end)
    assert.has_error(function()
      measure.statistics(RUN .. "  Socket errors: connect 0, read 1, write 0, timeout 0\n")
    end)
    assert.has_error(function() measure.statistics((RUN:gsub("1000 requests", "0 requests"))) end)
    assert.has_error(function() measure.statistics "unable to connect" end)
  end)

  it("finds the middle", function()
    assert.equal(2, measure.median { 3, 1, 2 })
    assert.equal(2.5, measure.median { 4, 1, 3, 2 })
  end)

  it("lets both sides go first in turn, after a turn each to warm up", function()
    local order = {}
    local function side(name)
      return function()
        order[#order + 1] = name
        return #order
      end
    end
    local ours, theirs = measure.in_turn(3, side "a", side "b")
    assert.equal("ababbaab", table.concat(order))
    assert.same({ 3, 6, 7 }, ours)
    assert.same({ 4, 5, 8 }, theirs)
  end)
end)
