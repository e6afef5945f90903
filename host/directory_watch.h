/* Says that something under a few directories may have changed. It never says what: the reader looks again. */
#ifndef HOST_DIRECTORY_WATCH_H
#define HOST_DIRECTORY_WATCH_H

#include <stdbool.h>
#include <stddef.h>

struct directory_watch;

/* Watches each directory's .lua files and "..data", and the way to it, so that one that vanishes and comes back, or
   that a link leads to, is seen. Reports nothing that happened before. */
struct directory_watch *directory_watch_open(const char *const *directories, size_t count);
void directory_watch_close(struct directory_watch *watch);

enum directory_event {
    DIRECTORY_CHANGED, /* something moved, and then nothing for a moment */
    DIRECTORY_QUIET,   /* the timeout passed */
    DIRECTORY_ENDED,   /* directory_watch_end was called */
};
/* What changes after it returned is reported by the next. */
enum directory_event directory_watch_wait(struct directory_watch *watch, int timeout_ms);
void directory_watch_end(struct directory_watch *watch); /* from any thread */

#endif
