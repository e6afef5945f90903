#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log_sink.h"

enum { LEVEL_OFF = LOG_AUDIT + 1 };

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warning", [LOG_ERROR] = "error", [LOG_AUDIT] = "info",
};

static atomic_int least_level = LEVEL_OFF;
static struct log_sink sink = LOG_SINK_INITIALIZER;

bool log_start(enum log_level level, int descriptor) {
    bool started = log_sink_open(&sink, descriptor);
    if (started)
        atomic_store(&least_level, level);
    return started;
}

void log_stop(void) {
    atomic_store(&least_level, LEVEL_OFF);
    log_sink_close(&sink);
}

bool log_enabled(enum log_level level) {
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

uint64_t log_dropped(void) {
    return log_sink_dropped(&sink);
}

bool log_raw(const char *line, size_t length) {
    return log_sink_write(&sink, line, length);
}

void log_append_text(struct buffer *line, const char *text, size_t length, size_t most) {
    if (length <= most) {
        buffer_json_string(line, text, length);
        return;
    }
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80) /* not in the middle of a character */
        most--;
    buffer_json_string(line, text, most);
    if (!line->failed)
        line->length--; /* the closing quote */
    buffer_text(line, "…\"");
}

void log_begin(struct buffer *line, enum log_level level, const char *message) {
    char time[32];
    clock_rfc3339(time, sizeof time);
    buffer_clear(line);
    buffer_text(line, "{\"time\":\"");
    buffer_text(line, time);
    buffer_text(line, "\",\"level\":\"");
    buffer_text(line, level_names[level]);
    buffer_text(line, "\",\"message\":");
    log_append_text(line, message, strlen(message), LOG_MAX_MESSAGE_BYTES);
}

void log_end(struct buffer *line) {
    buffer_append(line, "}\n", 2);
    if (line->failed)
        log_sink_count_dropped(&sink);
    else
        log_raw(line->data, line->length);
}

void log_event(enum log_level level, const char *message, const char *fields) {
    if (!log_enabled(level))
        return;
    struct buffer line = {0};
    log_begin(&line, level, message);
    if (fields && *fields) {
        buffer_append(&line, ",", 1);
        buffer_text(&line, fields);
    }
    log_end(&line);
    buffer_free(&line);
}

void log_line(enum log_level level, const char *format, ...) {
    if (!log_enabled(level))
        return;
    char message[LOG_MAX_MESSAGE_BYTES + 2]; /* one byte too many tells log_begin to cut */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log_event(level, length < 0 ? format : message, NULL);
}
