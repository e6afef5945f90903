/* What one run of a handler has read of the outside: the makings of its answer. While all of it stays as it is, the
   same request has the same answer, because a script keeps nothing from one request to the next and rules are pure.
   Whatever a trace cannot hold on to refuses it, and the answer is not remembered: that is the default. */
#ifndef HOST_TRACE_H
#define HOST_TRACE_H

#include <stdatomic.h>

#include "cache.h"
#include "kube_cache.h"

enum { TRACE_MAX_HEADERS = 8, TRACE_MAX_NAME_BYTES = 64, TRACE_MAX_SOURCES = 4 };

enum source_kind { SOURCE_CACHED, SOURCE_OBJECT, SOURCE_LIST };

struct source {
    enum source_kind kind;
    struct cache_key key;       /* SOURCE_CACHED: where … */
    struct bytes *value;        /* … and what was there; a reference */
    struct kube_cache *copy;    /* the others: a reference … */
    struct kube_object *object; /* … and SOURCE_OBJECT: what was there; a reference */
    _Atomic uint64_t version;   /* of the copy, when what was there was last seen to be there */
};

struct trace {
    bool refused;
    size_t header_count;
    char headers[TRACE_MAX_HEADERS][TRACE_MAX_NAME_BYTES];
    size_t source_count;
    struct source sources[TRACE_MAX_SOURCES];
    struct buffer decisions; /* what the run wrote to the decision log, as lines of decision_log_write_all */
};

/* NULL, in all of these, is a run that nobody traces. */
void trace_refuse(struct trace *trace);
void trace_header(struct trace *trace, const char *name);
void trace_cached(struct trace *trace, const struct cache_key *key, struct bytes *value);
void trace_object(struct trace *trace, struct kube_cache *copy, struct kube_object *object);
/* Of a run that the decision log wants to see: all that it decides. */
void trace_decision(struct trace *trace, struct span members);
void trace_decisions_lost(struct trace *trace); /* not all of them are known */
void trace_list(struct trace *trace, struct kube_cache *copy, uint64_t version);

/* Is what was read still what is there? Threads may ask at the same time. */
bool source_holds(struct source *source, struct cache *cache);
void source_release(struct source *source);
void trace_clear(struct trace *trace);

#endif
