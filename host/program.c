#include "program.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "process_metrics.h"
#include "sandbox.h"

enum {
    /* Blocks from here on go back to the system when they are freed. Left alone, malloc would raise this after the
       first large answer of an upstream, and each thread would keep what the largest one took. */
    LARGE_BYTES = 1024 * 1024,
    /* Of malloc's own: with one for each eighth of the threads, each keeps what the worst moment in it took. */
    ARENAS = 2,
};

const char *lookup_environment(const char *name) {
    return getenv(name);
}

static sigset_t ending_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

/* A core would hold every credential that is in memory. One byte is too little for a file, and is how the kernel is
   told not to start a program that takes cores, either. */
static void forbid_cores(void) {
    const struct rlimit limit = {1, 1};
    setrlimit(RLIMIT_CORE, &limit);
}

bool program_start(struct config *config, lookup_function *lookup, struct buffer *error) {
    char text[512] = "";
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_ARENA_MAX, ARENAS);
    forbid_cores();
    sigset_t set = ending_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!config_read(config, lookup, text, sizeof text)) {
        buffer_text(error, text);
        return false;
    }
    if (!log_start(config->log_level, STDOUT_FILENO) || !sandbox_start()) {
        buffer_text(error, "cannot start a thread");
        return false;
    }
    return process_metrics_start() || (buffer_text(error, "out of memory"), false);
}

void program_wait(void) {
    sigset_t set = ending_signals();
    int received;
    sigwait(&set, &received);
}

void program_linger(long seconds) {
    sigset_t set = ending_signals();
    int64_t until_ms = clock_monotonic_ms() + seconds * 1000, left_ms;
    /* It may return early: a process that was stopped goes on with EINTR. */
    while ((left_ms = until_ms - clock_monotonic_ms()) > 0) {
        struct timespec span = {left_ms / 1000, left_ms % 1000 * 1000000};
        int received = sigtimedwait(&set, NULL, &span);
        if (received > 0)
            _exit(128 + received);
    }
}

/* A second signal, while requests in flight are finished. */
static void end_now(int received) {
    _exit(128 + received);
}

void program_end_on_signal(void) {
    sigset_t set = ending_signals();
    signal(SIGINT, end_now);
    signal(SIGTERM, end_now);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void program_stop(void) {
    sandbox_stop();
    log_stop();
}

int program_fail(struct buffer *error) {
    fprintf(stderr, "rayclusterscaler: %s\n", error->length ? error->data : "cannot start");
    buffer_free(error);
    return 1;
}
