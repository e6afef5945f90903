/* How answers leave the server, and what a thread needs for one. */
#ifndef HOST_SERVER_ANSWER_H
#define HOST_SERVER_ANSWER_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "message.h"

/* What a thread needs for one request; kept so that a busy thread does not allocate. */
struct worker {
    struct response response;
    struct buffer output;
    struct buffer body;
    struct iovec *parts;
    size_t part_capacity;
};

/* The thread's own; NULL when memory is exhausted. */
struct worker *worker_get(void);
void worker_let_go(struct worker *worker);

/* Appends status line and headers, up to what says how long the body is. */
void write_head(struct buffer *out, struct response *response, const struct call_context *call, bool close);
/* The three below write on the connection that the thread serves. False: it is lost, or memory was. */
bool write_all(const char *data, size_t length);
bool write_response(struct worker *worker, const struct call_context *call, bool head_only, bool close);
/* Until the stream ends, its reader leaves, or draining is set. */
void write_stream(struct worker *worker, const struct call_context *call, const atomic_bool *draining);

#endif
