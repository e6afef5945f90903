/* What can go wrong between us and the API server, typed. */
#ifndef HOST_KUBE_FAILURE_H
#define HOST_KUBE_FAILURE_H

#include "http_client.h"

enum kube_code {
    KUBE_NOT_FOUND,    /* 404 */
    KUBE_CONFLICT,     /* 409 */
    KUBE_INVALID,      /* 422, or an admission webhook's refusal under 400 or 403 */
    KUBE_FORBIDDEN,    /* 403: we lack a right */
    KUBE_UNAUTHORIZED, /* 401 */
    KUBE_GONE,         /* 410 */
    KUBE_THROTTLED,    /* 429, or 503 with Retry-After */
    KUBE_UNAVAILABLE,  /* other 5xx, no connection, no HTTP, TLS */
    KUBE_TIMEOUT,      /* the deadline */
    KUBE_BAD_ANSWER,   /* not the JSON that was asked for, too large, any other status */
};
const char *kube_code_name(enum kube_code code); /* "not_found" */

struct kube_failure {
    enum kube_code code;
    int status;          /* 0 when there was no answer */
    int64_t retry_after; /* seconds, -1 when the answer does not say */
    bool sent;           /* false: certain that nothing reached the API server */
    char message[512];   /* one sentence, the API server's own where it sent one */
    char reason[64];     /* of the Status, "" when there is none */
    struct span causes;  /* of the Status: a JSON array inside of body, or empty */
    struct bytes *body;  /* of the Status, or NULL */
};

/* Types an exchange that did not bring what was asked for; takes a reference of its body. */
void kube_failure_read(struct kube_failure *failure, const struct http_exchange *exchange);
/* Types a Status object (valid JSON) as it stands in a watch's ERROR event. */
void kube_failure_status(struct kube_failure *failure, struct span status);
/* One of our own making. */
void kube_failure_set(struct kube_failure *failure, enum kube_code code, const char *message);
void kube_failure_free(struct kube_failure *failure);

#endif
