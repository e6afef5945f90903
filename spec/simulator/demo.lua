--- Who and what the demo shows: one table of people, and their clusters.
local demo = {}

demo.NAMESPACE = "domino-compute"
--- The service account that the service runs as, and one that may do everything, for whoever plays Domino.
demo.SERVICE_ACCOUNT_TOKEN = "simulator-service-account-token"
demo.CLUSTER_ADMIN_TOKEN = "simulator-cluster-admin-token"

--- What the service may do: what the recordings were made with.
demo.SERVICE_ACCOUNT = {
  user = "system:serviceaccount:domino-field:rayclusterscaler",
  rules = { { namespace = demo.NAMESPACE, resources = { "rayclusters" },
    verbs = { "get", "list", "watch", "patch" } } },
}

--- Each token works as an API key and as a bearer token.
demo.identities = {
  { role = "admin", name = "ada_admin", token = "demo-admin-token", id = "5d1f1622fdfe52c4e28e6001" },
  { role = "user", name = "uma_user", token = "demo-uma-token", id = "5d1f1622fdfe52c4e28e60d8" },
  { role = "user", name = "urs_user", token = "demo-urs-token", id = "60aa0b1cfe0e4b7d9c1c2d3e" },
}

local uma <const> = demo.identities[2].id
local urs <const> = demo.identities[3].id

demo.clusters = {
  { name = "ray-655cb2de368ad4624b1e7d01", owner = uma, workers = 2 },
  { name = "ray-655cb2de368ad4624b1e7d02", owner = uma, workers = 1, autoscaling = false },
  { name = "ray-655cb2de368ad4624b1e7d03", owner = urs, workers = 3 },
  { name = "ray-655cb2de368ad4624b1e7d04", workers = 1 },
}

return demo
