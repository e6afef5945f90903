#include <pthread.h>
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
    const char *index_label;
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

static bool append_object(struct listing *listing, struct bytes *page, const struct kube_object_text *text) {
    struct kube_list *list = listing->list;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        struct kube_object **objects = realloc(list->objects, capacity * sizeof *objects);
        if (!objects)
            return fail(listing, KUBE_UNAVAILABLE, "out of memory");
        list->objects = objects;
        list->capacity = capacity;
    }
    struct kube_object *object = listing->copy ? kube_object_copy(text) : kube_object_new(page, text);
    if (!object)
        return fail(listing, KUBE_UNAVAILABLE, "out of memory");
    if (listing->index_label)
        kube_object_index(object, listing->index_label);
    list->objects[list->count++] = object;
    return true;
}

static bool is_key(struct span key, const char *name) {
    return key.length == strlen(name) && memcmp(key.data, name, key.length) == 0;
}

/* *found: it is an array, or null for an empty one. False when an element is no object of Kubernetes. */
static bool read_items(struct listing *listing, struct bytes *page, struct json_walk *walk, bool *found) {
    struct span none, value;
    bool is_array = json_walk_enter(walk, '[');
    if (!is_array) {
        *found = json_walk_value(walk, JSON_MAX_DEPTH - 1, &value) && json_type(value) == JSON_NULL;
        return true;
    }
    *found = true;
    while (json_walk_next(walk, ']', &none)) {
        struct kube_object_text text;
        if (!kube_object_read(walk, JSON_MAX_DEPTH - 2, &text))
            return walk->failed ||
                   fail(listing, KUBE_BAD_ANSWER, "the API server's list holds something that is no object");
        if (!append_object(listing, page, &text))
            return false;
    }
    return true;
}

static bool read_page(struct listing *listing, struct bytes *page) {
    struct json_walk walk = {.text = {page->data, page->length}};
    struct span metadata = {0}, key, value;
    bool items = false, is_object = json_walk_enter(&walk, '{');
    while (is_object && json_walk_next(&walk, '}', &key)) {
        if (is_key(key, "\"items\"")) {
            if (!read_items(listing, page, &walk, &items))
                return false;
        } else if (json_walk_value(&walk, JSON_MAX_DEPTH - 1, &value) && is_key(key, "\"metadata\"")) {
            metadata = value;
        }
    }
    if (is_object ? !json_walk_end(&walk) : !json_valid(walk.text, JSON_MAX_DEPTH, false, NULL))
        return fail(listing, KUBE_BAD_ANSWER, "the API server's list is not JSON");
    if (!items)
        return fail(listing, KUBE_BAD_ANSWER, "the API server's answer is no list");

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

/* ---- Pages, one ahead: the API server makes the next while we read the last ---- */

struct page {
    char *token;        /* NULL for the first page */
    struct bytes *room; /* for its body: memory that is fresh costs more than what is read into it */
    struct http_exchange exchange;
    struct kube_failure failure; /* when it is not done */
    bool fetched, done;
};

/* A thread that reads pages, from the first one that is followed by another to the end of the list. The list's own
   thread fetches: so the next request is on its way before anything else is done. */
struct reader {
    struct listing *listing;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    struct bytes *page; /* until it is read */
    bool good;          /* it was */
    bool ending;
};

static void fetch(const struct listing *listing, struct page *page) {
    struct buffer path = {0};
    page->exchange = (struct http_exchange){.method = "GET", .max_response_bytes = KUBE_PAGE_MAX_BYTES};
    buffer_format(&path, "%s?limit=%u", listing->resource->path, listing->limit);
    append_parameter(&path, "labelSelector", listing->label_selector);
    append_parameter(&path, "fieldSelector", listing->field_selector);
    append_parameter(&path, "continue", page->token);
    page->done = kube_attempt(listing->caller, &path, &page->room, &page->exchange, &page->failure);
    page->fetched = true;
    buffer_free(&path);
}

/* The continue token as it stands at the end of most lists, before they are read; NULL when none is seen there. Only
   the one that is read counts: a page that was asked for by another is thrown away. */
static char *guess_next(const struct bytes *body) {
    static const char key[] = "\"continue\":\"";
    const size_t tail_bytes = 4096, key_length = sizeof key - 1;
    const char *end = body->data + body->length, *token = NULL;
    const char *at = body->length > tail_bytes ? end - tail_bytes : body->data;
    while ((at = memmem(at, (size_t)(end - at), key, key_length)) != NULL)
        token = at += key_length;
    const char *quote = token ? memchr(token, '"', (size_t)(end - token)) : NULL;
    return quote && quote > token ? strndup(token, (size_t)(quote - token)) : NULL;
}

static void *read_pages(void *context) {
    struct reader *reader = context;
    pthread_mutex_lock(&reader->mutex);
    while (!reader->ending) {
        if (!reader->page) {
            pthread_cond_wait(&reader->changed, &reader->mutex);
            continue;
        }
        pthread_mutex_unlock(&reader->mutex);
        bool good = read_page(reader->listing, reader->page);
        pthread_mutex_lock(&reader->mutex);
        reader->good = good;
        reader->page = NULL;
        pthread_cond_broadcast(&reader->changed);
    }
    pthread_mutex_unlock(&reader->mutex);
    return NULL;
}

/* Until await, only the reader changes the listing. False when there is no thread to be had. */
static bool read_beside(struct reader *reader, struct bytes *page) {
    pthread_mutex_lock(&reader->mutex);
    if (!reader->started)
        reader->started = pthread_create(&reader->thread, NULL, read_pages, reader) == 0;
    reader->page = reader->started ? page : NULL;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
    return reader->started;
}

static bool await(struct reader *reader) {
    pthread_mutex_lock(&reader->mutex);
    while (reader->page)
        pthread_cond_wait(&reader->changed, &reader->mutex);
    pthread_mutex_unlock(&reader->mutex);
    return reader->good;
}

static void end(struct reader *reader) {
    pthread_mutex_lock(&reader->mutex);
    reader->ending = true;
    pthread_cond_broadcast(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
    if (reader->started)
        pthread_join(reader->thread, NULL);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->mutex);
}

/* The body's memory is there for another page, unless objects live in it. */
static void clear_page(const struct listing *listing, struct page *page) {
    struct bytes *room = page->room;
    if (listing->copy && !room) {
        room = page->exchange.body_bytes;
        page->exchange.body_bytes = NULL;
    }
    http_exchange_free(&page->exchange);
    if (page->fetched && !page->done)
        kube_failure_free(&page->failure);
    free(page->token);
    *page = (struct page){.room = room};
}

/* What follows a page that did not come: the same or all again, or *listing->failure. */
static bool recover(struct listing *listing, const struct page *page, bool *started_over) {
    const struct kube_failure *failure = &page->failure;
    if (page->exchange.failure == HTTP_TOO_LARGE && listing->limit > 1) {
        listing->limit = listing->limit > 8 ? listing->limit / 8 : 1;
        return true;
    }
    if (failure->code != KUBE_GONE || !listing->next || *started_over)
        return false;
    *started_over = true;
    clear_objects(listing->list);
    free(listing->next);
    listing->next = NULL;
    return true;
}

/* Reads a page while the one that seems to follow it is fetched into next. */
static bool read_and_fetch(struct reader *reader, const struct page *page, struct page *next) {
    struct listing *listing = reader->listing;
    struct bytes *body = page->exchange.body_bytes;
    next->token = listing->copy ? guess_next(body) : NULL;
    bool beside = next->token && read_beside(reader, body);
    if (beside)
        fetch(listing, next);
    bool good = beside ? await(reader) : read_page(listing, body);
    if (!beside || !good || strcmp(next->token, listing->next) != 0)
        clear_page(listing, next);
    return good;
}

static bool fetch_pages(struct listing *listing) {
    struct reader reader = {
        .listing = listing, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct page pages[2] = {{.done = false}}, *page = &pages[0], *next = &pages[1];
    bool started_over = false, good = true;
    while (good && (!listing->next || *listing->next)) {
        if (!page->fetched) {
            page->token = listing->next ? strdup(listing->next) : NULL;
            if (listing->next && !page->token) {
                good = fail(listing, KUBE_UNAVAILABLE, "out of memory");
                break;
            }
            fetch(listing, page);
        }
        if (page->done) {
            good = read_and_fetch(&reader, page, next);
        } else if (!(good = recover(listing, page, &started_over))) {
            *listing->failure = page->failure;
            page->failure = (struct kube_failure){0};
        }
        clear_page(listing, page);
        struct page *read = page;
        page = next;
        next = read;
    }
    end(&reader);
    for (size_t i = 0; i < 2; i++) {
        clear_page(listing, &pages[i]);
        bytes_release(pages[i].room);
    }
    return good;
}

static int by_name(const void *a, const void *b) {
    const struct kube_object *left = *(struct kube_object *const *)a, *right = *(struct kube_object *const *)b;
    int order = strcmp(left->name, right->name);
    return order ? order : strcmp(left->namespace, right->namespace);
}

/* API servers list by namespace and name, so that there is mostly nothing to do. */
static void sort(struct kube_list *list) {
    for (size_t i = 1; i < list->count; i++)
        if (by_name(&list->objects[i - 1], &list->objects[i]) > 0) {
            qsort(list->objects, list->count, sizeof *list->objects, by_name);
            return;
        }
}

bool kube_list(const struct kube_caller *caller, const struct kube_resource *resource, const char *label_selector,
               const char *field_selector, bool copy, const char *index_label, struct kube_list *list,
               struct kube_failure *failure) {
    struct listing listing = {.caller = caller,
                              .resource = resource,
                              .label_selector = label_selector,
                              .field_selector = field_selector,
                              .copy = copy,
                              .index_label = index_label,
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
    sort(list);
    return true;
}
