--- Every endpoint. A route says which action the caller must be allowed, and on which cluster:
--- `cluster = "path.name"` or `"body.cluster_name"` is that one; with `"each"`, `run` sees those that are allowed;
--- without, the rule is asked about no cluster. `body` reads and checks the request's JSON body.
--- Where a fixed segment and a {parameter} both fit, the fixed one wins. HEAD goes where GET goes.
local get = require "scripts.get"
local list = require "scripts.list"
local scale = require "scripts.scale"
local wish = require "scripts.wish"

return {
  { "GET", "/raycluster/list", action = "list", run = list, cluster = "each" },
  { "GET", "/raycluster/{name}", action = "get", run = get, cluster = "path.name" },
  { "POST", "/raycluster/scale", action = "scale", run = scale, cluster = "body.cluster_name", body = wish },

  { "GET", "/rayclusterscaler/list", action = "list", run = list, cluster = "each" },
  { "GET", "/rayclusterscaler/{name}", action = "get", run = get, cluster = "path.name" },
  { "POST", "/rayclusterscaler/scale", action = "scale", run = scale, cluster = "body.cluster_name", body = wish },
}
