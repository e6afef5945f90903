#include "kubeconfig.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "file.h"

enum {
    MAX_FILES = 32,
    MAX_BYTES = 4 * 1024 * 1024, /* of one file; some hold hundreds of clusters with their certificates */
    MAX_DEPTH = 32,              /* of nested YAML; a kubeconfig needs 5, extensions may hold anything */
};

/* One file, open and parsed. */
struct source {
    char *path;
    yaml_document_t document;
    bool parsed;
};

struct loader {
    struct source files[MAX_FILES];
    size_t count;
    char *error;
    size_t error_size;
};

static bool refuse(struct loader *loader, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(struct loader *loader, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(loader->error, loader->error_size, format, arguments);
    va_end(arguments);
    return false;
}

/* Aliases can make a small file huge, and nesting a deep one: neither has a place in a kubeconfig. */
static bool check_shape(struct loader *loader, const char *path, const struct bytes *text) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return refuse(loader, "kubeconfig %s: out of memory", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->data, text->length);
    bool good = true, ended = false;
    for (int depth = 0, documents = 0; good && !ended;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            /* The problem is a constant of the library's; the context is too. Neither quotes the file. */
            good = refuse(loader, "kubeconfig %s line %zu: %s", path, parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "not YAML");
            break;
        }
        size_t line = event.start_mark.line + 1;
        switch (event.type) {
        case YAML_ALIAS_EVENT:
            good = refuse(loader, "kubeconfig %s line %zu: aliases are not supported", path, line);
            break;
        case YAML_MAPPING_START_EVENT:
        case YAML_SEQUENCE_START_EVENT:
            if (++depth > MAX_DEPTH)
                good = refuse(loader, "kubeconfig %s line %zu: nested too deeply", path, line);
            break;
        case YAML_MAPPING_END_EVENT:
        case YAML_SEQUENCE_END_EVENT:
            depth--;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1)
                good = refuse(loader, "kubeconfig %s line %zu: more than one YAML document", path, line);
            break;
        case YAML_STREAM_END_EVENT:
            ended = true;
            break;
        default:
            break;
        }
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return good;
}

static bool parse(struct loader *loader, struct source *source) {
    struct bytes *text = file_read(source->path, MAX_BYTES);
    if (!text)
        return errno == ENOENT || refuse(loader, "kubeconfig %s: %s", source->path, strerror(errno));
    bool good = check_shape(loader, source->path, text);
    yaml_parser_t parser;
    if (good && (good = yaml_parser_initialize(&parser) != 0)) {
        yaml_parser_set_input_string(&parser, (const unsigned char *)text->data, text->length);
        source->parsed = yaml_parser_load(&parser, &source->document) != 0;
        yaml_parser_delete(&parser);
        if (!source->parsed)
            good = refuse(loader, "kubeconfig %s: not YAML", source->path);
    }
    file_forget(text);
    return good;
}

/* The value of a key, NULL when node is no mapping or holds no such key. */
static yaml_node_t *member(struct source *source, const yaml_node_t *node, const char *key) {
    if (!node || node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(&source->document, pair->key);
        if (name && name->type == YAML_SCALAR_NODE && strcmp((const char *)name->data.scalar.value, key) == 0)
            return yaml_document_get_node(&source->document, pair->value);
    }
    return NULL;
}

/* A scalar's text; NULL when it is empty, null or no scalar: to kubectl, too, that is not set. */
static const char *text_of(const yaml_node_t *node) {
    if (!node || node->type != YAML_SCALAR_NODE || node->data.scalar.length == 0)
        return NULL;
    const char *text = (const char *)node->data.scalar.value;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (strcmp(text, "null") == 0 || strcmp(text, "~") == 0) ? NULL : text;
}

static const char *member_text(struct source *source, const yaml_node_t *node, const char *key) {
    return text_of(member(source, node, key));
}

/* The entry called name of a list ("clusters"): its body ("cluster") and the file it stands in. */
static yaml_node_t *entry(struct loader *loader, const char *list, const char *body, const char *name,
                          struct source **where) {
    for (size_t i = 0; i < loader->count; i++) {
        struct source *source = &loader->files[i];
        if (!source->parsed)
            continue;
        yaml_node_t *entries = member(source, yaml_document_get_root_node(&source->document), list);
        if (!entries || entries->type != YAML_SEQUENCE_NODE)
            continue;
        for (const yaml_node_item_t *item = entries->data.sequence.items.start; item < entries->data.sequence.items.top;
             item++) {
            const yaml_node_t *node = yaml_document_get_node(&source->document, *item);
            const char *called = member_text(source, node, "name");
            if (!called || strcmp(called, name) != 0)
                continue;
            *where = source;
            return member(source, node, body);
        }
    }
    return NULL;
}

static bool keep(struct loader *loader, char **out, const char *text) {
    if (!text)
        return true;
    *out = strdup(text);
    return *out || refuse(loader, "kubeconfig: out of memory");
}

/* Paths in a file are relative to that file. */
static char *resolve(const struct source *source, const char *path) {
    const char *slash = strrchr(source->path, '/');
    char *resolved = NULL;
    int length = path[0] == '/' || !slash
                     ? asprintf(&resolved, "%s", path)
                     : asprintf(&resolved, "%.*s/%s", (int)(slash - source->path), source->path, path);
    return length < 0 ? NULL : resolved;
}

static char *decode(const char *base64) {
    size_t length = strlen(base64);
    unsigned char *out = malloc(length + 1);
    EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
    int body = 0, tail = 0;
    bool good = out && context && length <= MAX_BYTES;
    if (good) {
        EVP_DecodeInit(context);
        good = EVP_DecodeUpdate(context, out, &body, (const unsigned char *)base64, (int)length) >= 0 &&
               EVP_DecodeFinal(context, out + body, &tail) == 1;
    }
    EVP_ENCODE_CTX_free(context);
    if (!good) {
        free(out);
        return NULL;
    }
    out[body + tail] = '\0';
    return (char *)out;
}

/* key-data in the file itself, else the file that key names. */
static bool read_pem(struct loader *loader, struct source *source, const yaml_node_t *node, const char *key,
                     char **out) {
    char data_key[64];
    snprintf(data_key, sizeof data_key, "%s-data", key);
    const char *data = member_text(source, node, data_key), *path = member_text(source, node, key);
    if (data) {
        *out = decode(data);
        return *out || refuse(loader, "kubeconfig %s: %s is not base64", source->path, data_key);
    }
    if (!path)
        return true;
    char *resolved = resolve(source, path);
    struct bytes *text = resolved ? file_read(resolved, MAX_BYTES) : NULL;
    bool good = text || refuse(loader, "kubeconfig %s: %s %s: %s", source->path, key, path, strerror(errno));
    free(resolved);
    good = good && keep(loader, out, text->data);
    file_forget(text);
    return good;
}

static bool read_cluster(struct loader *loader, struct kubeconfig *config, const char *name) {
    struct source *source = NULL;
    const yaml_node_t *node = entry(loader, "clusters", "cluster", name, &source);
    if (!node)
        return refuse(loader, "kubeconfig: no cluster \"%s\"", name);
    const char *insecure = member_text(source, node, "insecure-skip-tls-verify");
    if (insecure && strcmp(insecure, "true") != 0 && strcmp(insecure, "false") != 0)
        return refuse(loader, "kubeconfig %s: insecure-skip-tls-verify is neither true nor false", source->path);
    config->insecure = insecure && strcmp(insecure, "true") == 0;
    if (!keep(loader, &config->server, member_text(source, node, "server")) ||
        !keep(loader, &config->server_name, member_text(source, node, "tls-server-name")) ||
        !keep(loader, &config->proxy, member_text(source, node, "proxy-url")) ||
        !read_pem(loader, source, node, "certificate-authority", &config->ca_pem))
        return false;
    if (!config->server)
        return refuse(loader, "kubeconfig %s: cluster \"%s\" names no server", source->path, name);
    for (size_t length = strlen(config->server); length && config->server[length - 1] == '/';)
        config->server[--length] = '\0';
    if (strncmp(config->server, "https://", 8) != 0 && strncmp(config->server, "http://", 7) != 0)
        return refuse(loader, "kubeconfig %s: cluster \"%s\": server must begin with https:// or http://", source->path,
                      name);
    if (strpbrk(config->server, "@?#"))
        return refuse(loader, "kubeconfig %s: cluster \"%s\": server must be a plain URL, without credentials or query",
                      source->path, name);
    if (config->insecure && config->ca_pem)
        return refuse(loader, "kubeconfig %s: cluster \"%s\" has a certificate-authority and skips verification",
                      source->path, name);
    return true;
}

static bool read_user(struct loader *loader, struct kubeconfig *config, const char *name) {
    /* Each would have to be run or obeyed; ignoring one would call as somebody else. */
    static const char *const unsupported[] = {"exec", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra"};
    struct source *source = NULL;
    const yaml_node_t *node = entry(loader, "users", "user", name, &source);
    if (!source)
        return refuse(loader, "kubeconfig: no user \"%s\"", name);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (member(source, node, unsupported[i]))
            return refuse(loader,
                          "kubeconfig %s: user \"%s\" needs \"%s\", which is not supported: use a token, tokenFile or "
                          "client certificate",
                          source->path, name, unsupported[i]);
    const char *token_file = member_text(source, node, "tokenFile");
    if (token_file && !(config->token_file = resolve(source, token_file)))
        return refuse(loader, "kubeconfig: out of memory");
    if (!keep(loader, &config->token, member_text(source, node, "token")) ||
        !keep(loader, &config->username, member_text(source, node, "username")) ||
        !keep(loader, &config->password, member_text(source, node, "password")) ||
        !read_pem(loader, source, node, "client-certificate", &config->certificate_pem) ||
        !read_pem(loader, source, node, "client-key", &config->key_pem))
        return false;
    if (!config->certificate_pem != !config->key_pem)
        return refuse(loader, "kubeconfig %s: user \"%s\" has a client certificate or a client key, but not both",
                      source->path, name);
    if (config->username && (config->token || config->token_file))
        return refuse(loader, "kubeconfig %s: user \"%s\" has a token and a username: only one may be set",
                      source->path, name);
    return true;
}

static bool read_context(struct loader *loader, struct kubeconfig *config) {
    size_t parsed = 0;
    const char *current = NULL;
    for (size_t i = 0; i < loader->count; i++) {
        struct source *source = &loader->files[i];
        if (!source->parsed)
            continue;
        parsed++;
        if (!current)
            current = member_text(source, yaml_document_get_root_node(&source->document), "current-context");
    }
    if (!parsed)
        return refuse(loader, "kubeconfig: no such file: %s", loader->count ? loader->files[0].path : "(none named)");
    if (!current)
        return refuse(loader, "kubeconfig: no current-context is set");
    struct source *source = NULL;
    const yaml_node_t *context = entry(loader, "contexts", "context", current, &source);
    if (!context)
        return refuse(loader, "kubeconfig: no context \"%s\"", current);
    const char *cluster = member_text(source, context, "cluster"), *user = member_text(source, context, "user");
    if (!cluster)
        return refuse(loader, "kubeconfig %s: context \"%s\" names no cluster", source->path, current);
    return keep(loader, &config->context, current) &&
           keep(loader, &config->namespace, member_text(source, context, "namespace")) &&
           read_cluster(loader, config, cluster) && (!user || read_user(loader, config, user));
}

bool kubeconfig_load(struct kubeconfig *config, const char *paths, char *error, size_t error_size) {
    *config = (struct kubeconfig){0};
    struct loader *loader = calloc(1, sizeof *loader);
    if (!loader) {
        snprintf(error, error_size, "kubeconfig: out of memory");
        return false;
    }
    loader->error = error;
    loader->error_size = error_size;
    bool good = true;
    for (const char *path = paths; good && *path;) {
        size_t length = strcspn(path, ":");
        if (length && loader->count == MAX_FILES) {
            good = refuse(loader, "kubeconfig: more than %d files are named", MAX_FILES);
        } else if (length) {
            struct source *source = &loader->files[loader->count++];
            source->path = strndup(path, length);
            good = source->path ? parse(loader, source) : refuse(loader, "kubeconfig: out of memory");
        }
        path += length + (path[length] == ':');
    }
    good = good && read_context(loader, config);
    for (size_t i = 0; i < loader->count; i++) {
        if (loader->files[i].parsed)
            yaml_document_delete(&loader->files[i].document);
        free(loader->files[i].path);
    }
    free(loader);
    if (!good)
        kubeconfig_free(config);
    return good;
}

/* Also wipes it: most of these are secrets. */
static void discard(char *text) {
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

void kubeconfig_free(struct kubeconfig *config) {
    char *texts[] = {config->context,     config->server,   config->namespace,       config->ca_pem,
                     config->server_name, config->proxy,    config->token,           config->token_file,
                     config->username,    config->password, config->certificate_pem, config->key_pem};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        discard(texts[i]);
    *config = (struct kubeconfig){0};
}
