/* The HTTP client: connections are reused, TLS is verified, redirects are never followed, nothing is taken from the
   environment, sizes and times are bounded. Only its implementation (http_*.c) includes curl. The program ignores
   SIGPIPE. */
#ifndef HOST_HTTP_CLIENT_H
#define HOST_HTTP_CLIENT_H

#include <stdatomic.h>

#include "message.h"

enum {
    HTTP_DEFAULT_MAX_RESPONSE_BYTES = 16 * 1024 * 1024,
    HTTP_DEFAULT_TIMEOUT_MS = 30000,   /* of an exchange that has no deadline at all */
    HTTP_MAX_HEADER_BYTES = 64 * 1024, /* of an answer's header lines, interim answers and trailers included */
    HTTP_CANCEL_LATENCY_MS = 200,      /* a stream sees its cancel flag within this time */
};

enum http_failure {
    HTTP_OK = 0,
    HTTP_TIMEOUT,   /* "timeout": the deadline passed */
    HTTP_CONNECT,   /* "connect": name not resolved, connection refused or lost before an answer began */
    HTTP_TLS,       /* "tls": certificate not trusted, handshake failed */
    HTTP_PROTOCOL,  /* "protocol": what came is not HTTP, or ended early */
    HTTP_TOO_LARGE, /* "too_large": more than max_response_bytes */
    HTTP_CANCELLED, /* "cancelled" */
    HTTP_MEMORY,    /* "memory" */
};
const char *http_failure_code(enum http_failure failure);

/* Trust and client identity of a peer; all pointers live longer than the calls that use them. PEM text or NULL. */
struct http_tls {
    const char *ca_pem;
    const char *certificate_pem;
    const char *key_pem;
    const char *server_name; /* instead of the URL's host, for SNI and verification */
    bool insecure;           /* skip verification: only when a kubeconfig says so */
};

struct http_exchange {
    /* In. */
    const char *method;
    const char *url;
    const struct header *headers; /* no value reaches a message or a log; framing headers are refused */
    size_t header_count;
    struct span body;
    int64_t deadline_ms;          /* monotonic; the earlier of this and context's; 0: context's alone */
    size_t max_response_bytes;    /* 0: HTTP_DEFAULT_MAX_RESPONSE_BYTES */
    const struct http_tls *tls;   /* NULL: the system's trust store */
    const char *proxy;            /* NULL: none */
    const char *target;           /* label in metrics: "domino", "kubernetes"; NULL: "other" */
    struct call_context *context; /* NULL outside a request; adds X-Request-Id and the trace, counts the call */

    /* Out. */
    enum http_failure failure;
    char message[256];          /* for logs; holds no header value and nothing of the URL but its origin */
    int status;                 /* of the final answer, also when its body then failed; 0 while there is none */
    struct bytes *body_bytes;   /* response body, never NULL on HTTP_OK */
    struct buffer header_lines; /* "name: value\n" with names in lower case, without trailers */
    bool sent;                  /* false: certain that the request never reached the peer */
};

struct http_client;
struct http_client *http_client_new(void);
void http_client_free(struct http_client *client);

/* Performs all of them at the same time and returns when each has ended. */
void http_perform(struct http_client *client, struct http_exchange *exchanges, size_t count);
/* Frees and clears what came out; what went in stays, so the exchange may be performed again. */
void http_exchange_free(struct http_exchange *exchange);
/* Value of the first response header of that name, copied into out; false when there is none or it does not fit. */
bool http_response_header(const struct http_exchange *exchange, const char *name, char *out, size_t size);

/* A long-lived answer read as it comes (watch). on_bytes is called with length 0 once a 2xx answer has begun, then with
   its body, and returns false to end it (HTTP_OK). Otherwise it ends by cancel (HTTP_CANCELLED), by idle_timeout_ms
   without a byte (HTTP_TIMEOUT), by the deadline if there is one (HTTP_TIMEOUT), or by the peer (HTTP_OK when its
   answer is complete). body_bytes holds the body when the status is not 2xx, and is empty otherwise. */
void http_stream(struct http_client *client, struct http_exchange *exchange, int64_t idle_timeout_ms,
                 bool (*on_bytes)(void *context, const char *data, size_t length), void *context,
                 const atomic_bool *cancel);

#endif
