--- The host's config module for specs without the host.
return {
  domino_nucleus_uri = "http://nucleus.example:80",
  compute_namespace = "domino-compute",
  identity_ttl_seconds = 10,
}
