#include "generation.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "answers.h"
#include "clock.h"
#include "decision_log.h"

enum { STREAM_POLL_MS = 5 };

struct generation {
    atomic_uint references;
    struct host *host;
    struct bundle *bundle;
    const struct profile *profile;
    pthread_mutex_t mutex;
    pthread_cond_t returned;
    struct runtime **idle; /* a stack: the state used last is the warmest */
    int idle_count;
    int state_count;
    int waiting;             /* requests that found every state busy */
    bool retired;            /* no longer current: states go as soon as nobody needs them */
    struct answers *answers; /* NULL in the simulator, whose handler keeps a state */
};

const struct bundle *generation_bundle(const struct generation *generation) {
    return generation->bundle;
}

static void generation_free(struct generation *generation) {
    for (int i = 0; i < generation->idle_count; i++)
        runtime_close(generation->idle[i]);
    free(generation->idle);
    answers_free(generation->answers);
    bundle_release(generation->bundle);
    pthread_cond_destroy(&generation->returned);
    pthread_mutex_destroy(&generation->mutex);
    free(generation);
}

struct generation *generation_open(struct host *host, struct bundle *bundle, const struct profile *profile,
                                   struct buffer *error) {
    struct generation *generation = calloc(1, sizeof *generation);
    struct runtime **idle = calloc((size_t)profile->max_states, sizeof *idle);
    struct answers *answers = profile->simulator ? NULL : answers_new(host->cache);
    bool complete = generation && idle && (answers || profile->simulator);
    struct runtime *first = complete ? runtime_open(host, bundle, profile, error) : NULL;
    if (!first) {
        if (!complete)
            buffer_text(error, "out of memory");
        answers_free(answers);
        free(generation);
        free(idle);
        return NULL;
    }
    atomic_init(&generation->references, 1);
    generation->host = host;
    generation->bundle = bundle_reference(bundle);
    generation->profile = profile;
    generation->answers = answers;
    generation->idle = idle;
    generation->idle[generation->idle_count++] = first;
    generation->state_count = 1;
    pthread_mutex_init(&generation->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&generation->returned, &attributes);
    pthread_condattr_destroy(&attributes);
    return generation;
}

/* A state of one's own: an idle one, a new one, or the next that is given back. NULL past the deadline or when no new
   one can be made. */
static struct runtime *take(struct generation *generation, int64_t deadline_ms) {
    struct timespec until = {deadline_ms / 1000, deadline_ms % 1000 * 1000000};
    pthread_mutex_lock(&generation->mutex);
    generation->waiting++;
    while (generation->idle_count == 0 && generation->state_count >= generation->profile->max_states)
        if (pthread_cond_timedwait(&generation->returned, &generation->mutex, &until) == ETIMEDOUT)
            break;
    generation->waiting--;
    struct runtime *runtime = NULL;
    bool make = false;
    if (generation->idle_count > 0) {
        runtime = generation->idle[--generation->idle_count];
    } else if (generation->state_count < generation->profile->max_states) {
        generation->state_count++;
        make = true;
    }
    pthread_mutex_unlock(&generation->mutex);
    if (!make)
        return runtime;
    struct buffer ignored = {0}; /* the first state loaded from the same bytes: this is want of memory */
    runtime = runtime_open(generation->host, generation->bundle, generation->profile, &ignored);
    buffer_free(&ignored);
    if (!runtime) {
        pthread_mutex_lock(&generation->mutex);
        generation->state_count--;
        pthread_cond_signal(&generation->returned);
        pthread_mutex_unlock(&generation->mutex);
    }
    return runtime;
}

static void give(struct generation *generation, struct runtime *runtime, bool reusable) {
    pthread_mutex_lock(&generation->mutex);
    if (reusable && (!generation->retired || generation->waiting > 0)) {
        generation->idle[generation->idle_count++] = runtime;
        runtime = NULL;
    } else {
        generation->state_count--;
    }
    pthread_cond_signal(&generation->returned);
    pthread_mutex_unlock(&generation->mutex);
    runtime_close(runtime);
}

/* Closes the idle states here and now, so that no request pays for it later. */
static void retire(struct generation *generation) {
    struct runtime *runtime;
    do {
        pthread_mutex_lock(&generation->mutex);
        generation->retired = true;
        runtime = generation->idle_count > 0 ? generation->idle[--generation->idle_count] : NULL;
        generation->state_count -= runtime != NULL;
        pthread_mutex_unlock(&generation->mutex);
        runtime_close(runtime);
    } while (runtime);
}

/* A streaming answer: its function lives in one state, which it borrows for each step. */
struct stream {
    struct generation *generation;
    struct runtime *runtime;
    int function;
};

static enum stream_step stream_step(void *context, struct buffer *chunk) {
    struct stream *stream = context;
    struct runtime *runtime = take(stream->generation, clock_monotonic_ms() + 60000);
    if (!runtime)
        return STREAM_ABORT;
    enum stream_step step = STREAM_ABORT; /* the state was lost to a limit, and the stream with it */
    if (runtime == stream->runtime)
        step = runtime_stream_step(runtime, stream->function, chunk);
    give(stream->generation, runtime, true);
    if (step == STREAM_WAIT) {
        struct timespec pause = {0, STREAM_POLL_MS * 1000000};
        nanosleep(&pause, NULL);
    }
    return step;
}

static void stream_free(void *context) {
    struct stream *stream = context;
    struct runtime *runtime = take(stream->generation, clock_monotonic_ms() + 60000);
    if (runtime) {
        if (runtime == stream->runtime)
            runtime_stream_drop(runtime, stream->function);
        give(stream->generation, runtime, true);
    }
    generation_release(stream->generation);
    free(stream);
}

static void attach_stream(struct generation *generation, struct runtime *runtime, struct response *response) {
    int function = runtime_stream_take(runtime);
    if (!function)
        return;
    struct stream *stream = malloc(sizeof *stream);
    if (!stream) {
        runtime_stream_drop(runtime, function);
        response->failed = true;
        return;
    }
    atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
    *stream = (struct stream){generation, runtime, function};
    response->stream = stream_step;
    response->stream_context = stream;
    response->stream_free = stream_free;
}

/* Runs the handler in a state of its own for the time. */
static void run(struct generation *generation, const struct request *request, struct response *response,
                struct trace *trace) {
    struct runtime *runtime = take(generation, request->call->deadline_ms);
    if (!runtime) {
        response_problem(response, 503, "overloaded", "The service is busy; try again in a moment.",
                         request->call->request_id);
        response_header(response, "Retry-After", "1");
        return;
    }
    bool reusable = runtime_serve(runtime, request, response, trace);
    if (reusable)
        attach_stream(generation, runtime, response);
    give(generation, runtime, reusable);
}

/* Of the answers that are known as of all others, the decision log wants its sample. When it is not known what was
   decided, the script runs. Takes over the reference. */
static bool use(const struct generation *generation, const struct request *request, struct response *response,
                struct bytes *decisions) {
    bool wanted = decision_log_wanted(true), known = !wanted || decisions;
    if (wanted && decisions)
        decision_log_write_all(request->call, (struct span){decisions->data, decisions->length});
    bytes_release(decisions);
    if (known) {
        answers_used(generation->answers);
    } else {
        response_clear(response);
        request->call->view_wanted = true;
    }
    return known;
}

bool generation_recall(struct generation *generation, const struct request *request, struct response *response) {
    struct bytes *decisions = NULL;
    return generation->answers && answers_recall(generation->answers, request, response, &decisions) &&
           use(generation, request, response, decisions);
}

static void finish(const struct generation *generation, struct response *response) {
    response_header(response, "X-Policy-Revision", generation->bundle->revision);
    response_complete(response);
}

void generation_serve(struct generation *generation, const struct request *request, struct response *response) {
    struct answers *answers = generation->answers;
    struct answer_key key = {0};
    if (!answers) {
        run(generation, request, response, NULL);
        return;
    }
    struct bytes *decisions = NULL;
    if (request->call->view_wanted)
        answers_expect(answers, request, &key);
    else if (answers_find(answers, request, response, &key, &decisions) &&
             use(generation, request, response, decisions))
        return;
    struct trace trace = {0};
    run(generation, request, response, &trace);
    finish(generation, response);
    answers_keep(answers, &key, &trace, response);
    trace_clear(&trace);
}

void generation_release(struct generation *generation) {
    if (generation && atomic_fetch_sub_explicit(&generation->references, 1, memory_order_acq_rel) == 1)
        generation_free(generation);
}

struct slot {
    pthread_mutex_t mutex; /* held for a pointer copy and a count */
    struct generation *current;
};

struct slot *slot_new(void) {
    struct slot *slot = calloc(1, sizeof *slot);
    if (slot)
        pthread_mutex_init(&slot->mutex, NULL);
    return slot;
}

void slot_publish(struct slot *slot, struct generation *generation) {
    pthread_mutex_lock(&slot->mutex);
    struct generation *old = slot->current;
    if (old && generation && generation->answers)
        answers_inherit(generation->answers, old->answers);
    slot->current = generation;
    pthread_mutex_unlock(&slot->mutex);
    if (old)
        retire(old);
    generation_release(old);
}

struct generation *slot_acquire(struct slot *slot) {
    pthread_mutex_lock(&slot->mutex);
    struct generation *generation = slot->current;
    if (generation)
        atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&slot->mutex);
    return generation;
}

void slot_free(struct slot *slot) {
    if (!slot)
        return;
    slot_publish(slot, NULL);
    pthread_mutex_destroy(&slot->mutex);
    free(slot);
}
