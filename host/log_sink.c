#include "log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
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
    POLL_MS = 100,                 /* how soon a blocked writer notices that the sink closes */
    LOOK_MS = 1000,                /* how soon a renamed file is left alone */
};

static size_t count_lines(const char *data, size_t length) {
    size_t lines = 0;
    for (const char *end; length && (end = memchr(data, '\n', length)); lines++) {
        length -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    return lines;
}

/* Waits until the output takes bytes; false when it is time to give up. */
static bool wait_writable(struct log_sink *sink) {
    struct pollfd item = {.fd = sink->output, .events = POLLOUT};
    while (poll(&item, 1, POLL_MS) <= 0)
        if (clock_monotonic_ms() >= atomic_load_explicit(&sink->give_up_ms, memory_order_relaxed))
            return false;
    return true;
}

/* How much of data the output took: all of it unless it fails or it is time to give up. */
static size_t write_bytes(struct log_sink *sink, const char *data, size_t length) {
    size_t done = 0;
    while (done < length && wait_writable(sink)) {
        size_t size = length - done < sink->chunk_bytes ? length - done : sink->chunk_bytes;
        ssize_t written = write(sink->output, data + done, size);
        if (written >= 0)
            done += (size_t)written;
        else if (errno != EINTR && errno != EAGAIN)
            break;
    }
    return done;
}

/* False when something of data was lost, which is counted. */
static bool write_lines(struct log_sink *sink, const char *data, size_t length) {
    if (sink->torn && write_bytes(sink, "\n", 1) == 1)
        sink->torn = false;
    size_t done = sink->torn ? 0 : write_bytes(sink, data, length);
    if (done == length)
        return true;
    sink->torn = sink->torn || (done && data[done - 1] != '\n');
    atomic_fetch_add_explicit(&sink->lost, count_lines(data + done, length - done), memory_order_relaxed);
    return false;
}

/* Says how many lines were lost since it was last said. */
static void report_lost(struct log_sink *sink, uint64_t *reported) {
    uint64_t total = log_sink_dropped(sink);
    if (total == *reported)
        return;
    char time[32], line[256];
    clock_rfc3339(time, sizeof time);
    int length = snprintf(line, sizeof line,
                          "{\"time\":\"%s\",\"level\":\"warning\",\"message\":\"log lines were lost\",\"lost\":%llu}\n",
                          time, (unsigned long long)(total - *reported));
    if (write_lines(sink, line, (size_t)length))
        *reported = total;
    else
        atomic_fetch_sub_explicit(&sink->lost, 1, memory_order_relaxed); /* it is said again, so it is not lost */
}

/* A blocking pipe or terminal that polls writable has room for PIPE_BUF bytes; more might block for good. */
static size_t chunk_of(int descriptor) {
    struct stat status;
    bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    int flags = fcntl(descriptor, F_GETFL);
    return regular || (flags >= 0 && (flags & O_NONBLOCK)) ? QUEUE_BYTES : PIPE_BUF;
}

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640);
}

/* After log rotation the old file would grow on unseen. When no new one can be made, the old one is better than none.
 */
static void follow_path(struct log_sink *sink) {
    int64_t now_ms = clock_monotonic_ms();
    if (!sink->path || now_ms - sink->looked_ms < LOOK_MS)
        return;
    sink->looked_ms = now_ms;
    struct stat there, here;
    if (stat(sink->path, &there) == 0 && fstat(sink->output, &here) == 0 && there.st_ino == here.st_ino &&
        there.st_dev == here.st_dev)
        return;
    int descriptor = open_file(sink->path);
    if (descriptor < 0)
        return;
    close(sink->output);
    sink->output = descriptor;
    sink->chunk_bytes = chunk_of(descriptor);
    sink->torn = false;
}

/* Lets lines gather, unless the sink closes meanwhile. The mutex is held. */
static void nap(struct log_sink *sink) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += NAP_MS * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    while (!sink->stopping && pthread_cond_timedwait(&sink->wake, &sink->mutex, &until) == 0)
        ;
}

static void *write_batches(void *context) {
    struct log_sink *sink = context;
    uint64_t reported = log_sink_dropped(sink);
    pthread_mutex_lock(&sink->mutex);
    for (;;) {
        while (sink->filling.length == 0 && !sink->stopping) {
            sink->writer_idle = true;
            pthread_cond_wait(&sink->wake, &sink->mutex);
        }
        sink->writer_idle = false;
        if (sink->filling.length == 0)
            break;
        struct log_batch full = sink->filling;
        sink->filling = (struct log_batch){.data = sink->writing.data};
        sink->writing = full;
        pthread_mutex_unlock(&sink->mutex);
        follow_path(sink);
        if (write_lines(sink, sink->writing.data, sink->writing.length))
            report_lost(sink, &reported);
        pthread_mutex_lock(&sink->mutex);
        nap(sink);
    }
    pthread_mutex_unlock(&sink->mutex);
    return NULL;
}

/* Without a writer; the mutex is held. */
static void discard_queue(struct log_sink *sink) {
    free(sink->filling.data);
    free(sink->writing.data);
    sink->filling = sink->writing = (struct log_batch){0};
    pthread_cond_destroy(&sink->wake);
}

static bool start_writer(struct log_sink *sink, int descriptor, const char *path) {
    pthread_condattr_t monotonic;
    sigset_t all, before;
    pthread_mutex_lock(&sink->mutex);
    sink->output = descriptor;
    sink->path = path;
    sink->looked_ms = clock_monotonic_ms();
    sink->chunk_bytes = chunk_of(descriptor);
    sink->torn = sink->stopping = sink->writer_idle = false;
    atomic_store(&sink->give_up_ms, INT64_MAX);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sink->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sink->filling = (struct log_batch){.data = malloc(QUEUE_BYTES)};
    sink->writing = (struct log_batch){.data = malloc(QUEUE_BYTES)};
    /* Signals are for other threads; SIGPIPE, once blocked, is no more than EPIPE. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started =
        sink->filling.data && sink->writing.data && pthread_create(&sink->writer, NULL, write_batches, sink) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started)
        discard_queue(sink);
    pthread_mutex_unlock(&sink->mutex);
    return started;
}

bool log_sink_open(struct log_sink *sink, int descriptor) {
    return start_writer(sink, descriptor, NULL);
}

bool log_sink_open_file(struct log_sink *sink, const char *path) {
    int descriptor = open_file(path);
    if (descriptor < 0)
        return false;
    if (start_writer(sink, descriptor, path))
        return true;
    close(descriptor);
    errno = ENOMEM;
    return false;
}

void log_sink_close(struct log_sink *sink) {
    pthread_mutex_lock(&sink->mutex);
    bool open = sink->filling.data != NULL;
    if (open) {
        atomic_store(&sink->give_up_ms, clock_monotonic_ms() + FLUSH_MS);
        sink->stopping = true;
        pthread_cond_signal(&sink->wake);
    }
    pthread_mutex_unlock(&sink->mutex);
    if (!open)
        return;
    pthread_join(sink->writer, NULL);
    pthread_mutex_lock(&sink->mutex);
    if (sink->path)
        close(sink->output);
    discard_queue(sink);
    pthread_mutex_unlock(&sink->mutex);
}

bool log_sink_write(struct log_sink *sink, const char *line, size_t length) {
    pthread_mutex_lock(&sink->mutex);
    bool open = sink->filling.data != NULL && !sink->stopping;
    bool room = open && length <= QUEUE_BYTES - sink->filling.length;
    bool signal = room && sink->writer_idle;
    if (room) {
        memcpy(sink->filling.data + sink->filling.length, line, length);
        sink->filling.length += length;
        sink->writer_idle = false;
    }
    if (signal)
        pthread_cond_signal(&sink->wake);
    pthread_mutex_unlock(&sink->mutex);
    if (open && !room)
        log_sink_count_dropped(sink);
    return room;
}

uint64_t log_sink_dropped(struct log_sink *sink) {
    return atomic_load_explicit(&sink->lost, memory_order_relaxed);
}

void log_sink_count_dropped(struct log_sink *sink) {
    atomic_fetch_add_explicit(&sink->lost, 1, memory_order_relaxed);
}
