/* The lines of the input as values of X-Request-Id, of trace context and of Connection, and as an upstream's header
   lines. */
#include <ctype.h>
#include <strings.h>

#include "fuzz.h"
#include "http_exchange.h"
#include "wire.h"

static void check_request_id(const char *value) {
    char out[REQUEST_ID_BYTES + 1];
    wire_request_id(value, out);
    size_t length = strlen(out);
    expect(length >= 1 && length <= REQUEST_ID_BYTES);
    for (const char *c = out; *c; c++)
        expect(isalnum((unsigned char)*c) || strchr("-_.:+=/~@", *c));
    /* A usable one stays as it is. */
    char again[REQUEST_ID_BYTES + 1];
    wire_request_id(out, again);
    expect(strcmp(out, again) == 0);
}

static void check_traceparent(const char *value) {
    char out[TRACEPARENT_BYTES], again[TRACEPARENT_BYTES];
    wire_traceparent(value, out);
    if (!out[0])
        return;
    expect(strlen(out) == TRACEPARENT_BYTES - 1);
    expect(strncmp(out, "00-", 3) == 0 && memcmp(out + 3, value + 3, 32) == 0 && memcmp(out + 53, value + 53, 2) == 0);
    wire_traceparent(out, again);
    expect(memcmp(out, again, 35) == 0);
}

/* The first line as traceparent, the others as tracestate. */
static void check_trace(const char *const *values, size_t count) {
    enum { MOST = 8 };
    struct header headers[MOST];
    struct call_context call;
    memset(&call, 'x', sizeof call);
    for (size_t i = 0; i < count && i < MOST; i++)
        headers[i] = (struct header){i ? "TraceState" : "traceparent", values[i]};
    wire_trace(headers, count < MOST ? count : MOST, &call);
    expect(memchr(call.traceparent, '\0', sizeof call.traceparent));
    expect(memchr(call.tracestate, '\0', sizeof call.tracestate));
    expect(call.traceparent[0] || !call.tracestate[0]);
    for (const char *c = call.tracestate; *c; c++)
        expect(*c >= ' ' && *c <= '~');
}

static void check_option(const char *value) {
    bool close = wire_has_option(value, "close");
    expect(!close || strcasestr(value, "close"));
    struct buffer list = {0};
    buffer_text(&list, value);
    buffer_text(&list, ", close");
    expect(wire_has_option(list.data, "close"));
    buffer_free(&list);
}

static void check_answer_header(struct http_exchange *exchange, const char *line, size_t length) {
    char *copy = exact_copy(line, length), value[64];
    http_exchange_header_line(exchange, copy, length);
    free(copy);
    if (http_response_header(exchange, "retry-after", value, sizeof value))
        expect(strlen(value) < sizeof value && !strchr(value, '\n'));
    http_response_header(exchange, "", value, sizeof value);
    if (exchange->header_lines.length)
        expect(exchange->header_lines.data[exchange->header_lines.length - 1] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST_LINES = 32 };
    struct http_exchange exchange = {0};
    const char *text = (const char *)data;
    char *values[MOST_LINES];
    size_t count = 0;
    for (size_t at = 0; at < size && count < MOST_LINES; count++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        values[count] = string_copy(text + at, length);
        check_request_id(values[count]);
        check_traceparent(values[count]);
        check_option(values[count]);
        check_answer_header(&exchange, text + at, length);
        at += length + 1;
    }
    check_trace((const char *const *)values, count);
    while (count > 0)
        free(values[--count]);
    http_exchange_free(&exchange);
    return 0;
}
