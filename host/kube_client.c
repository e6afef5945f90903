#include "kube_client.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "file.h"
#include "kubeconfig.h"

static const char service_account_directory[] = "/var/run/secrets/kubernetes.io/serviceaccount";

enum {
    MAX_TOKEN_BYTES = 64 * 1024,
    MAX_CA_BYTES = 1024 * 1024,
};

struct kube {
    struct http_client *client;
    struct kubeconfig config; /* never changes once open */
    struct http_tls tls;
    char *description;
    pthread_mutex_t lock;        /* over the two below */
    struct bytes *authorization; /* header value; NULL: none is sent */
    int64_t read_ms;             /* when the token's file was last read with success */
};

/* ---- finding the API server ---- */

static bool out_of_memory(char *error, size_t error_size) {
    snprintf(error, error_size, "kubernetes: out of memory");
    return false;
}

static char *read_text(const char *directory, const char *name, size_t max_bytes) {
    char *path = NULL, *text = NULL;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return NULL;
    struct bytes *bytes = file_read(path, max_bytes);
    if (bytes) {
        size_t length = bytes->length;
        while (length && strchr(" \r\n", bytes->data[length - 1]))
            length--;
        text = strndup(bytes->data, length);
    }
    file_forget(bytes);
    free(path);
    return text;
}

/* True when this process runs in a pod that has a service account. */
static bool find_in_cluster(struct kubeconfig *config, const char *(*lookup)(const char *name)) {
    const char *host = lookup("KUBERNETES_SERVICE_HOST"), *port = lookup("KUBERNETES_SERVICE_PORT");
    const char *directory = lookup("SERVICE_ACCOUNT_DIR");
    if (!directory || !directory[0])
        directory = service_account_directory;
    if (!host || !host[0] || !port || !port[0])
        return false;
    *config = (struct kubeconfig){0};
    bool ipv6 = strchr(host, ':') != NULL;
    if (asprintf(&config->server, ipv6 ? "https://[%s]:%s" : "https://%s:%s", host, port) < 0)
        config->server = NULL;
    if (asprintf(&config->token_file, "%s/token", directory) < 0)
        config->token_file = NULL;
    config->ca_pem = read_text(directory, "ca.crt", MAX_CA_BYTES);
    config->namespace = read_text(directory, "namespace", 256);
    struct bytes *token = config->token_file ? file_read(config->token_file, MAX_TOKEN_BYTES) : NULL;
    bool found = config->server && config->ca_pem && token;
    file_forget(token);
    if (!found)
        kubeconfig_free(config);
    return found;
}

static bool find_kubeconfig(struct kubeconfig *config, const char *paths, const char *(*lookup)(const char *name),
                            char *error, size_t error_size) {
    if (paths && paths[0])
        return kubeconfig_load(config, paths, error, error_size);
    const char *home = lookup("HOME");
    char *path = NULL;
    if (asprintf(&path, "%s/.kube/config", home ? home : "") < 0)
        return out_of_memory(error, error_size);
    bool found = kubeconfig_load(config, path, error, error_size);
    free(path);
    return found;
}

/* ---- credentials ---- */

/* "Bearer <token>", NULL when it is no token that could stand in a header. */
static struct bytes *bearer(const char *token, size_t length) {
    static const char scheme[] = "Bearer ";
    while (length && strchr(" \t\r\n", token[length - 1]))
        length--;
    while (length && strchr(" \t\r\n", token[0]))
        token++, length--;
    if (!length)
        return NULL;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)token[i] <= 0x20 || (unsigned char)token[i] >= 0x7f)
            return NULL;
    struct bytes *value = bytes_new(sizeof scheme - 1 + length);
    if (value) {
        memcpy(value->data, scheme, sizeof scheme - 1);
        memcpy(value->data + sizeof scheme - 1, token, length);
    }
    return value;
}

static struct bytes *basic(const char *username, const char *password) {
    struct buffer plain = {0};
    buffer_format(&plain, "%s:%s", username, password ? password : "");
    struct bytes *value = NULL;
    if (!plain.failed && (value = bytes_new(6 + (plain.length + 2) / 3 * 4)) != NULL) {
        memcpy(value->data, "Basic ", 6);
        EVP_EncodeBlock((unsigned char *)value->data + 6, (const unsigned char *)plain.data, (int)plain.length);
    }
    if (plain.data)
        OPENSSL_cleanse(plain.data, plain.length);
    buffer_free(&plain);
    return value;
}

/* With the lock held. When the file cannot be read, what was read before stays: it may still be good. */
static void read_token(struct kube *kube) {
    struct bytes *text = file_read(kube->config.token_file, MAX_TOKEN_BYTES);
    struct bytes *value = text ? bearer(text->data, text->length) : NULL;
    file_forget(text);
    if (!value)
        return;
    bytes_release(kube->authorization);
    kube->authorization = value;
    kube->read_ms = clock_monotonic_ms();
}

/* What to send now, a reference or NULL. refused: what was answered by 401, so that only something else will do. */
static struct bytes *authorization(struct kube *kube, const struct bytes *refused) {
    pthread_mutex_lock(&kube->lock);
    bool old = clock_monotonic_ms() - kube->read_ms >= KUBE_TOKEN_MAX_AGE_MS || kube->authorization == refused;
    if (kube->config.token_file && old)
        read_token(kube);
    struct bytes *value = kube->authorization ? bytes_reference(kube->authorization) : NULL;
    pthread_mutex_unlock(&kube->lock);
    return value;
}

/* ---- opening ---- */

static bool first_credentials(struct kube *kube, char *error, size_t error_size) {
    const struct kubeconfig *config = &kube->config;
    if (config->token)
        kube->authorization = bearer(config->token, strlen(config->token));
    else if (config->username)
        kube->authorization = basic(config->username, config->password);
    if ((config->token || config->username) && !kube->authorization) {
        snprintf(error, error_size, "kubernetes: the token cannot stand in a header");
        return false;
    }
    if (!config->token_file)
        return true;
    read_token(kube);
    if (!kube->authorization) {
        snprintf(error, error_size, "kubernetes: no token can be read from %s", config->token_file);
        return false;
    }
    return true;
}

struct kube *kube_open(struct http_client *client, const char *kubeconfig, const char *(*lookup)(const char *name),
                       char *error, size_t error_size) {
    struct kube *kube = calloc(1, sizeof *kube);
    if (!kube) {
        out_of_memory(error, error_size);
        return NULL;
    }
    kube->client = client;
    pthread_mutex_init(&kube->lock, NULL);
    bool in_cluster = find_in_cluster(&kube->config, lookup);
    bool good = in_cluster || find_kubeconfig(&kube->config, kubeconfig, lookup, error, error_size);
    if (good && asprintf(&kube->description, in_cluster ? "in-cluster %s" : "kubeconfig %s context %s",
                         kube->config.server, kube->config.context) < 0) {
        kube->description = NULL;
        good = out_of_memory(error, error_size);
    }
    if (!good || !first_credentials(kube, error, error_size)) {
        kube_close(kube);
        return NULL;
    }
    kube->tls = (struct http_tls){.ca_pem = kube->config.ca_pem,
                                  .certificate_pem = kube->config.certificate_pem,
                                  .key_pem = kube->config.key_pem,
                                  .server_name = kube->config.server_name,
                                  .insecure = kube->config.insecure};
    return kube;
}

void kube_close(struct kube *kube) {
    if (!kube)
        return;
    kubeconfig_free(&kube->config);
    free(kube->description);
    bytes_release(kube->authorization);
    pthread_mutex_destroy(&kube->lock);
    free(kube);
}

const char *kube_describe(const struct kube *kube) {
    return kube->description;
}

const char *kube_namespace(const struct kube *kube) {
    return kube->config.namespace && kube->config.namespace[0] ? kube->config.namespace : "default";
}

/* ---- calling ---- */

struct stream {
    int64_t idle_timeout_ms;
    bool (*on_bytes)(void *context, const char *data, size_t length);
    void *context;
    const atomic_bool *cancel;
};

/* One attempt, with the credentials given. */
static void attempt(struct kube *kube, struct http_exchange *exchange, const struct stream *stream,
                    struct header *headers, const struct bytes *credentials) {
    struct http_exchange call = *exchange;
    call.headers = headers;
    if (credentials)
        headers[call.header_count++] = (struct header){"Authorization", credentials->data};
    if (stream)
        http_stream(kube->client, &call, stream->idle_timeout_ms, stream->on_bytes, stream->context, stream->cancel);
    else
        http_perform(kube->client, &call, 1);
    call.headers = exchange->headers;
    call.header_count = exchange->header_count;
    *exchange = call;
}

static void call(struct kube *kube, const char *path_and_query, struct http_exchange *exchange,
                 const struct stream *stream) {
    char *url = NULL;
    struct header *headers = malloc((exchange->header_count + 1) * sizeof *headers);
    struct bytes *credentials = authorization(kube, NULL);
    if (!headers || asprintf(&url, "%s%s", kube->config.server, path_and_query) < 0) {
        http_exchange_free(exchange);
        exchange->failure = HTTP_MEMORY;
        snprintf(exchange->message, sizeof exchange->message, "out of memory");
    } else {
        if (exchange->header_count)
            memcpy(headers, exchange->headers, exchange->header_count * sizeof *headers);
        exchange->url = url;
        exchange->tls = &kube->tls;
        exchange->proxy = kube->config.proxy;
        if (!exchange->target)
            exchange->target = "kubernetes";
        attempt(kube, exchange, stream, headers, credentials);
        if (exchange->failure == HTTP_OK && exchange->status == 401 && credentials) {
            struct bytes *fresh = authorization(kube, credentials);
            if (fresh && strcmp(fresh->data, credentials->data) != 0)
                attempt(kube, exchange, stream, headers, fresh);
            bytes_release(fresh);
        }
        exchange->url = NULL;
    }
    bytes_release(credentials);
    free(headers);
    free(url);
}

void kube_perform(struct kube *kube, const char *path_and_query, struct http_exchange *exchange) {
    call(kube, path_and_query, exchange, NULL);
}

void kube_stream(struct kube *kube, const char *path_and_query, struct http_exchange *exchange, int64_t idle_timeout_ms,
                 bool (*on_bytes)(void *context, const char *data, size_t length), void *context,
                 const atomic_bool *cancel) {
    struct stream stream = {idle_timeout_ms, on_bytes, context, cancel};
    call(kube, path_and_query, exchange, &stream);
}
