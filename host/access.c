#include "access.h"

#include <string.h>

#include "log.h"
#include "metrics.h"

enum { MAX_FIELD_BYTES = 128 };

void access_open(struct access *access) {
    access->requests =
        metric_family(METRIC_COUNTER, "rayclusterscaler_requests_total", "Requests answered.", "route,method,code");
    access->durations = metric_family(METRIC_HISTOGRAM, "rayclusterscaler_request_duration_seconds",
                                      "Time from the request's header to its answer's last byte.", "route");
}

static void append_text(struct buffer *line, const char *key, const char *text) {
    buffer_text(line, key);
    log_append_text(line, text, strlen(text), MAX_FIELD_BYTES);
}

/* Microseconds as milliseconds with three decimals. */
static void append_ms(struct buffer *line, const char *key, int64_t us) {
    uint64_t rest = (uint64_t)us % 1000;
    char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10)};
    buffer_text(line, key);
    buffer_decimal(line, (uint64_t)us / 1000);
    buffer_append(line, decimals, sizeof decimals);
}

static void append_number(struct buffer *line, const char *key, uint64_t number) {
    buffer_text(line, key);
    buffer_decimal(line, number);
}

/* Built by hand: it is written for every request. */
static void log_request(const char *method, const char *route, const struct call_context *call,
                        const struct response *response, int64_t duration_us, struct buffer *line) {
    log_begin(line, LOG_INFO, "request");
    append_text(line, ",\"method\":", method);
    append_text(line, ",\"route\":", route);
    append_number(line, ",\"code\":", (uint64_t)response->status);
    append_ms(line, ",\"duration_ms\":", duration_us);
    append_number(line, ",\"bytes\":", response->body_length);
    append_text(line, ",\"caller\":", response->caller);
    append_text(line, ",\"request_id\":", call->request_id);
    if (call->traceparent[0]) {
        buffer_text(line, ",\"trace_id\":");
        log_append_text(line, call->traceparent + 3, 32, MAX_FIELD_BYTES);
    }
    if (call->revision[0])
        append_text(line, ",\"revision\":", call->revision);
    append_number(line, ",\"upstream_calls\":", call->upstream_calls);
    append_ms(line, ",\"upstream_ms\":", call->upstream_us);
    if (response->error[0])
        append_text(line, ",\"error\":", response->error);
    log_end(line);
}

/* Methods that HTTP knows become a label, what else clients make up does not. */
static const char *known_method(const char *method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(method, known[i]) == 0)
            return known[i];
    return "other";
}

static void record(const struct access *access, const char *method, const char *route, const struct call_context *call,
                   const struct response *response, int64_t duration_us, struct buffer *scratch) {
    char code[12];
    int status = response->status;
    for (int i = 2; i >= 0; i--, status /= 10)
        code[i] = (char)('0' + status % 10);
    code[3] = '\0';
    metric_add(access->requests, (const char *[]){route, method, code}, 1);
    metric_observe(access->durations, (const char *[]){route}, (double)duration_us / 1e6);
    if (log_enabled(LOG_INFO))
        log_request(method, route, call, response, duration_us, scratch);
}

void access_record(const struct access *access, const struct request *request, const struct response *response,
                   int64_t duration_us, struct buffer *scratch) {
    const char *route = response->route[0] ? response->route : "other";
    record(access, known_method(request->method), route, request->call, response, duration_us, scratch);
}

void access_refused(const struct access *access, const struct call_context *call, const struct response *response,
                    int64_t duration_us, struct buffer *scratch) {
    record(access, "", "refused", call, response, duration_us, scratch);
}
