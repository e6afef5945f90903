/* Reads kubeconfig files the way kubectl does, as far as a service needs: the current context's cluster and user. */
#ifndef HOST_KUBECONFIG_H
#define HOST_KUBECONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

/* Every string is NULL when it is not set; files are read and -data is decoded, but for the token's file. */
struct kubeconfig {
    char *context;
    char *server; /* without a trailing '/' */
    char *namespace;
    char *ca_pem;
    char *server_name;
    char *proxy;
    bool insecure;
    char *token;
    char *token_file; /* a path that does not depend on the working directory's meaning in the file */
    char *username;
    char *password;
    char *certificate_pem;
    char *key_pem;
};

/* paths: files apart by ':', as in KUBECONFIG. Files that do not exist are skipped; of what several files name, the
   first wins. False, and one line that holds no credential, when no usable configuration comes out. */
bool kubeconfig_load(struct kubeconfig *config, const char *paths, char *error, size_t error_size);
void kubeconfig_free(struct kubeconfig *config);

#endif
