/* What front.c, the accepting thread, and front_worker.c, the serving threads, share. */
#ifndef HOST_FRONT_STATE_H
#define HOST_FRONT_STATE_H

#include <pthread.h>

#include "bytes.h"
#include "front.h"

enum {
    FRONT_HEADER_TIMEOUT_MS = 10 * 1000,
    FRONT_IDLE_TIMEOUT_MS = 15 * 1000,
    FRONT_PEEK_BYTES = 16 * 1024, /* civetweb's limit of a header */
    FRONT_LISTENERS = 4,
};

struct list {
    int first, last, count;
};

/* A connection, found by its descriptor. */
struct connection {
    struct list *list; /* that it stands in; NULL: none */
    int previous, next;
    int64_t deadline_ms; /* of waiting */
    int64_t since_ms;    /* ready or stalled */
    int64_t stalled_ms;  /* before that, for this request */
    size_t whole;        /* bytes of the request; 0: as many as came */
    struct bytes *held;  /* what a thread has read of it already, or NULL */
    bool begun;          /* something has come */
    bool body_waited;    /* the header is there, the deadline is the body's */
    bool expired;        /* its request did not come whole in time */
    bool writing;
    bool cut;
};

struct front {
    struct front_options options;
    int epoll, wake;
    int limit; /* of connections */
    pthread_mutex_t mutex;
    struct connection *connections; /* by descriptor */
    int capacity;
    struct list waiting; /* for a whole request, by age */
    struct list ready;   /* for a thread, by age */
    struct list stalled; /* being served, their peer does not read or send */
    atomic_int ready_count;
    int begun_count; /* of those that wait, connections on which something has come */
    atomic_int busy; /* threads that have a connection */
    bool refusing, refused;
    atomic_bool ending;
    int listeners[FRONT_LISTENERS];
    int listener_count;
    int64_t swept_ms;
    char peeked[FRONT_PEEK_BYTES];
};

void front_list_add(struct front *front, struct list *list, int descriptor);
void front_list_remove(struct front *front, int descriptor);

/* What has come on a connection so far. */
enum front_look { FRONT_NOTHING, FRONT_PART, FRONT_WHOLE, FRONT_ENDED };
/* Judges the length bytes that have come. *whole: the bytes of the request, when they can be told; those that are not
   read of the connection yet count as come. What is no request is whole when that is clear. */
enum front_look front_judge(const struct front *front, int descriptor, const char *data, size_t length, size_t read,
                            size_t *whole);
/* The accepting thread's poll: true when a connection can be accepted whose request is there, and a thread for it. */
bool front_await(struct front *front, const struct pollfd *descriptors, nfds_t count, int timeout_ms);
/* That connection, or -1. */
int front_take(struct front *front);
/* Makes a thread go on that waits for its peer; with the mutex held. */
void front_cut_off(struct front *front, int descriptor);
/* A thread is free again. */
void front_release(struct front *front);
/* Takes over a connection whose next request has not come whole, and what has been read of it, which may be NULL. */
void front_wait_for_request(struct front *front, int descriptor, struct bytes *held, int64_t deadline_ms);

#endif
