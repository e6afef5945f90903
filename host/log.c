#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

enum {
    QUEUE_BYTES = 2 * 1024 * 1024, /* of each of the two batches: some 7000 access lines */
    NAP_MS = 5,                    /* between batches, so that a busy server wakes the writer 200 times a second */
    FLUSH_MS = 2000,               /* a reader that stopped reading must not keep the process from ending */
    POLL_MS = 100,                 /* how soon a blocked writer notices that the log stops */
    LEVEL_OFF = LOG_ERROR + 1,
};

struct batch {
    char *data;
    size_t length;
};

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warning", [LOG_ERROR] = "error"};

static atomic_int least_level = LEVEL_OFF;
static atomic_uint_fast64_t lost;
static _Atomic int64_t give_up_ms; /* monotonic; when the writer stops waiting for its reader */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;  /* of the writer */
static struct batch filling; /* what producers append to; data is NULL while the log is stopped */
static bool writer_idle;     /* waits for a line, so the next producer wakes it */
static bool stopping;

/* The writer's own. */
static pthread_t writer;
static struct batch writing;
static int output;
static size_t chunk_bytes; /* most that one write may take without blocking, once poll says there is room */
static bool torn;          /* a write failed in the middle of a line */

static size_t count_lines(const char *data, size_t length) {
    size_t lines = 0;
    for (const char *end; length && (end = memchr(data, '\n', length)); lines++) {
        length -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    return lines;
}

/* Waits until the output takes bytes; false when it is time to give up. */
static bool wait_writable(void) {
    struct pollfd item = {.fd = output, .events = POLLOUT};
    while (poll(&item, 1, POLL_MS) <= 0)
        if (clock_monotonic_ms() >= atomic_load_explicit(&give_up_ms, memory_order_relaxed))
            return false;
    return true;
}

/* How much of data the output took: all of it unless it fails or it is time to give up. */
static size_t write_bytes(const char *data, size_t length) {
    size_t done = 0;
    while (done < length && wait_writable()) {
        size_t size = length - done < chunk_bytes ? length - done : chunk_bytes;
        ssize_t written = write(output, data + done, size);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR && errno != EAGAIN)
            break;
    }
    return done;
}

/* False when something of data was lost, which is counted. */
static bool write_lines(const char *data, size_t length) {
    if (torn && write_bytes("\n", 1) == 1)
        torn = false;
    size_t done = torn ? 0 : write_bytes(data, length);
    if (done == length)
        return true;
    torn = torn || (done && data[done - 1] != '\n');
    atomic_fetch_add_explicit(&lost, count_lines(data + done, length - done), memory_order_relaxed);
    return false;
}

/* Says how many lines were lost since it was last said. */
static void report_lost(uint64_t *reported) {
    uint64_t total = atomic_load_explicit(&lost, memory_order_relaxed);
    if (total == *reported)
        return;
    char time[32], line[256];
    clock_rfc3339(time, sizeof time);
    int length = snprintf(line, sizeof line,
                          "{\"time\":\"%s\",\"level\":\"warning\",\"message\":\"log lines were lost\",\"lost\":%llu}\n",
                          time, (unsigned long long)(total - *reported));
    if (write_lines(line, (size_t)length))
        *reported = total;
    else
        atomic_fetch_sub_explicit(&lost, 1, memory_order_relaxed); /* it is said again, so it is not lost itself */
}

/* Lets lines gather, unless the log stops meanwhile. The mutex is held. */
static void nap(void) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += NAP_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (!stopping && pthread_cond_timedwait(&wake, &mutex, &until) == 0)
        ;
}

static void *write_batches(void *unused) {
    uint64_t reported = atomic_load_explicit(&lost, memory_order_relaxed);
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (filling.length == 0 && !stopping) {
            writer_idle = true;
            pthread_cond_wait(&wake, &mutex);
        }
        writer_idle = false;
        if (filling.length == 0)
            break;
        struct batch full = filling;
        filling = (struct batch){.data = writing.data};
        writing = full;
        pthread_mutex_unlock(&mutex);
        if (write_lines(writing.data, writing.length))
            report_lost(&reported);
        pthread_mutex_lock(&mutex);
        nap();
    }
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* A blocking pipe or terminal that polls writable has room for PIPE_BUF bytes; more might block for good. */
static size_t chunk_of(int descriptor) {
    struct stat status;
    bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    int flags = fcntl(descriptor, F_GETFL);
    return regular || (flags >= 0 && (flags & O_NONBLOCK)) ? QUEUE_BYTES : PIPE_BUF;
}

/* Without a writer; the mutex is held. */
static void discard_queue(void) {
    free(filling.data);
    free(writing.data);
    filling = writing = (struct batch){0};
    pthread_cond_destroy(&wake);
}

bool log_start(enum log_level level, int descriptor) {
    pthread_condattr_t monotonic;
    sigset_t all, before;
    pthread_mutex_lock(&mutex);
    output = descriptor;
    chunk_bytes = chunk_of(descriptor);
    torn = stopping = writer_idle = false;
    atomic_store(&give_up_ms, INT64_MAX);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    filling = (struct batch){.data = malloc(QUEUE_BYTES)};
    writing = (struct batch){.data = malloc(QUEUE_BYTES)};
    /* Signals are for other threads; SIGPIPE, once blocked, is no more than EPIPE. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = filling.data && writing.data && pthread_create(&writer, NULL, write_batches, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        atomic_store(&least_level, level);
    else
        discard_queue();
    pthread_mutex_unlock(&mutex);
    return started;
}

void log_stop(void) {
    if (atomic_exchange(&least_level, LEVEL_OFF) == LEVEL_OFF)
        return;
    atomic_store(&give_up_ms, clock_monotonic_ms() + FLUSH_MS);
    pthread_mutex_lock(&mutex);
    stopping = true;
    pthread_cond_signal(&wake);
    pthread_mutex_unlock(&mutex);
    pthread_join(writer, NULL);
    pthread_mutex_lock(&mutex);
    discard_queue();
    pthread_mutex_unlock(&mutex);
}

bool log_enabled(enum log_level level) {
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

uint64_t log_dropped(void) {
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

void log_raw(const char *line, size_t length) {
    pthread_mutex_lock(&mutex);
    bool started = filling.data != NULL && !stopping;
    bool room = started && length <= QUEUE_BYTES - filling.length;
    bool signal = room && writer_idle;
    if (room) {
        memcpy(filling.data + filling.length, line, length);
        filling.length += length;
        writer_idle = false;
    }
    if (signal)
        pthread_cond_signal(&wake);
    pthread_mutex_unlock(&mutex);
    if (started && !room)
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
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
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
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
