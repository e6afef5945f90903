/* An answer of the API server that is not what was asked for, as text: status line, headers, a blank line, the body. */
#include "kube_failure.h"

#include "fuzz.h"
#include "http_exchange.h"
#include "json_span.h"

static void check(const struct kube_failure *failure) {
    expect(failure->code >= KUBE_NOT_FOUND && failure->code <= KUBE_BAD_ANSWER && kube_code_name(failure->code)[0]);
    expect(memchr(failure->message, '\0', sizeof failure->message));
    expect(memchr(failure->reason, '\0', sizeof failure->reason));
    expect(failure->retry_after >= -1);
    if (!failure->causes.length)
        return;
    expect(failure->body);
    expect(lies_inside(failure->causes, (struct span){failure->body->data, failure->body->length}));
    expect(json_type(failure->causes) == JSON_ARRAY && json_valid(failure->causes, JSON_MAX_DEPTH, false, NULL));
}

/* The line at *at, without its end; *at is then behind it. */
static struct span take_line(const char **at, const char *end) {
    const char *stop = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    struct span line = {*at, (size_t)((stop ? stop : end) - *at)};
    *at = stop ? stop + 1 : end;
    return line;
}

static int status_of(struct span line) {
    int status = 0;
    for (size_t i = 9; i < 12; i++)
        status = status * 10 + (i < line.length ? ((unsigned char)line.data[i] + 2) % 10 : 0);
    return 100 + status % 500;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *at = (const char *)data, *end = at + size;
    struct http_exchange exchange = {.method = "GET", .sent = true};
    struct kube_failure failure;
    exchange.status = status_of(take_line(&at, end));
    for (struct span line; (line = take_line(&at, end)).length;)
        http_exchange_header_line(&exchange, line.data, line.length);
    exchange.body_bytes = bytes_copy(at, (size_t)(end - at));
    expect(exchange.body_bytes);
    struct span body = {exchange.body_bytes->data, exchange.body_bytes->length};

    kube_failure_read(&failure, &exchange);
    expect(failure.status == exchange.status && failure.message[0]);
    check(&failure);
    kube_failure_free(&failure);
    if (json_valid(body, JSON_MAX_DEPTH, false, NULL)) {
        kube_failure_status(&failure, body);
        check(&failure);
        kube_failure_free(&failure);
    }
    http_exchange_free(&exchange);
    return 0;
}
