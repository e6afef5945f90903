#include "kube_attempt.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "random.h"

enum {
    FIRST_BODY_BYTES = 64 * 1024,
    FIRST_PAUSE_MS = 50, /* at most, before the second attempt; twice that before the third */
};

static int64_t deadline_of(const struct kube_caller *caller) {
    int64_t deadline = caller->deadline_ms ? caller->deadline_ms : INT64_MAX;
    if (caller->context && caller->context->deadline_ms < deadline)
        deadline = caller->context->deadline_ms;
    return deadline;
}

/* How long to wait before the next attempt; -1 when there shall be none. */
static int64_t pause_before_retry(const struct http_exchange *exchange, const struct kube_failure *failure,
                                  unsigned attempt) {
    bool read = strcmp(exchange->method, "GET") == 0;
    int64_t jittered = 1 + random_below((int64_t)FIRST_PAUSE_MS << attempt);
    if (failure->code == KUBE_THROTTLED) /* refused before it was carried out */
        return failure->retry_after >= 0 ? failure->retry_after * 1000 + jittered : read ? jittered : -1;
    if (exchange->failure == HTTP_CONNECT)
        return read || !exchange->sent ? jittered : -1;
    if (exchange->failure == HTTP_PROTOCOL || (exchange->failure == HTTP_OK && exchange->status >= 500))
        return read ? jittered : -1;
    return -1;
}

/* The body of a call that can be cancelled. */
struct gathered {
    struct bytes *body; /* with room behind length */
    size_t length, most;
    enum http_failure failure;
};

static bool gather(void *context, const char *data, size_t length) {
    struct gathered *gathered = context;
    if (length > gathered->most - gathered->length) {
        gathered->failure = HTTP_TOO_LARGE;
        return false;
    }
    size_t needed = gathered->length + length, room = gathered->body->length;
    if (needed > room) {
        room = needed > room * 2 ? needed : room * 2;
        struct bytes *larger = bytes_resize(gathered->body, room < gathered->most ? room : gathered->most);
        if (!larger) {
            gathered->failure = HTTP_MEMORY;
            return false;
        }
        gathered->body = larger;
    }
    memcpy(gathered->body->data + gathered->length, data, length);
    gathered->length = needed;
    return true;
}

static void fail(struct http_exchange *exchange, enum http_failure failure) {
    exchange->failure = failure;
    snprintf(exchange->message, sizeof exchange->message,
             failure == HTTP_TOO_LARGE ? "the answer is too large" : "out of memory");
}

/* As kube_perform, but ends when it is cancelled. */
static void perform_cancellable(const struct kube_caller *caller, const char *path, struct bytes **room,
                                struct http_exchange *exchange) {
    struct gathered gathered = {.body = room && *room ? *room : bytes_new(FIRST_BODY_BYTES),
                                .most = exchange->max_response_bytes};
    if (room)
        *room = NULL;
    if (!gathered.body) {
        http_exchange_free(exchange);
        fail(exchange, HTTP_MEMORY);
        return;
    }
    kube_stream(caller->kube, path, exchange, caller->idle_timeout_ms, gather, &gathered, caller->cancel);
    if (exchange->failure == HTTP_OK && exchange->status >= 200 && exchange->status < 300) {
        struct bytes *body = gathered.failure ? NULL : bytes_resize(gathered.body, gathered.length);
        if (body) {
            bytes_release(exchange->body_bytes);
            exchange->body_bytes = body;
            return;
        }
        fail(exchange, gathered.failure ? gathered.failure : HTTP_MEMORY);
    }
    bytes_release(gathered.body);
}

bool kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                  struct http_exchange *exchange, struct kube_failure *failure) {
    int64_t deadline = deadline_of(caller);
    exchange->context = caller->context;
    exchange->deadline_ms = caller->deadline_ms;
    exchange->target = "kubernetes";
    if (path->failed) {
        kube_failure_set(failure, KUBE_UNAVAILABLE, "out of memory");
        return false;
    }
    for (unsigned attempt = 0;; attempt++) {
        if (caller->cancel)
            perform_cancellable(caller, path->data, room, exchange);
        else
            kube_perform(caller->kube, path->data, exchange);
        if (exchange->failure == HTTP_OK && exchange->status >= 200 && exchange->status < 300)
            return true;
        kube_failure_read(failure, exchange);
        if (attempt >= caller->retries)
            return false;
        int64_t pause = pause_before_retry(exchange, failure, attempt);
        if (pause < 0 || clock_monotonic_ms() + pause >= deadline)
            return false;
        clock_sleep_ms(pause);
        kube_failure_free(failure);
        http_exchange_free(exchange);
    }
}
