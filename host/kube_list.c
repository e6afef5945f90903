#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_span.h"
#include "kube_attempt.h"

/* A list under way. */
struct listing {
    const struct kube_caller *caller;
    const struct kube_resource *resource;
    const char *label_selector, *field_selector;
    bool copy;
    unsigned limit;
    char *next; /* the continue token; NULL before the first page, "" behind the last */
    struct kube_list *list;
    struct kube_failure *failure;
};

static void clear_objects(struct kube_list *list) {
    for (size_t i = 0; i < list->count; i++)
        kube_object_release(list->objects[i]);
    list->count = 0;
}

void kube_list_free(struct kube_list *list) {
    clear_objects(list);
    free(list->objects);
    *list = (struct kube_list){0};
}

static bool fail(struct listing *listing, enum kube_code code, const char *message) {
    kube_failure_set(listing->failure, code, message);
    return false;
}

static bool append_object(struct listing *listing, struct bytes *page, struct span text) {
    struct kube_list *list = listing->list;
    bool malformed;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        struct kube_object **objects = realloc(list->objects, capacity * sizeof *objects);
        if (!objects)
            return fail(listing, KUBE_UNAVAILABLE, "out of memory");
        list->objects = objects;
        list->capacity = capacity;
    }
    struct kube_object *object =
        listing->copy ? kube_object_copy(text, &malformed) : kube_object_new(page, text, &malformed);
    if (!object && malformed)
        return fail(listing, KUBE_BAD_ANSWER, "the API server's list holds something that is no object");
    if (!object)
        return fail(listing, KUBE_UNAVAILABLE, "out of memory");
    list->objects[list->count++] = object;
    return true;
}

static bool read_page(struct listing *listing, struct bytes *page) {
    struct span text = {page->data, page->length}, key, value;
    if (!json_valid(text, JSON_MAX_DEPTH, false, NULL))
        return fail(listing, KUBE_BAD_ANSWER, "the API server's list is not JSON");
    struct span metadata = {0}, items = {0};
    size_t cursor = 0;
    while (json_next(text, &cursor, &key, &value)) {
        if (key.length == 7 && memcmp(key.data, "\"items\"", 7) == 0)
            items = value;
        else if (key.length == 10 && memcmp(key.data, "\"metadata\"", 10) == 0)
            metadata = value;
    }
    enum json_type type = json_type(items);
    if (type != JSON_ARRAY && type != JSON_NULL)
        return fail(listing, KUBE_BAD_ANSWER, "the API server's answer is no list");
    cursor = 0;
    while (json_next(items, &cursor, &key, &value))
        if (!append_object(listing, page, value))
            return false;

    char *version = listing->list->resource_version;
    size_t size = sizeof listing->list->resource_version;
    if (json_string(json_member(metadata, "resourceVersion"), version, size) >= size)
        version[0] = '\0';
    struct span token = json_member(metadata, "continue");
    size_t length = json_type(token) == JSON_STRING ? json_string(token, NULL, 0) : 0;
    char *next = malloc(length + 1);
    if (!next)
        return fail(listing, KUBE_UNAVAILABLE, "out of memory");
    next[0] = '\0';
    json_string(token, next, length + 1);
    free(listing->next);
    listing->next = next;
    return true;
}

static void append_parameter(struct buffer *path, const char *name, const char *value) {
    if (!value || !*value)
        return;
    buffer_format(path, "&%s=", name);
    kube_query_escape(path, value);
}

/* *too_large: the page was, and a smaller one may not be. */
static bool fetch_page(struct listing *listing, bool *too_large) {
    struct http_exchange exchange = {.method = "GET", .max_response_bytes = KUBE_PAGE_MAX_BYTES};
    struct buffer path = {0};
    buffer_format(&path, "%s?limit=%u", listing->resource->path, listing->limit);
    append_parameter(&path, "labelSelector", listing->label_selector);
    append_parameter(&path, "fieldSelector", listing->field_selector);
    append_parameter(&path, "continue", listing->next);
    bool done = kube_attempt(listing->caller, &path, &exchange, listing->failure);
    *too_large = !done && exchange.failure == HTTP_TOO_LARGE;
    done = done && read_page(listing, exchange.body_bytes);
    http_exchange_free(&exchange);
    buffer_free(&path);
    return done;
}

static bool fetch_pages(struct listing *listing) {
    bool started_over = false, too_large;
    while (!listing->next || *listing->next) {
        if (fetch_page(listing, &too_large))
            continue;
        if (too_large && listing->limit > 1) {
            listing->limit = listing->limit > 8 ? listing->limit / 8 : 1;
        } else if (listing->failure->code == KUBE_GONE && listing->next && !started_over) {
            started_over = true;
            clear_objects(listing->list);
            free(listing->next);
            listing->next = NULL;
        } else {
            return false;
        }
        kube_failure_free(listing->failure);
    }
    return true;
}

static int by_name(const void *a, const void *b) {
    const struct kube_object *left = *(struct kube_object *const *)a, *right = *(struct kube_object *const *)b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->namespace, right->namespace);
}

bool kube_list(const struct kube_caller *caller, const struct kube_resource *resource, const char *label_selector,
               const char *field_selector, bool copy, struct kube_list *list, struct kube_failure *failure) {
    struct listing listing = {.caller = caller,
                              .resource = resource,
                              .label_selector = label_selector,
                              .field_selector = field_selector,
                              .copy = copy,
                              .limit = KUBE_PAGE_LIMIT,
                              .list = list,
                              .failure = failure};
    *list = (struct kube_list){0};
    bool done = fetch_pages(&listing);
    free(listing.next);
    if (!done) {
        kube_list_free(list);
        return false;
    }
    if (list->count)
        qsort(list->objects, list->count, sizeof *list->objects, by_name);
    return true;
}
