#include "kube_attempt.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "random.h"

enum {
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
    struct buffer body;
    size_t most;
    bool too_large;
};

static bool gather(void *context, const char *data, size_t length) {
    struct gathered *gathered = context;
    gathered->too_large = length > gathered->most - gathered->body.length;
    if (!gathered->too_large)
        buffer_append(&gathered->body, data, length);
    return !gathered->too_large && !gathered->body.failed;
}

/* As kube_perform, but ends when it is cancelled. */
static void perform_cancellable(const struct kube_caller *caller, const char *path, struct http_exchange *exchange) {
    struct gathered gathered = {.most = exchange->max_response_bytes};
    kube_stream(caller->kube, path, exchange, caller->idle_timeout_ms, gather, &gathered, caller->cancel);
    if (exchange->failure == HTTP_OK && exchange->status >= 200 && exchange->status < 300) {
        struct bytes *body = gathered.body.failed ? NULL : bytes_copy(gathered.body.data, gathered.body.length);
        bytes_release(exchange->body_bytes);
        exchange->body_bytes = body;
        exchange->failure = gathered.too_large ? HTTP_TOO_LARGE : body ? HTTP_OK : HTTP_MEMORY;
        if (exchange->failure)
            snprintf(exchange->message, sizeof exchange->message,
                     gathered.too_large ? "the answer is too large" : "out of memory");
    }
    buffer_free(&gathered.body);
}

bool kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct http_exchange *exchange,
                  struct kube_failure *failure) {
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
            perform_cancellable(caller, path->data, exchange);
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
