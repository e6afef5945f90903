/* One exchange under way: what http_client.c, http_request.c and http_answer.c, the room that includes curl, share. */
#ifndef HOST_HTTP_TRANSFER_H
#define HOST_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http_exchange.h"

struct stream {
    bool (*on_bytes)(void *context, const char *data, size_t length);
    void *context;
    const atomic_bool *cancel;
    int64_t idle_timeout_ms;
};

/* One exchange under way. */
struct transfer {
    struct http_exchange *exchange;
    const struct stream *stream; /* NULL: the whole answer is wanted */
    CURL *easy;                  /* NULL when nothing is under way (any more) */
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    char *url;        /* with tls.server_name in the host's place; NULL: the exchange's own */
    char *host;       /* the Host header that goes with url */
    char origin[300]; /* "https://host:port", for messages */
    char detail[CURL_ERROR_SIZE];
    int64_t deadline_ms; /* 0: none */
    int64_t started_us;
    int64_t last_byte_ms;
    size_t header_bytes;
    size_t body_length; /* of body_bytes, whose own length is the room there is */
    size_t max_body_bytes;
    size_t reserved_bytes; /* its part of what all transfers may hold */
    bool headers_ended;
    bool stopped;              /* on_bytes wants no more */
    enum http_failure verdict; /* of a callback that ended the transfer */
};

/* http_request.c: checks and sets up everything that needs no network; false when the exchange has failed. */
bool transfer_prepare(struct transfer *transfer, struct http_exchange *exchange, const struct stream *stream);
void transfer_free(struct transfer *transfer);

/* http_answer.c: the callbacks that take the answer in, and what it all came to. */
bool transfer_receive(struct transfer *transfer);
void transfer_finish(struct transfer *transfer, CURLcode code);
/* Its answer is somebody else's from now on. */
void transfer_received(struct transfer *transfer);

#endif
