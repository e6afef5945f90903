local bind = require "native.bind"

describe("host/bind/config", function()
  local config = bind.open("config")

  it("holds the settings of scripts", function()
    assert.equal("http://nucleus-frontend.domino-platform:80", config.domino_nucleus_uri)
    assert.equal("domino-compute", config.compute_namespace)
    assert.equal(10, config.identity_ttl_seconds)
    assert.equal("integer", math.type(config.identity_ttl_seconds))
    assert.is_nil(config.kubeconfig)
  end)

  it("cannot be changed", function()
    for _, name in ipairs { "compute_namespace", "new" } do
      assert.has_error(function() config[name] = "x" end, "settings are read-only")
    end
    assert.is_false(getmetatable(config))
    assert.has_error(function() setmetatable(config, {}) end)
    assert.equal("domino-compute", config.compute_namespace)
  end)
end)
