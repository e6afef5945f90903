/* The process-wide services that bindings use; made by main.c, alive until the last Lua state is closed. */
#ifndef HOST_HOST_H
#define HOST_HOST_H

struct config;
struct cache;
struct http_client;
struct kube;
struct kube_caches;

struct host {
    const struct config *config;
    struct cache *cache;
    struct http_client *http;
    struct kube *kube;               /* kube_client.h; NULL in the simulator */
    struct kube_caches *kube_caches; /* NULL where there is no kube, and where everything is read afresh */
};

#endif
