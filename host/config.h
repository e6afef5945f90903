/* Settings: read once from the environment, validated, never changed. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "log.h"

enum { CONFIG_MAX_URL_BYTES = 511 };

struct config {
    char domino_nucleus_uri[CONFIG_MAX_URL_BYTES + 1]; /* without a trailing '/' */
    const char *compute_namespace;
    enum log_level log_level;
    const char *kubeconfig; /* "" when not set */
    const char *listen;     /* "address:port", "[address]:port"; port 0: any free one */
    const char *admin_listen;
    const char *scripts_dir;
    const char *policies_dir;
    const char *simulator_dir;
    const char *state_dir; /* "" when not set */
    bool policy_examples_optional;
    const char *decision_log; /* "" when not set: decisions are lines of the log */
    double decision_sample_rate;
    long identity_ttl_seconds; /* 0: off */
    long request_timeout_seconds;
    long kube_max_stale_seconds;
    long drain_seconds;
    long max_requests;
    long max_requests_per_caller;
};

struct setting_kind;

/* One row a setting. The first three are what the table in the README shows. */
struct setting {
    const char *name;
    const char *fallback; /* "": none */
    const char *meaning;
    const struct setting_kind *kind; /* how config.c reads, shows and explains it */
    size_t offset;                   /* of its member in struct config */
    long least, most;                /* of numbers */
};

/* Every setting, ended by a NULL name. */
extern const struct setting config_settings[];

/* Fills config from lookup (getenv in production). On a wrong value: false, and one clear line in error.
   Strings point into what lookup returned or into constants. An empty value counts as unset. */
bool config_read(struct config *config, const char *(*lookup)(const char *name), char *error, size_t error_size);
/* One line of JSON fields with every setting's value in force, for the start-up log. */
void config_describe(const struct config *config, struct buffer *out);

#endif
