#include "kube_watch.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "kube_watch_metrics.h"
#include "log.h"
#include "random.h"

enum {
    EVENT_MAX_BYTES = 16 * 1024 * 1024,
    LINE_KEPT_BYTES = 256 * 1024, /* of the line buffer, between events */
    LIST_MS = 120 * 1000,         /* for all pages together */
    USEFUL_STREAM_MS = 1000,      /* a stream that lived so long is no reason to wait before the next */
    PACE_MS = 250,                /* an event that needs longer from its first byte to its last may have more behind it,
                                     a stream that pauses for so long between events has not */
};

const struct kube_watch_timing kube_watch_defaults = {
    .first_pause_ms = 800,
    .longest_pause_ms = 30 * 1000,
    .forgive_ms = 120 * 1000,
    .idle_ms = 50 * 1000, /* API servers send a bookmark about once a minute; a dead peer shows within a minute */
    .page_idle_ms = 30 * 1000,
    .least_stream_s = 300,
    .longest_stream_s = 600,
};

struct kube_watch {
    struct kube *kube;
    const struct kube_resource *resource;
    struct kube_store *store;
    struct kube_watch_timing timing;
    struct kube_watch_metrics metrics;
    pthread_t thread;
    atomic_bool cancel;

    atomic_bool listed, up;
    atomic_int_least64_t down_since_ms;
    atomic_int_least64_t behind_since_ms; /* events come in slowly since then; 0: they do not */
    atomic_int_least64_t quiet_since_ms;  /* there has been nothing behind the last event since then; 0: part of one */

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t woken;
    uint64_t lists, streams, events;
    char error[512];

    /* The thread's own. */
    unsigned troubles; /* in a row */
    int64_t last_trouble_ms;
    int64_t wait_s; /* what the API server asked for last, -1 for nothing */
};

/* ---- State ---- */

/* How far the copy may lag behind: no stream is open, or what it brings comes in slowly. */
static int64_t lag_ms(struct kube_watch *watch) {
    int64_t now = clock_monotonic_ms();
    if (!atomic_load(&watch->up))
        return now - atomic_load(&watch->down_since_ms);
    int64_t behind = atomic_load(&watch->behind_since_ms), quiet = atomic_load(&watch->quiet_since_ms);
    return !behind || (quiet && now - quiet >= PACE_MS) ? 0 : now - behind;
}

static void set_up(struct kube_watch *watch, bool up) {
    if (!up)
        atomic_store(&watch->down_since_ms, clock_monotonic_ms() - lag_ms(watch));
    atomic_store(&watch->behind_since_ms, 0);
    atomic_store(&watch->up, up);
    kube_watch_metrics_up(&watch->metrics, up);
    if (!up)
        return;
    pthread_mutex_lock(&watch->mutex);
    watch->error[0] = '\0';
    pthread_mutex_unlock(&watch->mutex);
}

static void count(struct kube_watch *watch, uint64_t *counter) {
    pthread_mutex_lock(&watch->mutex);
    (*counter)++;
    pthread_mutex_unlock(&watch->mutex);
}

/* verb: what was tried, "list" or "watch". */
static void note_trouble(struct kube_watch *watch, const char *verb, const struct kube_failure *failure) {
    char text[sizeof watch->error];
    if (failure->code == KUBE_FORBIDDEN)
        snprintf(text, sizeof text, "missing the right to %s %s in namespace %s: %.256s", verb,
                 watch->metrics.group_resource, watch->resource->namespace, failure->message);
    else
        snprintf(text, sizeof text, "%s: %.400s", kube_code_name(failure->code), failure->message);
    watch->wait_s = failure->retry_after;
    pthread_mutex_lock(&watch->mutex);
    memcpy(watch->error, text, sizeof text);
    pthread_mutex_unlock(&watch->mutex);
    kube_watch_metrics_trouble(&watch->metrics, verb, kube_code_name(failure->code));
    log_line(LOG_WARN, "cannot %s %s: %s", verb, watch->resource->plural, text);
}

/* ---- Pauses ---- */

static void wait_until(struct kube_watch *watch, int64_t until_ms) {
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&watch->mutex);
    while (!atomic_load(&watch->cancel) && clock_monotonic_ms() < until_ms)
        pthread_cond_timedwait(&watch->woken, &watch->mutex, &until);
    pthread_mutex_unlock(&watch->mutex);
}

int64_t kube_watch_longest_pause_ms(const struct kube_watch_timing *timing, unsigned troubles) {
    int64_t longest = timing->first_pause_ms;
    for (unsigned i = 0; i < troubles && longest < timing->longest_pause_ms; i++)
        longest *= 2;
    return longest < timing->longest_pause_ms ? longest : timing->longest_pause_ms;
}

/* Before the next attempt after trouble: full jitter, never less than the API server asked for. */
static void pause_after_trouble(struct kube_watch *watch) {
    int64_t now = clock_monotonic_ms();
    if (now - watch->last_trouble_ms > watch->timing.forgive_ms)
        watch->troubles = 0;
    int64_t pause = random_below(kube_watch_longest_pause_ms(&watch->timing, watch->troubles) + 1);
    if (watch->wait_s > 0 && pause < watch->wait_s * 1000)
        pause = watch->wait_s * 1000 + pause % 1000;
    watch->troubles++;
    watch->last_trouble_ms = now;
    watch->wait_s = -1;
    wait_until(watch, now + pause);
}

/* ---- List ---- */

static bool list_all(struct kube_watch *watch) {
    int64_t began_us = clock_monotonic_us(), began_ms = began_us / 1000;
    struct kube_caller caller = {.kube = watch->kube,
                                 .deadline_ms = began_ms + LIST_MS,
                                 .cancel = &watch->cancel,
                                 .idle_timeout_ms = watch->timing.page_idle_ms};
    struct kube_list list;
    struct kube_failure failure;
    if (!kube_list(&caller, watch->resource, "", "", true, kube_store_index_label(watch->store), &list, &failure)) {
        if (!atomic_load(&watch->cancel))
            note_trouble(watch, "list", &failure);
        kube_failure_free(&failure);
        return false;
    }
    bool done = kube_store_replace(watch->store, &list);
    kube_list_free(&list);
    if (!done) {
        kube_failure_set(&failure, KUBE_UNAVAILABLE, "out of memory");
        note_trouble(watch, "list", &failure);
        return false;
    }
    count(watch, &watch->lists);
    kube_watch_metrics_listed(&watch->metrics, kube_store_count(watch->store), clock_monotonic_us() - began_us);
    atomic_store(&watch->down_since_ms, began_ms); /* what the list shows is as old as its first page */
    atomic_store(&watch->listed, true);
    return true;
}

/* ---- Watch ---- */

struct stream {
    struct kube_watch *watch;
    struct buffer line; /* the beginning of an event whose end has not come yet */
    int64_t began_ms;   /* when that came */
    bool opened;
    bool useful; /* brought something */
    bool stale;  /* the copy must be listed anew */
    bool failed; /* failure says why it ended */
    struct kube_failure failure;
};

static bool fail(struct stream *stream, enum kube_code code, const char *message) {
    kube_failure_set(&stream->failure, code, message);
    stream->failed = true;
    stream->stale = true;
    return false;
}

static bool on_line(struct stream *stream, struct span line) {
    struct kube_watch *watch = stream->watch;
    if (line.length == 0)
        return true;
    enum kube_event event = kube_store_event(watch->store, line, &stream->failure);
    switch (event) {
    case KUBE_EVENT_CHANGE:
    case KUBE_EVENT_BOOKMARK:
        stream->useful = true;
        count(watch, &watch->events);
        kube_watch_metrics_event(&watch->metrics, event, kube_store_count(watch->store));
        return true;
    case KUBE_EVENT_UNKNOWN:
        log_line(LOG_WARN, "the watch of %s sent an event of a type that is not known", watch->resource->plural);
        return true;
    case KUBE_EVENT_ERROR:
        stream->failed = true;
        stream->stale = true;
        return false;
    case KUBE_EVENT_MALFORMED:
        return fail(stream, KUBE_BAD_ANSWER, "the watch sent something that is no event");
    case KUBE_EVENT_MEMORY:
        break;
    }
    return fail(stream, KUBE_BAD_ANSWER, "out of memory");
}

static bool read_lines(struct stream *stream, const char *data, size_t length) {
    while (length) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;
        bool whole = end && stream->line.length == 0;
        if (!whole)
            buffer_append(&stream->line, data, part);
        if (stream->line.failed || stream->line.length > EVENT_MAX_BYTES)
            return fail(stream, KUBE_BAD_ANSWER, "an event of the watch is too large");
        if (end) {
            struct span line = {stream->line.data, stream->line.length};
            if (!on_line(stream, whole ? (struct span){data, part} : line))
                return false;
            if (stream->line.capacity > LINE_KEPT_BYTES)
                buffer_free(&stream->line);
            else
                buffer_clear(&stream->line);
            part++;
        }
        data += part;
        length -= part;
    }
    return true;
}

/* Bytes that keep coming are no sign of life where they make no events, or one only now and then. */
static bool keeps_pace(struct stream *stream, bool ended) {
    struct kube_watch *watch = stream->watch;
    int64_t now = clock_monotonic_ms(), quiet = atomic_load(&watch->quiet_since_ms);
    int64_t behind = atomic_load(&watch->behind_since_ms);
    bool partial = stream->line.length > 0;
    if (quiet)
        stream->began_ms = now;
    if ((quiet && now - quiet >= PACE_MS) || (ended && now - stream->began_ms < PACE_MS))
        behind = 0;
    if (ended)
        stream->began_ms = now;
    if (partial && !behind)
        behind = now;
    atomic_store(&watch->quiet_since_ms, partial ? 0 : now);
    atomic_store(&watch->behind_since_ms, behind);
    return !behind || now - behind < watch->timing.idle_ms ||
           fail(stream, KUBE_TIMEOUT, "events of the watch come in too slowly");
}

/* Once with nothing when the answer has begun, then with its bytes. */
static bool on_bytes(void *context, const char *data, size_t length) {
    struct stream *stream = context;
    if (!stream->opened) {
        stream->opened = true;
        atomic_store(&stream->watch->quiet_since_ms, clock_monotonic_ms());
        set_up(stream->watch, true);
    }
    bool ended = length && memchr(data, '\n', length);
    return read_lines(stream, data, length) && keeps_pace(stream, ended);
}

static void append_watch_path(struct kube_watch *watch, struct buffer *path) {
    const struct kube_watch_timing *timing = &watch->timing;
    char version[64];
    int64_t seconds = timing->least_stream_s + random_below(timing->longest_stream_s - timing->least_stream_s + 1);
    kube_store_version(watch->store, version, sizeof version);
    buffer_format(path,
                  "%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=%lld&resourceVersion=", watch->resource->path,
                  (long long)seconds);
    kube_query_escape(path, version);
}

/* What a stream that ended leaves to be done: true when the next one may follow at once. */
static bool judge(struct stream *stream, const struct http_exchange *exchange, int64_t lived_ms) {
    struct kube_watch *watch = stream->watch;
    bool answered = exchange->failure == HTTP_OK && exchange->status >= 200 && exchange->status < 300;
    if (atomic_load(&watch->cancel))
        return true;
    if (!stream->failed && !answered) {
        kube_failure_read(&stream->failure, exchange);
        stream->failed = true;
        /* An answer that is neither about us nor about the API server's state is about what we asked for. */
        enum kube_code code = stream->failure.code;
        if (exchange->failure == HTTP_OK)
            stream->stale = code != KUBE_UNAUTHORIZED && code != KUBE_FORBIDDEN && code != KUBE_THROTTLED &&
                            code != KUBE_UNAVAILABLE;
    }
    bool lived = stream->opened && (stream->useful || lived_ms >= USEFUL_STREAM_MS);
    if (!stream->failed)
        return lived;
    /* A stream that was cut or fell silent after it had lived is nothing to wait for. */
    bool cut = exchange->failure != HTTP_OK && lived;
    if (cut)
        log_line(LOG_DEBUG, "the watch of %s ended: %s", watch->resource->plural, stream->failure.message);
    else
        note_trouble(watch, "watch", &stream->failure);
    return cut;
}

/* Sets *stale when the copy must be listed anew; true when the next attempt may follow at once. */
static bool watch_once(struct kube_watch *watch, bool *stale) {
    struct stream stream = {.watch = watch};
    struct http_exchange exchange = {.method = "GET"};
    struct buffer path = {0};
    int64_t began_ms = clock_monotonic_ms();
    append_watch_path(watch, &path);
    if (path.failed)
        return false;
    count(watch, &watch->streams);
    kube_stream(watch->kube, path.data, &exchange, watch->timing.idle_ms, on_bytes, &stream, &watch->cancel);
    if (stream.opened)
        set_up(watch, false);
    bool at_once = judge(&stream, &exchange, clock_monotonic_ms() - began_ms);
    *stale = stream.stale;
    if (stream.failed)
        kube_failure_free(&stream.failure);
    buffer_free(&stream.line);
    buffer_free(&path);
    http_exchange_free(&exchange);
    return at_once;
}

static void *run(void *context) {
    struct kube_watch *watch = context;
    bool stale = true;
    while (!atomic_load(&watch->cancel)) {
        bool at_once;
        if (stale) {
            at_once = list_all(watch);
            stale = !at_once;
        } else {
            at_once = watch_once(watch, &stale);
        }
        if (!at_once && !atomic_load(&watch->cancel))
            pause_after_trouble(watch);
    }
    return NULL;
}

/* ---- The interface ---- */

struct kube_watch *kube_watch_start(struct kube *kube, const struct kube_resource *resource, struct kube_store *store,
                                    const struct kube_watch_timing *timing) {
    struct kube_watch *watch = calloc(1, sizeof *watch);
    pthread_condattr_t monotonic;
    if (!watch)
        return NULL;
    watch->kube = kube;
    watch->resource = resource;
    watch->store = store;
    watch->timing = *timing;
    watch->wait_s = -1;
    atomic_init(&watch->down_since_ms, clock_monotonic_ms());
    kube_watch_metrics_open(&watch->metrics, resource);
    pthread_mutex_init(&watch->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (pthread_create(&watch->thread, NULL, run, watch) == 0)
        return watch;
    pthread_cond_destroy(&watch->woken);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
    return NULL;
}

void kube_watch_cancel(struct kube_watch *watch) {
    pthread_mutex_lock(&watch->mutex);
    atomic_store(&watch->cancel, true);
    pthread_cond_signal(&watch->woken);
    pthread_mutex_unlock(&watch->mutex);
}

void kube_watch_stop(struct kube_watch *watch) {
    if (!watch)
        return;
    kube_watch_cancel(watch);
    pthread_join(watch->thread, NULL);
    kube_watch_metrics_close(&watch->metrics);
    pthread_cond_destroy(&watch->woken);
    pthread_mutex_destroy(&watch->mutex);
    free(watch);
}

void kube_watch_state(struct kube_watch *watch, struct kube_watch_state *state) {
    state->listed = atomic_load(&watch->listed);
    state->up = atomic_load(&watch->up);
    state->lag_ms = lag_ms(watch);
    pthread_mutex_lock(&watch->mutex);
    state->lists = watch->lists;
    state->streams = watch->streams;
    state->events = watch->events;
    memcpy(state->error, watch->error, sizeof state->error);
    pthread_mutex_unlock(&watch->mutex);
}

int64_t kube_watch_age_ms(struct kube_watch *watch) {
    return atomic_load(&watch->listed) ? lag_ms(watch) : INT64_MAX;
}

void kube_watch_observe(struct kube_watch *watch) {
    kube_watch_metrics_age(&watch->metrics, lag_ms(watch));
}
