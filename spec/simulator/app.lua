--- Domino, Kubernetes and the distributed-compute operator in one handler, for the demo and the specs.
local admin = require "spec.simulator.admin"
local domino = require "spec.simulator.domino"
local faults = require "spec.simulator.faults"
local kubernetes = require "spec.simulator.kubernetes"
local routes = require "spec.simulator.routes"
local world = require "spec.simulator.world"

local here <const> = world.new()

local upstreams <const> = { principal = domino, hardware_tier = domino, access_token = domino, domino = domino }

return function(request)
  here:advance()
  local target = routes.classify(request)
  if target.kind == "simulator" then return admin.answer(here, request, target) end
  here.requests:count(request, target)
  local upstream = upstreams[target.kind] or kubernetes
  local function answer() return upstream.answer(here, request, target) end
  local rule = here.faults:take(request, target)
  if rule then return faults.apply(rule, here, request, target, answer) end
  return answer()
end
