--- The resources that the simulator knows, by their plural name.
local GROUP <const> = "distributed-compute.dominodatalab.com"

local function cluster(kind, app, head)
  return {
    group = GROUP, version = "v1alpha1", kind = kind, plural = kind:lower() .. "s", singular = kind:lower(),
    app = app, head = head,
  }
end

local resources = {
  rayclusters = cluster("RayCluster", "ray", "head"),
  daskclusters = cluster("DaskCluster", "dask", "scheduler"),
  sparkclusters = cluster("SparkCluster", "spark", "master"),
  mpiclusters = cluster("MPICluster", "mpi", nil),
  pods = { group = "", version = "v1", kind = "Pod", plural = "pods", singular = "pod" },
  namespaces = { group = "", version = "v1", kind = "Namespace", plural = "namespaces", singular = "namespace",
    cluster_scoped = true },
  customresourcedefinitions = { group = "apiextensions.k8s.io", version = "v1", kind = "CustomResourceDefinition",
    plural = "customresourcedefinitions", singular = "customresourcedefinition", cluster_scoped = true },
}

for _, resource in pairs(resources) do
  resource.api_version = resource.group == "" and resource.version or resource.group .. "/" .. resource.version
  resource.qualified = resource.group == "" and resource.plural or resource.plural .. "." .. resource.group
  resource.qualified_kind = resource.group == "" and resource.kind or resource.kind .. "." .. resource.group
end

return { GROUP = GROUP, by_plural = resources }
