/* The HTTP server: sockets, threads, limits, strict parsing. The only room that includes civetweb. Knows no route. */
#ifndef HOST_SERVER_H
#define HOST_SERVER_H

#include <stdatomic.h>

#include "message.h"

struct server;

/* What goes on in a server, for metrics. */
struct server_load {
    atomic_int threads;  /* that have a connection */
    atomic_int requests; /* between their first line and their answer's last byte */
};

struct server_options {
    const char *listen; /* "127.0.0.1:6000", "[::]:6000"; port 0 picks one */
    int threads;        /* one thread serves one connection at a time */
    size_t max_body_bytes;
    int64_t request_timeout_ms; /* the request's whole deadline, from its first line on */
    bool streaming;             /* answers may stream or be raw: simulator only */
    bool one_request;           /* a connection: clients that keep theirs open cannot hold every thread */
    struct server_load *load;   /* kept up to date; NULL when nobody wants to know */
    void (*handle)(void *context, const struct request *request, struct response *response);
    /* After the answer was written, or could not be. May be NULL. For what is refused before it is a request `refused`
       is called instead. Both may use scratch's memory, whatever it holds. */
    void (*done)(void *context, const struct request *request, const struct response *response, int64_t duration_us,
                 struct buffer *scratch);
    void (*refused)(void *context, const struct call_context *call, const struct response *response,
                    int64_t duration_us, struct buffer *scratch);
    void *context;
};

/* NULL and a message when the address cannot be listened on. */
struct server *server_start(const struct server_options *options, struct buffer *error);
int server_port(const struct server *server);
/* From now on every answer closes its connection, so that clients move on before the end. */
void server_drain(struct server *server);
/* Refuses new connections, finishes the requests in flight (at most as long as one may take), ends. NULL is fine. */
void server_stop(struct server *server);

#endif
