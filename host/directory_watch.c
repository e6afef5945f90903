#include "directory_watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
    /* An editor or kubelet makes several events of one change: report when they pause, or after a while anyway. */
    SETTLE_MS = 5,
    SETTLE_MAX_MS = 60,
};

/* A directory that is watched: one of the reader's, or one on the way to it. */
struct step {
    char *path;
    const char *name; /* on the way: the entry that leads on, a part of path's own memory; NULL for the reader's */
    int descriptor;   /* of inotify; -1 while there is no such directory */
};

struct directory_watch {
    struct step *steps;
    size_t count;
    int inotify; /* -1 where the kernel gives none: the reader's own slow look must do */
    int end;
};

/* Takes over path. */
static bool add_step(struct directory_watch *watch, char *path, const char *name) {
    struct step *steps = path ? realloc(watch->steps, (watch->count + 1) * sizeof *steps) : NULL;
    if (!steps) {
        free(path);
        return false;
    }
    watch->steps = steps;
    steps[watch->count++] = (struct step){path, name, -1};
    return true;
}

/* "/a/b" is watched in "/" for "a", in "/a" for "b", and in itself, so that whatever on the way is replaced, vanishes
   and comes back or is a link that is swapped is seen. */
static bool add_directory(struct directory_watch *watch, const char *directory) {
    size_t length = strlen(directory);
    for (size_t start = 0; start < length;) {
        size_t name = start + strspn(directory + start, "/");
        size_t name_length = strcspn(directory + name, "/");
        if (name_length == 0)
            break;
        char *path = malloc(length + 4);
        if (!path)
            return false;
        size_t before = name ? name : 1;
        memcpy(path, name ? directory : ".", before);
        path[before] = '\0';
        char *copy = path + before + 1;
        memcpy(copy, directory + name, name_length);
        copy[name_length] = '\0';
        if (!add_step(watch, path, copy))
            return false;
        start = name + name_length;
    }
    return add_step(watch, strdup(directory), NULL);
}

static bool in_use(const struct directory_watch *watch, int descriptor) {
    for (size_t i = 0; i < watch->count; i++)
        if (watch->steps[i].descriptor == descriptor)
            return true;
    return false;
}

/* Watches what the paths name now. Adding a watch that is there already changes nothing. */
static void refresh(struct directory_watch *watch) {
    const uint32_t way = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
    const uint32_t own = way | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
    for (size_t i = 0; i < watch->count; i++) {
        struct step *step = &watch->steps[i];
        int before = step->descriptor;
        step->descriptor =
            inotify_add_watch(watch->inotify, step->path, (step->name ? way : own) | IN_ONLYDIR | IN_MASK_ADD);
        if (before >= 0 && !in_use(watch, before))
            inotify_rm_watch(watch->inotify, before);
    }
}

struct directory_watch *directory_watch_open(const char *const *directories, size_t count) {
    struct directory_watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->inotify < 0)
        log_line(LOG_WARN, "no inotify (%s): changes are found by looking now and then", strerror(errno));
    watch->end = eventfd(0, EFD_CLOEXEC);
    bool made = watch->end >= 0;
    for (size_t i = 0; made && i < count; i++)
        made = add_directory(watch, directories[i]);
    if (!made) {
        directory_watch_close(watch);
        return NULL;
    }
    refresh(watch);
    return watch;
}

void directory_watch_close(struct directory_watch *watch) {
    if (!watch)
        return;
    if (watch->inotify >= 0)
        close(watch->inotify);
    if (watch->end >= 0)
        close(watch->end);
    for (size_t i = 0; i < watch->count; i++)
        free(watch->steps[i].path);
    free(watch->steps);
    free(watch);
}

static bool is_file_of_interest(const char *name) {
    size_t length = strlen(name);
    return strcmp(name, "..data") == 0 || (length > 4 && strcmp(name + length - 4, ".lua") == 0);
}

static bool matters(const struct directory_watch *watch, const struct inotify_event *event) {
    if (event->mask & IN_Q_OVERFLOW)
        return true;
    const char *name = event->len ? event->name : "";
    for (size_t i = 0; i < watch->count; i++) {
        const struct step *step = &watch->steps[i];
        if (step->descriptor != event->wd)
            continue;
        if (step->name ? strcmp(step->name, name) == 0 : !*name || is_file_of_interest(name))
            return true;
    }
    return false;
}

/* Empties the queue; true when anything in it matters. */
static bool drain(const struct directory_watch *watch) {
    char events[4096] __attribute__((aligned(8)));
    ssize_t length;
    bool any = false;
    while ((length = read(watch->inotify, events, sizeof events)) > 0)
        for (char *at = events; at < events + length;) {
            const struct inotify_event *event = (const struct inotify_event *)(void *)at;
            any |= matters(watch, event);
            at += sizeof *event + event->len;
        }
    return any;
}

/* Waits until something that matters happened. */
static enum directory_event await(const struct directory_watch *watch, int timeout_ms) {
    int64_t until = clock_monotonic_ms() + timeout_ms;
    for (int64_t left = timeout_ms; left > 0; left = until - clock_monotonic_ms()) {
        struct pollfd descriptors[2] = {{watch->end, POLLIN, 0}, {watch->inotify, POLLIN, 0}};
        poll(descriptors, 2, (int)left);
        if (descriptors[0].revents)
            return DIRECTORY_ENDED;
        if (descriptors[1].revents && drain(watch))
            return DIRECTORY_CHANGED;
    }
    return DIRECTORY_QUIET;
}

enum directory_event directory_watch_wait(struct directory_watch *watch, int timeout_ms) {
    enum directory_event event = await(watch, timeout_ms), more = event;
    for (int64_t until = clock_monotonic_ms() + SETTLE_MAX_MS;
         more == DIRECTORY_CHANGED && clock_monotonic_ms() < until;)
        more = await(watch, SETTLE_MS);
    refresh(watch); /* before the reader looks: what changes after its look is an event of the new watches */
    return more == DIRECTORY_ENDED ? more : event;
}

void directory_watch_end(struct directory_watch *watch) {
    uint64_t one = 1;
    if (write(watch->end, &one, sizeof one) != (ssize_t)sizeof one)
        return; /* only when it was ended 2^64 times */
}
