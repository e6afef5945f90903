local bind = require "native.bind"

describe("host/bind/clock", function()
  local clock = bind.open("clock")

  it("tells the time in UTC", function()
    local before = os.time()
    local now = clock.utc()
    local after = os.time()
    local year, month, day, hour, minute, second = now.utc:match "^(%d%d%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)Z$"
    assert.same({ tonumber(hour), tonumber(minute) }, { now.hour, now.minute })
    local expected = {}
    for at = before, after do expected[os.date("!%Y-%m-%dT%H:%M:%SZ %u", at)] = true end
    assert.truthy(year and month and day and second and expected[now.utc .. " " .. now.weekday], now.utc)
  end)

  it("gives the same table for as long as a second lasts", function()
    local same = 0
    for _ = 1, 50 do
      if clock.utc() == clock.utc() then same = same + 1 end
    end
    assert.is_true(same >= 48)
  end)
end)
