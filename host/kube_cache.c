#include "kube_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"

struct kube_cache {
    struct kube_cache *next;
    struct kube_caches *caches;
    struct kube_resource *resource;
    char *index_label; /* NULL for none */
    struct kube_store *store;
    struct kube_watch *watch;
    atomic_int_least64_t doubt_until_ms;
    unsigned references;
    int64_t unused_since_ms;
};

struct kube_caches {
    struct kube *kube;
    int64_t max_stale_ms;
    struct kube_watch_timing timing;
    pthread_mutex_t mutex; /* guards what follows, and each copy's references */
    struct kube_cache *first;
    bool was_ready;
};

struct kube_caches *kube_caches_new(struct kube *kube, int64_t max_stale_ms, const struct kube_watch_timing *timing) {
    struct kube_caches *caches = calloc(1, sizeof *caches);
    if (!caches)
        return NULL;
    caches->kube = kube;
    caches->max_stale_ms = max_stale_ms;
    caches->timing = timing ? *timing : kube_watch_defaults;
    pthread_mutex_init(&caches->mutex, NULL);
    return caches;
}

static void free_cache(struct kube_cache *cache) {
    kube_watch_stop(cache->watch);
    kube_store_free(cache->store);
    kube_resource_free(cache->resource);
    free(cache->index_label);
    free(cache);
}

static void free_all(struct kube_cache *cache) {
    for (struct kube_cache *each = cache; each; each = each->next)
        if (each->watch)
            kube_watch_cancel(each->watch); /* all at once, so that ending takes no longer than the slowest */
    while (cache) {
        struct kube_cache *next = cache->next;
        free_cache(cache);
        cache = next;
    }
}

void kube_caches_free(struct kube_caches *caches) {
    if (!caches)
        return;
    free_all(caches->first);
    pthread_mutex_destroy(&caches->mutex);
    free(caches);
}

/* Takes out of the list, under the mutex, what has been unused for long. */
static struct kube_cache *take_unused(struct kube_caches *caches) {
    struct kube_cache *unused = NULL, **link = &caches->first;
    int64_t now = clock_monotonic_ms();
    while (*link) {
        struct kube_cache *cache = *link;
        if (cache->references || now - cache->unused_since_ms < KUBE_CACHE_UNUSED_MS) {
            link = &cache->next;
            continue;
        }
        *link = cache->next;
        cache->next = unused;
        unused = cache;
    }
    return unused;
}

/* ---- Opening ---- */

static bool same_label(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct kube_cache *find(struct kube_caches *caches, const struct kube_resource *resource, const char *label) {
    struct kube_cache *cache = caches->first;
    while (cache && (strcmp(cache->resource->path, resource->path) != 0 || !same_label(cache->index_label, label)))
        cache = cache->next;
    return cache;
}

static struct kube_cache *add(struct kube_caches *caches, const struct kube_resource *resource, const char *label) {
    const char *wrong;
    struct kube_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->caches = caches;
    cache->resource =
        kube_resource_new(resource->group, resource->version, resource->plural, resource->namespace, &wrong);
    cache->index_label = label ? strdup(label) : NULL;
    cache->store = kube_store_new(label);
    if (cache->resource && cache->store && (cache->index_label || !label))
        cache->watch = kube_watch_start(caches->kube, cache->resource, cache->store, &caches->timing);
    if (!cache->watch) {
        free_cache(cache);
        return NULL;
    }
    cache->next = caches->first;
    caches->first = cache;
    return cache;
}

struct kube_cache *kube_cache_open(struct kube_caches *caches, const struct kube_resource *resource,
                                   const char *index_label) {
    pthread_mutex_lock(&caches->mutex);
    struct kube_cache *cache = find(caches, resource, index_label);
    if (!cache)
        cache = add(caches, resource, index_label);
    if (cache)
        cache->references++;
    struct kube_cache *unused = take_unused(caches);
    pthread_mutex_unlock(&caches->mutex);
    free_all(unused);
    return cache;
}

struct kube_cache *kube_cache_reference(struct kube_cache *cache) {
    pthread_mutex_lock(&cache->caches->mutex);
    cache->references++;
    pthread_mutex_unlock(&cache->caches->mutex);
    return cache;
}

void kube_cache_close(struct kube_cache *cache) {
    if (!cache)
        return;
    struct kube_caches *caches = cache->caches;
    pthread_mutex_lock(&caches->mutex);
    if (--cache->references == 0)
        cache->unused_since_ms = clock_monotonic_ms();
    pthread_mutex_unlock(&caches->mutex);
}

/* ---- Reading and writing ---- */

struct kube_store *kube_cache_store(struct kube_cache *cache) {
    if (kube_watch_age_ms(cache->watch) > cache->caches->max_stale_ms)
        return NULL;
    int64_t doubt_until_ms = atomic_load(&cache->doubt_until_ms);
    return doubt_until_ms && clock_monotonic_ms() < doubt_until_ms ? NULL : cache->store;
}

bool kube_cache_answered(struct kube_cache *cache, struct kube_object *object) {
    return kube_store_patched(cache->store, object);
}

void kube_cache_doubt(struct kube_cache *cache) {
    atomic_store(&cache->doubt_until_ms, clock_monotonic_ms() + cache->caches->max_stale_ms);
}

/* ---- What it tells of itself ---- */

static void append_name(const struct kube_resource *resource, struct buffer *out) {
    buffer_format(out, "%s%s%s", resource->plural, *resource->group ? "." : "", resource->group);
}

static void append_reason(struct kube_cache *cache, const struct kube_watch_state *state, struct buffer *out) {
    struct buffer text = {0};
    append_name(cache->resource, &text);
    buffer_format(&text, " in %s: ", *cache->resource->namespace ? cache->resource->namespace : "all namespaces");
    buffer_text(&text, state->error[0] ? state->error : "being listed");
    buffer_text(out, out->length ? "," : "");
    if (!text.failed)
        buffer_json_string(out, text.data, text.length);
    buffer_free(&text);
}

void kube_caches_reasons(struct kube_caches *caches, struct buffer *out) {
    bool used = false, ready = true;
    pthread_mutex_lock(&caches->mutex);
    for (struct kube_cache *cache = caches->first; cache && !caches->was_ready; cache = cache->next) {
        struct kube_watch_state state;
        if (!cache->references)
            continue;
        used = true;
        kube_watch_state(cache->watch, &state);
        if (!state.listed) {
            ready = false;
            append_reason(cache, &state, out);
        }
    }
    if (used && ready)
        caches->was_ready = true;
    struct kube_cache *unused = take_unused(caches);
    pthread_mutex_unlock(&caches->mutex);
    free_all(unused);
}

static void append_state(struct kube_cache *cache, struct buffer *out) {
    struct kube_watch_state state;
    kube_watch_state(cache->watch, &state);
    buffer_text(out, "{\"resource\":\"");
    append_name(cache->resource, out);
    buffer_format(out, "\",\"namespace\":\"%s\",\"listed\":%s,\"up\":%s,\"lag_ms\":%lld,\"objects\":%zu",
                  cache->resource->namespace, state.listed ? "true" : "false", state.up ? "true" : "false",
                  (long long)state.lag_ms, kube_store_count(cache->store));
    buffer_format(out, ",\"lists\":%llu,\"streams\":%llu,\"events\":%llu,\"read\":%s,\"error\":",
                  (unsigned long long)state.lists, (unsigned long long)state.streams, (unsigned long long)state.events,
                  kube_cache_store(cache) ? "true" : "false");
    if (state.error[0])
        buffer_json_string(out, state.error, strlen(state.error));
    else
        buffer_text(out, "null");
    buffer_text(out, "}");
}

void kube_caches_document(struct kube_caches *caches, struct buffer *out) {
    const char *before = "[";
    pthread_mutex_lock(&caches->mutex);
    for (struct kube_cache *cache = caches->first; cache; cache = cache->next) {
        if (!cache->references)
            continue;
        buffer_text(out, before);
        append_state(cache, out);
        before = ",";
    }
    pthread_mutex_unlock(&caches->mutex);
    buffer_text(out, *before == '[' ? "[]" : "]");
}

void kube_caches_observe(struct kube_caches *caches) {
    pthread_mutex_lock(&caches->mutex);
    for (struct kube_cache *cache = caches->first; cache; cache = cache->next)
        kube_watch_observe(cache->watch);
    pthread_mutex_unlock(&caches->mutex);
}
