#include "kube_failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_span.h"

const char *kube_code_name(enum kube_code code) {
    static const char *const names[] = {"not_found", "conflict",  "invalid",     "forbidden", "unauthorized",
                                        "gone",      "throttled", "unavailable", "timeout",   "bad_answer"};
    return names[code];
}

/* Whether a refusal comes from the cluster's rules about objects, not from our rights: API servers send the verdict of
   an admission webhook under the webhook's own code. */
static bool is_admission(const char *message) {
    return (strstr(message, "admission webhook \"") && strstr(message, "denied the request")) ||
           (strstr(message, "ValidatingAdmissionPolicy '") && strstr(message, "denied request"));
}

static enum kube_code code_of(int status, const char *message, bool retry_after) {
    switch (status) {
    case 400:
        return is_admission(message) ? KUBE_INVALID : KUBE_BAD_ANSWER;
    case 401:
        return KUBE_UNAUTHORIZED;
    case 403:
        return is_admission(message) ? KUBE_INVALID : KUBE_FORBIDDEN;
    case 404:
        return KUBE_NOT_FOUND;
    case 409:
        return KUBE_CONFLICT;
    case 410:
        return KUBE_GONE;
    case 422:
        return KUBE_INVALID;
    case 429:
        return KUBE_THROTTLED;
    case 503:
        return retry_after ? KUBE_THROTTLED : KUBE_UNAVAILABLE;
    default:
        return status >= 500 ? KUBE_UNAVAILABLE : KUBE_BAD_ANSWER;
    }
}

/* Copies a JSON string; "" when it is none. */
static void read_text(struct span value, char *out, size_t size) {
    out[0] = '\0';
    if (json_string(value, out, size) == SIZE_MAX)
        out[0] = '\0';
}

/* message, reason, causes, retryAfterSeconds. False when text is no Status. */
static bool read_status(struct kube_failure *failure, struct span text) {
    char kind[16];
    read_text(json_member(text, "kind"), kind, sizeof kind);
    if (strcmp(kind, "Status") != 0)
        return false;
    read_text(json_member(text, "message"), failure->message, sizeof failure->message);
    read_text(json_member(text, "reason"), failure->reason, sizeof failure->reason);
    struct span details = json_member(text, "details"), causes = json_member(details, "causes");
    int64_t seconds;
    if (json_type(causes) == JSON_ARRAY)
        failure->causes = causes;
    if (json_integer(json_member(details, "retryAfterSeconds"), &seconds) && seconds > 0)
        failure->retry_after = seconds;
    return true;
}

void kube_failure_set(struct kube_failure *failure, enum kube_code code, const char *message) {
    *failure = (struct kube_failure){.code = code, .retry_after = -1, .sent = true};
    snprintf(failure->message, sizeof failure->message, "%s", message);
}

static void read_transport(struct kube_failure *failure, const struct http_exchange *exchange) {
    enum kube_code code = exchange->failure == HTTP_TIMEOUT     ? KUBE_TIMEOUT
                          : exchange->failure == HTTP_TOO_LARGE ? KUBE_BAD_ANSWER
                                                                : KUBE_UNAVAILABLE;
    kube_failure_set(failure, code, exchange->message);
    failure->sent = exchange->sent;
    failure->status = exchange->status;
}

void kube_failure_read(struct kube_failure *failure, const struct http_exchange *exchange) {
    if (exchange->failure != HTTP_OK) {
        read_transport(failure, exchange);
        return;
    }
    kube_failure_set(failure, KUBE_BAD_ANSWER, "");
    failure->status = exchange->status;
    char header[32];
    if (http_response_header(exchange, "retry-after", header, sizeof header)) {
        char *end;
        long seconds = strtol(header, &end, 10); /* API servers send seconds, never a date */
        if (end != header && !*end && seconds >= 0)
            failure->retry_after = seconds;
    }
    struct span text = {exchange->body_bytes->data, exchange->body_bytes->length};
    if (json_valid(text, JSON_MAX_DEPTH, false, NULL) && read_status(failure, text))
        failure->body = bytes_reference(exchange->body_bytes);
    if (!failure->message[0])
        snprintf(failure->message, sizeof failure->message, "the API server answered %d", exchange->status);
    failure->code = code_of(exchange->status, failure->message, failure->retry_after >= 0);
}

void kube_failure_status(struct kube_failure *failure, struct span status) {
    int64_t code = 0;
    kube_failure_set(failure, KUBE_BAD_ANSWER, "");
    failure->body = bytes_copy(status.data, status.length);
    if (!failure->body)
        return;
    struct span text = {failure->body->data, failure->body->length};
    read_status(failure, text);
    if (json_integer(json_member(text, "code"), &code) && code >= 100 && code <= 599)
        failure->status = (int)code;
    failure->code = code_of(failure->status, failure->message, failure->retry_after >= 0);
}

void kube_failure_free(struct kube_failure *failure) {
    bytes_release(failure->body);
    failure->body = NULL;
    failure->causes = (struct span){0};
}
