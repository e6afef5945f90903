/* HTTP messages as the rest of the house sees them, without civetweb. */
#ifndef HOST_MESSAGE_H
#define HOST_MESSAGE_H

#include <stdint.h>
#include <strings.h>

#include "bytes.h"

enum {
    REQUEST_ID_BYTES = 128, /* longest X-Request-Id that is echoed */
    TRACEPARENT_BYTES = 56, /* W3C trace context, version 00, with its '\0' */
    TRACESTATE_BYTES = 513, /* what has to be passed on of a tracestate at least, with its '\0' */
    REVISION_BYTES = 16,    /* longest revision of a bundle */
    OBJECT_NAME_BYTES = 253,
};

struct header {
    const char *name;
    const char *value;
};

/* What an upstream call needs to know of the request it is made for, and what it leaves behind for the access log. */
struct call_context {
    int64_t deadline_ms; /* monotonic; no upstream call or retry goes on beyond it */
    char request_id[REQUEST_ID_BYTES + 1];
    char traceparent[TRACEPARENT_BYTES];    /* "" when the caller sent none */
    char tracestate[TRACESTATE_BYTES];      /* goes on with it */
    char revision[REVISION_BYTES + 1];      /* of the bundle that answers; "" when none does */
    char code_revision[REVISION_BYTES + 1]; /* of that bundle without its rules */
    int64_t utc_seconds;                    /* call_time's; 0 before */
    bool view_wanted;                       /* by the decision log's sample, drawn before the run */
    unsigned upstream_calls;
    int64_t upstream_us;
    char changed[OBJECT_NAME_BYTES + 1]; /* what was written, or may have been, without an audit line since; or "" */
};

/* The request's time in seconds since 1970: one request has one, once it was asked for. */
int64_t call_time(struct call_context *call);

/* Valid while the handler runs. Header names are as sent; compare without case. */
struct request {
    const char *method;
    const char *path;  /* percent-decoded, strict: no NUL, no control bytes, no encoded '/' */
    const char *query; /* as sent, without '?'; "" when there is none */
    const struct header *headers;
    size_t header_count;
    struct span body;
    struct call_context *call;
};

/* Can text be a header's name? (token, RFC 9110 5.6.2) */
bool header_name_valid(const char *text);
extern const bool header_name_bytes[256];
static inline bool header_name_byte(char c) {
    return header_name_bytes[(unsigned char)c];
}

/* Whether two names may be the same but for case, by their first letters: mostly the cheapest way to tell that they are
   not. */
static inline bool header_name_may_be(const char *name, const char *wanted) {
    return ((name[0] ^ wanted[0]) & ~('a' ^ 'A')) == 0;
}
static inline bool header_name_is(const char *name, const char *wanted) {
    return header_name_may_be(name, wanted) && strcasecmp(name, wanted) == 0;
}

/* NULL when the request has no such header. */
const char *request_header(const struct request *request, const char *name);

/* One piece of a body. owner keeps data alive until the answer is sent. */
struct piece {
    struct bytes *owner;
    struct span span;
};

/* What a streaming body wants next. Only the simulator streams. */
enum stream_step { STREAM_DATA, STREAM_WAIT, STREAM_END, STREAM_ABORT };

struct response {
    int status;
    struct buffer headers; /* "Name: value\r\n" lines, without Content-Length, Date and Connection */
    struct piece *pieces;
    size_t piece_count;
    size_t piece_capacity;
    size_t body_length;
    bool failed;   /* memory ran out while it was built */
    bool complete; /* response_complete was here */
    bool close;    /* close the connection behind it */

    /* Set by a streaming answer (simulator profile only): called again and again until END or ABORT. */
    enum stream_step (*stream)(void *context, struct buffer *chunk);
    void *stream_context;
    void (*stream_free)(void *context);
    bool raw;         /* the stream's bytes go out as they are, without status line or framing */
    int64_t delay_ms; /* wait that long before anything is sent */

    /* For the access log. */
    char route[96];  /* route template, "/raycluster/{name}" */
    char caller[96]; /* caller id; "" when unknown */
    char error[32];  /* the error of a problem answer; "" when there is none */
};

/* False, and nothing appended, when name or value hold bytes that cannot stand in a header. */
bool response_header(struct response *response, const char *name, const char *value);
/* Adds the headers that every answer has, unless it has its own. */
void response_complete(struct response *response);
bool response_has_header(const struct response *response, const char *name);
/* Takes over one reference of owner, also when memory runs out. */
void response_piece(struct response *response, struct bytes *owner, struct span span);
/* Clears the response and makes it a problem document (RFC 9457) that also carries error, message and requestId. */
void response_problem(struct response *response, int status, const char *error, const char *message,
                      const char *request_id);
void response_clear(struct response *response);
void response_free(struct response *response);

const char *status_phrase(int status);

#endif
