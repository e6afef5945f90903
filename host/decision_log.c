#include "decision_log.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "log_sink.h"
#include "metrics.h"

enum where { NOWHERE, LOG, FILE_OF_ITS_OWN };

static atomic_int where = NOWHERE;
static _Atomic uint32_t view_threshold; /* a view is wanted when its random number is below */
static atomic_bool every_view;
static struct log_sink file = LOG_SINK_INITIALIZER;
static atomic_uint_fast64_t lost; /* besides what the file's writer lost */
static struct metric *dropped;

static void collect(void *context) {
    static _Atomic uint64_t counted;
    (void)context;
    uint64_t total = atomic_load(&lost) + log_sink_dropped(&file);
    uint64_t before = atomic_exchange(&counted, total);
    if (total > before)
        metric_add(dropped, NULL, (double)(total - before));
}

bool decision_log_open(const char *path, double view_rate, struct buffer *error) {
    if (!dropped) {
        dropped = metric_family(METRIC_COUNTER, "rayclusterscaler_decisions_dropped_total",
                                "Decisions that the decision log lost.", "");
        metrics_on_collect(collect, NULL);
    }
    atomic_store(&every_view, view_rate >= 1);
    atomic_store(&view_threshold, view_rate >= 1 ? UINT32_MAX : (uint32_t)(view_rate * 4294967296.0));
    if (path[0] && !log_sink_open_file(&file, path)) {
        buffer_format(error, "DECISION_LOG: cannot append to %s: %s", path, strerror(errno));
        return false;
    }
    atomic_store(&where, path[0] ? FILE_OF_ITS_OWN : LOG);
    return true;
}

void decision_log_close(void) {
    atomic_store(&where, NOWHERE);
    log_sink_close(&file);
}

/* xorshift32: which views are sampled is no secret, only not a pattern. */
static uint32_t random_number(void) {
    static _Thread_local uint32_t state;
    if (state == 0) {
        uint64_t seed = ((uint64_t)clock_monotonic_us() ^ (uint64_t)(uintptr_t)&state) * 0x9e3779b97f4a7c15U;
        state = (uint32_t)(seed >> 32) | 1;
    }
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

bool decision_log_wanted(bool allowed_view) {
    int to = atomic_load_explicit(&where, memory_order_relaxed);
    if (to == NOWHERE || (to == LOG && !log_enabled(LOG_INFO)))
        return false;
    return !allowed_view || atomic_load_explicit(&every_view, memory_order_relaxed) ||
           random_number() < atomic_load_explicit(&view_threshold, memory_order_relaxed);
}

static void append_members(struct buffer *line, struct call_context *call, struct span members) {
    const char *end = members.data + members.length, *time = memchr(members.data, DECISION_TIME, members.length);
    if (!time) {
        buffer_append(line, members.data, members.length);
        return;
    }
    struct clock_utc utc;
    clock_utc(call_time(call), &utc);
    buffer_append(line, members.data, (size_t)(time - members.data));
    if (time > members.data && time[-1] != '[')
        buffer_text(line, ",");
    buffer_format(line, "{\"utc\":\"%s\",\"hour\":%d,\"minute\":%d,\"weekday\":%d}", utc.text, utc.hour, utc.minute,
                  utc.weekday);
    buffer_append(line, time + 1, (size_t)(end - time - 1));
}

void decision_log_write(struct call_context *call, struct span members) {
    struct buffer line = {0};
    log_begin(&line, LOG_INFO, "decision");
    buffer_text(&line, ",\"request_id\":");
    buffer_json_string(&line, call->request_id, strlen(call->request_id));
    buffer_text(&line, ",\"revision\":");
    buffer_json_string(&line, call->revision, strlen(call->revision));
    append_members(&line, call, members);
    buffer_append(&line, "}\n", 2);
    if (line.failed)
        decision_log_drop();
    else if (atomic_load(&where) == FILE_OF_ITS_OWN)
        log_sink_write(&file, line.data, line.length); /* counts what it drops */
    else if (!log_raw(line.data, line.length))
        decision_log_drop();
    buffer_free(&line);
}

void decision_log_write_all(struct call_context *call, struct span lines) {
    const char *at = lines.data, *end = lines.data + lines.length;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end)
            line_end = end;
        decision_log_write(call, (struct span){at, (size_t)(line_end - at)});
        at = line_end + 1;
    }
}

void decision_log_drop(void) {
    atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
}
