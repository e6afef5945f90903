/* Keeps a copy of one resource up to date: lists it, watches it, and recovers, in a thread of its own. */
#ifndef HOST_KUBE_WATCH_H
#define HOST_KUBE_WATCH_H

#include "kube_store.h"

/* How a watch times itself; the defaults are client-go's. Specs hurry. */
struct kube_watch_timing {
    int64_t first_pause_ms, longest_pause_ms; /* between attempts: doubled each time, with full jitter */
    int64_t forgive_ms;                       /* without trouble for so long, pauses begin at the first again */
    int64_t idle_ms;      /* a stream without a byte for so long is dead, or without an event's end */
    int64_t page_idle_ms; /* and so is a list's page */
    int64_t least_stream_s, longest_stream_s; /* the API server is asked to end a stream after a time between them */
};
extern const struct kube_watch_timing kube_watch_defaults;

/* Before the next attempt after so many troubles in a row there is a random pause of up to this. */
int64_t kube_watch_longest_pause_ms(const struct kube_watch_timing *timing, unsigned troubles);

struct kube_watch_state {
    bool listed;    /* the copy has been complete once */
    bool up;        /* a stream is open */
    int64_t lag_ms; /* how far the copy may lag behind: how long no stream is open, or one brings no whole event */
    uint64_t lists, streams, events;
    char error[512]; /* the last trouble; "" while a stream is open */
};

struct kube_watch;

/* All arguments outlive the watch. NULL when memory or threads are exhausted. */
struct kube_watch *kube_watch_start(struct kube *kube, const struct kube_resource *resource, struct kube_store *store,
                                    const struct kube_watch_timing *timing);
void kube_watch_cancel(struct kube_watch *watch); /* returns at once */
void kube_watch_stop(struct kube_watch *watch);   /* waits for the thread to end; NULL is fine */

void kube_watch_state(struct kube_watch *watch, struct kube_watch_state *state);
/* The same, INT64_MAX before the first list. */
int64_t kube_watch_age_ms(struct kube_watch *watch);
/* Brings the metric of how far the copy may lag up to date. */
void kube_watch_observe(struct kube_watch *watch);

#endif
