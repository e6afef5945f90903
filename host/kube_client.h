/* Kubernetes: where the API server is, who we are, and one request at a time. Knows no resource and no rule. */
#ifndef HOST_KUBE_CLIENT_H
#define HOST_KUBE_CLIENT_H

#include "http_client.h"

struct kube;

/* In-cluster when KUBERNETES_SERVICE_HOST and _PORT are set and the service account's token and CA can be read, also
   when KUBECONFIG is set; else kubeconfig (path list as in KUBECONFIG, "" = ~/.kube/config). lookup is getenv in
   production; specs also name the service account's directory by it (SERVICE_ACCOUNT_DIR). NULL and one clear line on
   failure. Credentials of the configuration never stand in the error. client outlives the result. */
struct kube *kube_open(struct http_client *client, const char *kubeconfig, const char *(*lookup)(const char *name),
                       char *error, size_t error_size);
void kube_close(struct kube *kube);
/* Where it was found, for the start-up log: "in-cluster https://10.0.0.1:443" or "kubeconfig … context …". */
const char *kube_describe(const struct kube *kube);
/* The configuration's own namespace, "default" when it names none. */
const char *kube_namespace(const struct kube *kube);

enum { KUBE_TOKEN_MAX_AGE_MS = 60 * 1000 };

/* exchange: method, headers (no Authorization), body, limits and context are the caller's; path_and_query ("/apis/…")
   replaces url; tls and proxy are the configuration's, target is "kubernetes" unless given. Adds credentials. Tokens
   are read again once a minute; on a 401 the token is read at once, and if it has changed the call is made again. */
void kube_perform(struct kube *kube, const char *path_and_query, struct http_exchange *exchange);
void kube_stream(struct kube *kube, const char *path_and_query, struct http_exchange *exchange, int64_t idle_timeout_ms,
                 bool (*on_bytes)(void *context, const char *data, size_t length), void *context,
                 const atomic_bool *cancel);

#endif
