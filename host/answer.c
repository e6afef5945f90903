#include "answer.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

enum {
    MAX_BODY_BYTES = 1024 * 1024, /* of one answer */
    MAX_BYTES = 16 * 1024 * 1024, /* of all: they keep objects alive that Kubernetes no longer has */
    MAX_AGE_MS = 60 * 1000,
    MAX_DECISION_BYTES = 16 * 1024,
    MANY_PIECES = 32, /* a body of so many is joined once its answer is asked for again */
};

struct answer {
    atomic_uint references;
    struct cache_key key;
    int64_t made_ms;
    atomic_size_t *total;
    atomic_size_t size;      /* its part of total */
    struct trace trace;      /* the sources only */
    struct bytes *decisions; /* or NULL */
    struct response response;
    atomic_uint given;            /* how often, while its body lies in many pieces */
    _Atomic(struct bytes *) body; /* all pieces in one, or NULL */
};

static void count(struct answer *answer, size_t bytes) {
    atomic_fetch_add(&answer->size, bytes);
    atomic_fetch_add(answer->total, bytes);
}

static void copy_head(struct response *to, const struct response *from) {
    to->status = from->status;
    to->complete = from->complete;
    buffer_append(&to->headers, from->headers.length ? from->headers.data : "", from->headers.length);
    to->failed = to->failed || to->headers.failed;
    memcpy(to->route, from->route, sizeof to->route);
    memcpy(to->caller, from->caller, sizeof to->caller);
}

static void copy_pieces(struct response *to, const struct response *from) {
    for (size_t i = 0; i < from->piece_count; i++)
        response_piece(to, bytes_reference(from->pieces[i].owner), from->pieces[i].span);
}

static bool has_room(const atomic_size_t *total, size_t bytes, size_t most) {
    return atomic_load(total) + bytes <= most;
}

bool answer_is_wanted(const struct trace *trace, const struct response *response, const atomic_size_t *total) {
    return !trace->refused && trace->source_count && (response->status == 200 || response->status == 304) &&
           !response->stream && !response->failed && !response->close && response->body_length <= MAX_BODY_BYTES &&
           has_room(total, response->body_length, MAX_BYTES);
}

struct answer *answer_new(const struct cache_key *key, struct trace *trace, const struct response *response,
                          atomic_size_t *total) {
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return NULL;
    atomic_init(&answer->references, 1);
    answer->key = *key;
    answer->made_ms = clock_monotonic_ms();
    answer->total = total;
    memcpy(answer->trace.sources, trace->sources, sizeof trace->sources);
    answer->trace.source_count = trace->source_count;
    trace->source_count = 0; /* its references are the answer's now */
    copy_head(&answer->response, response);
    copy_pieces(&answer->response, response);
    if (trace->decisions.length && !trace->decisions.failed && trace->decisions.length <= MAX_DECISION_BYTES)
        answer->decisions = bytes_copy(trace->decisions.data, trace->decisions.length);
    count(answer, sizeof *answer + response->body_length + (answer->decisions ? answer->decisions->length : 0));
    if (!answer->response.failed)
        return answer;
    answer_release(answer);
    return NULL;
}

struct answer *answer_reference(struct answer *answer) {
    atomic_fetch_add_explicit(&answer->references, 1, memory_order_relaxed);
    return answer;
}

void answer_release(struct answer *answer) {
    if (!answer || atomic_fetch_sub_explicit(&answer->references, 1, memory_order_acq_rel) > 1)
        return;
    atomic_fetch_sub(answer->total, atomic_load(&answer->size));
    trace_clear(&answer->trace);
    response_free(&answer->response);
    bytes_release(answer->decisions);
    bytes_release(atomic_load(&answer->body));
    free(answer);
}

bool answer_is_of(const struct answer *answer, const struct cache_key *key) {
    return memcmp(&answer->key, key, sizeof *key) == 0;
}

bool answer_holds(struct answer *answer, struct cache *cache) {
    if (clock_monotonic_ms() - answer->made_ms > MAX_AGE_MS)
        return false;
    for (size_t i = 0; i < answer->trace.source_count; i++)
        if (!source_holds(&answer->trace.sources[i], cache))
            return false;
    return true;
}

/* All pieces in one. To send a hundred of them takes longer each time than this takes once. */
static struct bytes *join(struct answer *answer) {
    const struct response *response = &answer->response;
    /* What is joined is there twice: never so much that no more answers have room. */
    struct bytes *body =
        has_room(answer->total, response->body_length, MAX_BYTES / 2) ? bytes_new(response->body_length) : NULL;
    if (!body)
        return NULL;
    size_t at = 0;
    for (size_t i = 0; i < response->piece_count; at += response->pieces[i++].span.length)
        memcpy(body->data + at, response->pieces[i].span.data, response->pieces[i].span.length);
    count(answer, body->length);
    atomic_store_explicit(&answer->body, body, memory_order_release);
    return body;
}

/* NULL when the pieces have to do. */
static struct bytes *body_of(struct answer *answer) {
    struct bytes *body = atomic_load_explicit(&answer->body, memory_order_acquire);
    if (!body && answer->response.piece_count >= MANY_PIECES && atomic_fetch_add(&answer->given, 1) == 1)
        return join(answer);
    return body;
}

void answer_give(struct answer *answer, struct response *response, struct bytes **decisions) {
    struct bytes *body = body_of(answer);
    copy_head(response, &answer->response);
    if (body)
        response_piece(response, bytes_reference(body), (struct span){body->data, body->length});
    else
        copy_pieces(response, &answer->response);
    *decisions = answer->decisions ? bytes_reference(answer->decisions) : NULL;
}
