#include "kube_resource.h"

#include <stdlib.h>
#include <string.h>

#include "kube_attempt.h"

/* ---- Names and paths ---- */

static bool is_lower(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool kube_name_valid(const char *name, size_t length) {
    if (length == 0 || length > 253)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool inside = i > 0 && i + 1 < length;
        bool joint = (name[i] == '-' || name[i] == '.') && inside;
        if (!is_lower(name[i]) && !joint)
            return false;
        /* A dot stands between alphanumerics: labels neither begin nor end with '-'. */
        if (name[i] == '.' && !(is_lower(name[i - 1]) && is_lower(name[i + 1])))
            return false;
    }
    return true;
}

void kube_query_escape(struct buffer *out, const char *value) {
    for (; *value; value++) {
        unsigned char c = (unsigned char)*value;
        if (is_lower((char)c) || (c >= 'A' && c <= 'Z') || strchr("-._~", c))
            buffer_append(out, value, 1);
        else
            buffer_format(out, "%%%02X", c);
    }
}

static bool valid_or_empty(const char *name) {
    return !*name || kube_name_valid(name, strlen(name));
}

struct kube_resource *kube_resource_new(const char *group, const char *version, const char *plural,
                                        const char *namespace, const char **wrong) {
    *wrong = !valid_or_empty(group)                       ? "group is no API group"
             : !kube_name_valid(version, strlen(version)) ? "version is no API version"
             : !kube_name_valid(plural, strlen(plural))   ? "plural is no resource"
             : !valid_or_empty(namespace)                 ? "namespace is no namespace"
                                                          : NULL;
    struct kube_resource *resource = *wrong ? NULL : calloc(1, sizeof *resource);
    if (!resource)
        return NULL;
    struct buffer path = {0};
    if (*group)
        buffer_format(&path, "/apis/%s/%s", group, version);
    else
        buffer_format(&path, "/api/%s", version);
    if (*namespace)
        buffer_format(&path, "/namespaces/%s", namespace);
    buffer_format(&path, "/%s", plural);
    resource->group = strdup(group);
    resource->version = strdup(version);
    resource->plural = strdup(plural);
    resource->namespace = strdup(namespace);
    resource->path = path.data;
    if (!resource->group || !resource->version || !resource->plural || !resource->namespace || path.failed) {
        kube_resource_free(resource);
        return NULL;
    }
    return resource;
}

void kube_resource_free(struct kube_resource *resource) {
    if (!resource)
        return;
    free(resource->group);
    free(resource->version);
    free(resource->plural);
    free(resource->namespace);
    free(resource->path);
    free(resource);
}

/* resource's path, with a name and a query where given. */
static struct buffer path_of(const struct kube_resource *resource, const char *name) {
    struct buffer path = {0};
    buffer_text(&path, resource->path);
    if (name)
        buffer_format(&path, "/%s", name);
    return path;
}

/* ---- Answers ---- */

static bool read_object(const struct http_exchange *exchange, const char *name, struct kube_object **object,
                        struct kube_failure *failure) {
    struct bytes *body = exchange->body_bytes;
    struct kube_object_text text;
    bool read = kube_object_read_all((struct span){body->data, body->length}, &text);
    *object = read ? kube_object_new(body, &text) : NULL;
    if (*object && strcmp((*object)->name, name) == 0)
        return true;
    if (*object || !read)
        kube_failure_set(failure, KUBE_BAD_ANSWER, "the API server's answer is not the object that was asked for");
    else
        kube_failure_set(failure, KUBE_UNAVAILABLE, "out of memory");
    failure->status = exchange->status;
    kube_object_release(*object);
    *object = NULL;
    return false;
}

static bool perform_for_object(const struct kube_caller *caller, struct buffer *path, const char *name,
                               struct http_exchange *exchange, struct kube_object **object,
                               struct kube_failure *failure) {
    exchange->max_response_bytes = KUBE_OBJECT_MAX_BYTES;
    bool done = kube_attempt(caller, path, NULL, exchange, failure) && read_object(exchange, name, object, failure);
    http_exchange_free(exchange);
    buffer_free(path);
    return done;
}

bool kube_get(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
              struct kube_object **object, struct kube_failure *failure) {
    struct buffer path = path_of(resource, name);
    struct http_exchange exchange = {.method = "GET"};
    *object = NULL;
    return perform_for_object(caller, &path, name, &exchange, object, failure);
}

bool kube_merge_patch(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
                      struct span patch, const char *field_manager, bool dry_run, struct kube_object **object,
                      struct kube_failure *failure) {
    const struct header type = {"Content-Type", "application/merge-patch+json"};
    struct buffer path = path_of(resource, name);
    buffer_text(&path, "?fieldManager=");
    kube_query_escape(&path, field_manager);
    if (dry_run)
        buffer_text(&path, "&dryRun=All");
    struct http_exchange exchange = {.method = "PATCH", .headers = &type, .header_count = 1, .body = patch};
    *object = NULL;
    return perform_for_object(caller, &path, name, &exchange, object, failure);
}

bool kube_delete(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
                 const char *uid, const char *resource_version, struct kube_failure *failure) {
    const struct header type = {"Content-Type", "application/json"};
    struct buffer path = path_of(resource, name), body = {0};
    buffer_text(&body, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"");
    if (uid || resource_version) {
        buffer_text(&body, ",\"preconditions\":{");
        if (uid) {
            buffer_text(&body, "\"uid\":");
            buffer_json_string(&body, uid, strlen(uid));
        }
        if (resource_version) {
            buffer_text(&body, uid ? ",\"resourceVersion\":" : "\"resourceVersion\":");
            buffer_json_string(&body, resource_version, strlen(resource_version));
        }
        buffer_text(&body, "}");
    }
    buffer_text(&body, "}");
    struct http_exchange exchange = {.method = "DELETE",
                                     .headers = &type,
                                     .header_count = 1,
                                     .body = {body.data, body.length},
                                     .max_response_bytes = KUBE_OBJECT_MAX_BYTES};
    if (body.failed)
        path.failed = true;
    bool done = kube_attempt(caller, &path, NULL, &exchange, failure);
    http_exchange_free(&exchange);
    buffer_free(&path);
    buffer_free(&body);
    return done;
}
