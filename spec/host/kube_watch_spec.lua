local native = require "native.kube_cache"

describe("host/kube_watch", function()
  it("doubles the longest pause after each trouble, from 0.8 s to 30 s, as client-go does", function()
    local pauses = {}
    for troubles = 0, 8 do pauses[troubles + 1] = native.longest_pause(troubles) end
    assert.same({ 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000 }, pauses)
    assert.equal(30000, native.longest_pause(1000000))
  end)
end)
