#include "trace.h"

#include <string.h>
#include <strings.h>

void trace_refuse(struct trace *trace) {
    if (trace)
        trace->refused = true;
}

void trace_header(struct trace *trace, const char *name) {
    if (!trace || trace->refused)
        return;
    for (size_t i = 0; i < trace->header_count; i++)
        if (strcasecmp(trace->headers[i], name) == 0)
            return;
    if (trace->header_count == TRACE_MAX_HEADERS || strlen(name) >= TRACE_MAX_NAME_BYTES)
        trace->refused = true;
    else
        strcpy(trace->headers[trace->header_count++], name);
}

/* A place for one more source; NULL when the run is not to be remembered. */
static struct source *add_source(struct trace *trace, enum source_kind kind) {
    if (!trace || trace->refused)
        return NULL;
    if (trace->source_count == TRACE_MAX_SOURCES) {
        trace->refused = true;
        return NULL;
    }
    struct source *source = &trace->sources[trace->source_count++];
    *source = (struct source){.kind = kind};
    return source;
}

void trace_cached(struct trace *trace, const struct cache_key *key, struct bytes *value) {
    struct source *source = add_source(trace, SOURCE_CACHED);
    if (!source)
        return;
    source->key = *key;
    source->value = bytes_reference(value);
}

void trace_object(struct trace *trace, struct kube_cache *copy, struct kube_object *object) {
    struct source *source = add_source(trace, SOURCE_OBJECT);
    if (!source)
        return;
    source->copy = kube_cache_reference(copy);
    source->object = kube_object_reference(object);
}

void trace_decision(struct trace *trace, struct span members) {
    if (!trace || trace->refused)
        return;
    buffer_append(&trace->decisions, members.data, members.length);
    buffer_append(&trace->decisions, "\n", 1);
}

void trace_decisions_lost(struct trace *trace) {
    if (trace)
        trace->decisions.failed = true;
}

void trace_list(struct trace *trace, struct kube_cache *copy, uint64_t version) {
    struct source *source = add_source(trace, SOURCE_LIST);
    if (!source)
        return;
    source->copy = kube_cache_reference(copy);
    source->version = version;
}

/* Where nothing has changed at all, this did not. */
static bool object_holds(struct source *source) {
    struct kube_store *store = kube_cache_store(source->copy);
    uint64_t version = store ? kube_store_changes(store) : 0;
    if (!store || version == source->version)
        return store;
    struct kube_object *now = NULL;
    kube_store_get(store, source->object->name, source->object->namespace, &now);
    bool same = now == source->object;
    kube_object_release(now);
    source->version = same ? version : 0;
    return same;
}

bool source_holds(struct source *source, struct cache *cache) {
    struct kube_store *store;
    switch (source->kind) {
    case SOURCE_CACHED:
        return cache_holds(cache, &source->key, source->value);
    case SOURCE_OBJECT:
        return object_holds(source);
    case SOURCE_LIST:
        store = kube_cache_store(source->copy);
        return store && kube_store_changes(store) == source->version;
    }
    return false;
}

void source_release(struct source *source) {
    bytes_release(source->value);
    kube_object_release(source->object);
    kube_cache_close(source->copy);
}

void trace_clear(struct trace *trace) {
    for (size_t i = 0; i < trace->source_count; i++)
        source_release(&trace->sources[i]);
    buffer_free(&trace->decisions);
    *trace = (struct trace){0};
}
