#include "answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "metrics.h"

enum {
    SLOTS = 1024,
    MAX_HEADERS = 16,             /* names that scripts of one generation may read, all together */
    MAX_BODY_BYTES = 64 * 1024,   /* of one answer */
    MAX_BYTES = 16 * 1024 * 1024, /* of all: they keep objects alive that Kubernetes no longer has */
    MAX_AGE_MS = 60 * 1000,
};

struct answer {
    struct cache_key key;
    int64_t made_ms;
    size_t size;
    struct trace trace; /* the sources only */
    struct response response;
};

struct slot {
    pthread_mutex_t mutex; /* held while an answer is compared and referenced */
    struct answer *answer;
};

struct answers {
    struct cache *cache;
    struct series *found;
    pthread_mutex_t mutex; /* guards additions to headers */
    atomic_size_t header_count;
    char *headers[MAX_HEADERS]; /* what scripts were seen to read, in order of appearance; never changed once there */
    atomic_size_t size;
    atomic_uint hand; /* the slot that is looked at next, to drop what is out of date */
    struct slot slots[SLOTS];
};

struct answers *answers_new(struct cache *cache) {
    struct answers *answers = calloc(1, sizeof *answers);
    if (!answers)
        return NULL;
    answers->cache = cache;
    answers->found = metric_series(metric_family(METRIC_COUNTER, "rayclusterscaler_remembered_answers_total",
                                                 "Answers given without running a script.", ""),
                                   NULL);
    pthread_mutex_init(&answers->mutex, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        pthread_mutex_init(&answers->slots[i].mutex, NULL);
    return answers;
}

static void answer_free(struct answers *answers, struct answer *answer) {
    if (!answer)
        return;
    atomic_fetch_sub(&answers->size, answer->size);
    trace_clear(&answer->trace);
    response_free(&answer->response);
    free(answer);
}

void answers_free(struct answers *answers) {
    if (!answers)
        return;
    for (size_t i = 0; i < SLOTS; i++) {
        answer_free(answers, answers->slots[i].answer);
        pthread_mutex_destroy(&answers->slots[i].mutex);
    }
    for (size_t i = 0; i < MAX_HEADERS; i++)
        free(answers->headers[i]);
    pthread_mutex_destroy(&answers->mutex);
    free(answers);
}

/* A request is known by its method, target, and the headers that scripts read, absent ones told from empty ones. */
static bool make_key(struct answers *answers, const struct request *request, struct answer_key *key) {
    struct span parts[3 + 2 * MAX_HEADERS];
    size_t count = 0;
    const char *start[] = {request->method, request->path, request->query};
    for (size_t i = 0; i < 3; i++)
        parts[count++] = (struct span){start[i], strlen(start[i])};
    key->header_count = atomic_load_explicit(&answers->header_count, memory_order_acquire);
    for (size_t i = 0; i < key->header_count; i++) {
        const char *value = request_header(request, answers->headers[i]);
        parts[count++] = value ? (struct span){"=", 1} : (struct span){"", 0};
        parts[count++] = value ? (struct span){value, strlen(value)} : (struct span){"", 0};
    }
    return cache_key(answers->cache, parts, count, &key->key);
}

static struct slot *slot_of(struct answers *answers, const struct cache_key *key) {
    size_t index;
    memcpy(&index, key->bytes, sizeof index);
    return &answers->slots[index % SLOTS];
}

static bool holds(const struct answers *answers, const struct answer *answer) {
    if (clock_monotonic_ms() - answer->made_ms > MAX_AGE_MS)
        return false;
    for (size_t i = 0; i < answer->trace.source_count; i++)
        if (!source_holds(&answer->trace.sources[i], answers->cache))
            return false;
    return true;
}

static void copy_response(struct response *to, const struct response *from) {
    to->status = from->status;
    buffer_append(&to->headers, from->headers.length ? from->headers.data : "", from->headers.length);
    memcpy(to->route, from->route, sizeof to->route);
    memcpy(to->caller, from->caller, sizeof to->caller);
    for (size_t i = 0; i < from->piece_count; i++)
        response_piece(to, bytes_reference(from->pieces[i].owner), from->pieces[i].span);
}

bool answers_find(struct answers *answers, const struct request *request, struct response *response,
                  struct answer_key *key) {
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    key->usable = reads && request->body.length == 0 && make_key(answers, request, key);
    if (!key->usable)
        return false;
    struct slot *slot = slot_of(answers, &key->key);
    struct answer *stale = NULL;
    pthread_mutex_lock(&slot->mutex);
    bool found = slot->answer && memcmp(&slot->answer->key, &key->key, sizeof key->key) == 0;
    if (found && !holds(answers, slot->answer)) {
        stale = slot->answer;
        slot->answer = NULL;
        found = false;
    }
    if (found)
        copy_response(response, &slot->answer->response);
    pthread_mutex_unlock(&slot->mutex);
    answer_free(answers, stale);
    return found;
}

void answers_used(struct answers *answers) {
    series_add(answers->found, 1);
}

static bool knows_header(const struct answers *answers, const char *name, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(answers->headers[i], name) == 0)
            return true;
    return false;
}

/* True when the key was made of all headers that the run read; else they are part of later keys. */
static bool learn_headers(struct answers *answers, const struct answer_key *key, const struct trace *trace) {
    bool complete = true;
    for (size_t i = 0; i < trace->header_count; i++) {
        if (knows_header(answers, trace->headers[i], key->header_count))
            continue;
        complete = false;
        pthread_mutex_lock(&answers->mutex);
        size_t count = atomic_load(&answers->header_count);
        if (count < MAX_HEADERS && !knows_header(answers, trace->headers[i], count) &&
            (answers->headers[count] = strdup(trace->headers[i])))
            atomic_store_explicit(&answers->header_count, count + 1, memory_order_release);
        pthread_mutex_unlock(&answers->mutex);
    }
    return complete;
}

/* Looks at one more slot: an answer that nobody asks for again must not keep its objects for long. */
static void sweep(struct answers *answers) {
    struct slot *slot = &answers->slots[atomic_fetch_add(&answers->hand, 1) % SLOTS];
    struct answer *stale = NULL;
    pthread_mutex_lock(&slot->mutex);
    if (slot->answer && !holds(answers, slot->answer)) {
        stale = slot->answer;
        slot->answer = NULL;
    }
    pthread_mutex_unlock(&slot->mutex);
    answer_free(answers, stale);
}

static bool worth_keeping(const struct answers *answers, const struct response *response) {
    return (response->status == 200 || response->status == 304) && !response->stream && !response->failed &&
           !response->close && response->body_length <= MAX_BODY_BYTES &&
           atomic_load(&answers->size) + response->body_length <= MAX_BYTES;
}

void answers_keep(struct answers *answers, const struct answer_key *key, struct trace *trace,
                  const struct response *response) {
    if (!key->usable)
        return;
    sweep(answers);
    if (trace->refused || trace->source_count == 0 || !worth_keeping(answers, response) ||
        !learn_headers(answers, key, trace))
        return;
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return;
    answer->key = key->key;
    answer->made_ms = clock_monotonic_ms();
    answer->size = response->body_length + sizeof *answer;
    memcpy(answer->trace.sources, trace->sources, sizeof trace->sources);
    answer->trace.source_count = trace->source_count;
    trace->source_count = 0; /* its references are the answer's now */
    copy_response(&answer->response, response);
    atomic_fetch_add(&answers->size, answer->size);
    if (answer->response.failed || answer->response.headers.failed) {
        answer_free(answers, answer);
        return;
    }
    struct slot *slot = slot_of(answers, &answer->key);
    pthread_mutex_lock(&slot->mutex);
    struct answer *old = slot->answer;
    slot->answer = answer;
    pthread_mutex_unlock(&slot->mutex);
    answer_free(answers, old);
}
