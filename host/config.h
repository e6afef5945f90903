/* Settings: read once from the environment, validated, never changed. */
#ifndef HOST_CONFIG_H
#define HOST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "log.h"

struct config {
    const char *domino_nucleus_uri; /* without a trailing '/' */
    const char *compute_namespace;
    enum log_level log_level;
    const char *kubeconfig; /* "" when not set */
    const char *listen;     /* address:port */
    const char *admin_listen;
    const char *scripts_dir;
    const char *policies_dir;
    long identity_ttl_seconds; /* 0: off */
    long request_timeout_seconds;
};

/* A setting as the table in the README shows it. */
struct setting {
    const char *name;
    const char *fallback;
    const char *meaning;
};

/* Every setting, ended by a NULL name. */
extern const struct setting config_settings[];

/* Fills config from lookup (getenv in production). On a wrong value: false, and one clear line in error.
   Strings point into what lookup returned or into constants. */
bool config_read(struct config *config, const char *(*lookup)(const char *name), char *error, size_t error_size);
/* One line of JSON fields with every setting's value in force, for the start-up log. */
void config_describe(const struct config *config, struct buffer *out);

#endif
