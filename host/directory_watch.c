#include "directory_watch.h"

#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "clock.h"

enum {
    /* An editor or kubelet makes several events of one change: look when they pause, or after a while anyway. */
    SETTLE_MS = 15,
    SETTLE_MAX_MS = 100,
};

struct directory_watch {
    const char *const *directories;
    size_t count;
    int inotify; /* -1 where the kernel gives none: the reader's own slow look must do */
    int end;
};

struct directory_watch *directory_watch_open(const char *const *directories, size_t count) {
    struct directory_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->directories = directories;
    watch->count = count;
    watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->end = eventfd(0, EFD_CLOEXEC);
    if (watch->end < 0) {
        directory_watch_close(watch);
        return NULL;
    }
    return watch;
}

void directory_watch_close(struct directory_watch *watch) {
    if (!watch)
        return;
    if (watch->inotify >= 0)
        close(watch->inotify);
    if (watch->end >= 0)
        close(watch->end);
    free(watch);
}

/* Adding a watch that is there already does nothing, so this simply runs before every wait: a directory that was
   replaced is found again. */
static void add_watches(const struct directory_watch *watch) {
    const uint32_t events = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_DELETE | IN_DELETE_SELF |
                            IN_MOVE_SELF | IN_ONLYDIR;
    for (size_t i = 0; i < watch->count; i++) {
        char parent[PATH_MAX];
        snprintf(parent, sizeof parent, "%s", watch->directories[i]);
        inotify_add_watch(watch->inotify, dirname(parent), events);
        inotify_add_watch(watch->inotify, watch->directories[i], events);
    }
}

/* Empties the queue; an overflow is an event like any other. */
static bool drain(int descriptor) {
    char events[4096] __attribute__((aligned(8)));
    bool any = false;
    while (read(descriptor, events, sizeof events) > 0)
        any = true;
    return any;
}

enum directory_event directory_watch_wait(struct directory_watch *watch, int timeout_ms) {
    add_watches(watch);
    struct pollfd descriptors[2] = {{watch->end, POLLIN, 0}, {watch->inotify, POLLIN, 0}};
    int count = poll(descriptors, 2, timeout_ms);
    if (descriptors[0].revents)
        return DIRECTORY_ENDED;
    if (count <= 0 || !drain(watch->inotify))
        return DIRECTORY_QUIET;
    int64_t until = clock_monotonic_ms() + SETTLE_MAX_MS;
    while (clock_monotonic_ms() < until && poll(descriptors, 2, SETTLE_MS) > 0) {
        if (descriptors[0].revents)
            return DIRECTORY_ENDED;
        drain(watch->inotify);
    }
    return DIRECTORY_CHANGED;
}

void directory_watch_end(struct directory_watch *watch) {
    uint64_t one = 1;
    if (write(watch->end, &one, sizeof one) != (ssize_t)sizeof one)
        return; /* only when it was ended 2^64 times */
}
