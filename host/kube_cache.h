/* The copies of Kubernetes resources that this process keeps, each watched once however many Lua states read it. */
#ifndef HOST_KUBE_CACHE_H
#define HOST_KUBE_CACHE_H

#include "kube_watch.h"

enum { KUBE_CACHE_UNUSED_MS = 60 * 1000 }; /* a copy that nobody uses goes after so long: states come and go */

struct kube_caches;
struct kube_cache;

/* A copy older than max_stale_ms is not read. timing NULL: the defaults. kube outlives it. */
struct kube_caches *kube_caches_new(struct kube *kube, int64_t max_stale_ms, const struct kube_watch_timing *timing);
void kube_caches_free(struct kube_caches *caches); /* once every copy is closed; ends the watches. NULL is fine */

/* Why the process is not ready yet, as JSON strings apart by ','; nothing once every copy in use has been complete. One
   that comes into use later delays its own reads only: they go to the API server meanwhile. */
void kube_caches_reasons(struct kube_caches *caches, struct buffer *out);
/* The copies in use and their watches, as a JSON array. */
void kube_caches_document(struct kube_caches *caches, struct buffer *out);
/* Brings those metrics up to date that age by themselves. */
void kube_caches_observe(struct kube_caches *caches);

/* The copy of resource, watched from now on; index_label as for kube_store_new. NULL when memory or threads are
   exhausted. */
struct kube_cache *kube_cache_open(struct kube_caches *caches, const struct kube_resource *resource,
                                   const char *index_label);
struct kube_cache *kube_cache_reference(struct kube_cache *cache); /* to be closed as well */
void kube_cache_close(struct kube_cache *cache);                   /* NULL is fine */

/* The copy, if it may be read now; NULL when reads must go to the API server. */
struct kube_store *kube_cache_store(struct kube_cache *cache);
/* What the API server answered to this process, to a patch above all: later reads show it or something newer. Before
   others see the object. False when that cannot be promised. */
bool kube_cache_answered(struct kube_cache *cache, struct kube_object *object);
/* Something may have changed that the copy does not show yet: reads go to the API server for a while. */
void kube_cache_doubt(struct kube_cache *cache);

#endif
