/* Strict HTTP/1.1: what civetweb lets through and we do not. Every ambiguity ends with a refusal and a closed
   connection before any script sees the request (RFC 9112). */
#ifndef HOST_WIRE_H
#define HOST_WIRE_H

#include "message.h"

struct wire_head {
    size_t length; /* up to where the body begins */
    size_t header_count;
    uint64_t content_length; /* 0 when there is no body */
};

struct wire_refusal {
    int status;
    const char *error;
    const char *message;
};

/* Reads the head of the request that received begins with: untouched bytes, since civetweb leaves no trace of much that
   it lets through. False with a refusal when it is ambiguous or anything but what the RFC's grammar allows. */
bool wire_check(struct span received, struct wire_head *head, struct wire_refusal *refusal);

/* How much of a request is there, before anything else is known of it. */
enum wire_measured { WIRE_PART, WIRE_HEADER, WIRE_BROKEN };
/* WIRE_HEADER: the header is complete, in *header bytes, and promises *body bytes, 0 when it is for the server to ask
   for them. Generous: wire_check looks closely. */
enum wire_measured wire_measure(const char *data, size_t length, size_t *header, uint64_t *body);

/* Percent-decodes a path of an origin-form target into out (size bytes); false when it is malformed or decodes to a
   control byte, a '/' or a NUL. */
bool wire_decode_path(const char *target, char *out, size_t size);

/* True when value's comma-separated list names option, without case. */
bool wire_has_option(const char *value, const char *option);

/* Copies a usable X-Request-Id, or makes one. out holds REQUEST_ID_BYTES + 1. */
void wire_request_id(const char *given, char *out);

/* From a caller's traceparent, the one that upstream calls carry: same trace, a span of our own. "" when the given one
   is absent or malformed. out holds TRACEPARENT_BYTES. */
void wire_traceparent(const char *given, char *out);

/* Reads a caller's traceparent, and the tracestate that goes on with it. More than one traceparent is none. */
void wire_trace(const struct header *headers, size_t count, struct call_context *call);

#endif
