/* Lines on their way to a descriptor: a thread of its own writes them, so that a slow reader never blocks who makes
   them. Lines that find the queue full, or cannot be written, are dropped and counted. */
#ifndef HOST_LOG_SINK_H
#define HOST_LOG_SINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_batch {
    char *data;
    size_t length;
};

/* Its owner's static variable; the fields are log_sink.c's. */
struct log_sink {
    pthread_mutex_t mutex;
    pthread_cond_t wake;      /* of the writer */
    struct log_batch filling; /* what producers append to; data is NULL while the sink is closed */
    bool writer_idle;         /* waits for a line, so the next producer wakes it */
    bool stopping;
    atomic_uint_fast64_t lost;
    _Atomic int64_t give_up_ms; /* monotonic; when the writer stops waiting for its reader */

    /* The writer's own. */
    pthread_t writer;
    struct log_batch writing;
    int output;
    const char *path;   /* of the file that is opened again when it was renamed or deleted; NULL for a descriptor */
    int64_t looked_ms;  /* when that was last looked at */
    size_t chunk_bytes; /* most that one write may take without blocking, once poll says there is room */
    bool torn;          /* a write failed in the middle of a line */
};

#define LOG_SINK_INITIALIZER                                                                                           \
    { .mutex = PTHREAD_MUTEX_INITIALIZER }

/* Writes to a descriptor, which may block, be a pipe without reader, a full disk, and stays its owner's. */
bool log_sink_open(struct log_sink *sink, int descriptor);
/* Appends to a file, which log rotation may rename: the lines of a second later go to a new one. path must outlive the
   sink. False, with errno, when it cannot be opened. */
bool log_sink_open_file(struct log_sink *sink, const char *path);
void log_sink_close(struct log_sink *sink); /* writes what is queued, for 2 s at most; fine when it is closed already */

/* A line with its '\n'. False when it was dropped, because the queue is full or the sink is closed. */
bool log_sink_write(struct log_sink *sink, const char *line, size_t length);
uint64_t log_sink_dropped(struct log_sink *sink);   /* lines that were lost so far */
void log_sink_count_dropped(struct log_sink *sink); /* one that could not even be made */

#endif
