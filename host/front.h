/* Where connections wait. civetweb keeps a thread for a connection as long as it lasts; with this, which stands between
   civetweb and the sockets (host/interpose.c), a thread has one only while there is a whole request to serve. So
   connections that are idle, or send slowly, cost a descriptor and no thread, and callers that are slow to take their
   answer or to send a large body never hold more than a share of the threads. */
#ifndef HOST_FRONT_H
#define HOST_FRONT_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct front;

struct front_options {
    int threads;
    int max_stalled; /* threads that may wait for their peers at one time; beyond, the longest waiting peer is cut off
                      */
    size_t max_body_bytes;
    int64_t request_timeout_ms; /* for a body, from its header on, and for taking an answer */
    atomic_int *requests;       /* counts those whose body has not come whole yet, too */
    /* No thread came free for a request in time: says so to the peer. The connection is closed behind it. */
    void (*overloaded)(void *context, int descriptor);
    void *context;
};

struct front *front_new(const struct front_options *options);
/* Closes what still waits. After civetweb has ended; NULL is fine. */
void front_free(struct front *front);
/* New connections are refused from soon on; those that there are go on. */
void front_refuse(struct front *front);
enum front_state {
    FRONT_EMPTY, /* no connection */
    FRONT_IDLE,  /* connections, but nothing has been asked on any of them that is not answered */
    FRONT_ASKED,
};
/* FRONT_EMPTY only once new connections are refused. */
enum front_state front_state(struct front *front);
/* Cuts off what still waits for its peers, and lets civetweb end quickly. */
void front_end(struct front *front);

/* civetweb's threads tell what they are about to do. */
void front_listen(struct front *front);  /* accept connections, from now on */
bool front_prepare(void);                /* serve connections, for life; false when memory is exhausted */
void front_open(struct front *front);    /* serve a connection */
void front_request(int64_t deadline_ms); /* read the rest of a request; waits for its peer end then */
void front_answer(int64_t timeout_ms);   /* answer it; waits for its peer end so long after the first; 0: never */
void front_between(void);                /* wait for the connection's next request, or close it */
void front_close(void);                  /* nothing: the connection is closed, or given back */
/* Has this thread's request not come whole in time? */
bool front_expired(void);
/* Sends all of the parts, which it uses up. False when the peer is gone, or did not take them before the deadline. */
bool front_send(struct iovec *parts, size_t count);
/* Has the peer hung up? */
bool front_peer_left(void);

/* What libc's functions do instead on such threads. Where they return false, it is theirs. */
bool front_poll(struct pollfd *descriptors, nfds_t count, int timeout_ms, int *result);
bool front_accept(struct sockaddr *address, socklen_t *size, int *result);
ssize_t front_receive(int descriptor, void *data, size_t length, int flags); /* always its own */
bool front_shutdown(int descriptor, int how);

#endif
