#include "kube_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_span.h"
#include "kube_tree.h"

enum {
    /* A patch that no watch has confirmed for so long is no reason to doubt a full list: the API server may have been
       set back. */
    UNCONFIRMED_MS = 60 * 1000,
    /* Bookmarks and lists name versions of few digits. */
    VERSION_BYTES = 64,
};

/* Both sets show the same objects. */
struct state {
    struct kube_tree *by_name;
    struct kube_tree *by_value; /* NULL without an index */
};

/* An answer to our own patch that the stream has not come to yet. */
struct patch {
    struct kube_object *object;
    int64_t applied_ms;
};

struct kube_store {
    char *index_label;
    pthread_mutex_t writer; /* one change at a time */
    pthread_mutex_t reader; /* guards the two pointers of state, for as long as they are copied */
    struct state state;
    _Atomic uint64_t changes;    /* of state */
    char version[VERSION_BYTES]; /* of the stream */
    uint64_t seen;               /* the same as a number */
    struct patch *patches;
    size_t patch_count, patch_capacity;
};

static void release_state(struct state *state) {
    kube_tree_release(state->by_name);
    kube_tree_release(state->by_value);
    *state = (struct state){0};
}

struct kube_store *kube_store_new(const char *index_label) {
    struct kube_store *store = calloc(1, sizeof *store);
    if (!store)
        return NULL;
    pthread_mutex_init(&store->writer, NULL);
    pthread_mutex_init(&store->reader, NULL);
    store->index_label = index_label ? strdup(index_label) : NULL;
    store->state.by_name = kube_tree_new(KUBE_BY_NAME, NULL, 0);
    store->state.by_value = index_label ? kube_tree_new(KUBE_BY_VALUE, NULL, 0) : NULL;
    if (!store->state.by_name || (index_label && (!store->index_label || !store->state.by_value))) {
        kube_store_free(store);
        return NULL;
    }
    return store;
}

const char *kube_store_index_label(const struct kube_store *store) {
    return store->index_label;
}

void kube_store_free(struct kube_store *store) {
    if (!store)
        return;
    release_state(&store->state);
    for (size_t i = 0; i < store->patch_count; i++)
        kube_object_release(store->patches[i].object);
    free(store->patches);
    free(store->index_label);
    pthread_mutex_destroy(&store->writer);
    pthread_mutex_destroy(&store->reader);
    free(store);
}

/* ---- Versions; under the writer's lock ---- */

/* Digits only; 0 for anything else. */
static uint64_t number_of(const char *version) {
    char *end;
    unsigned long long number = *version >= '0' && *version <= '9' ? strtoull(version, &end, 10) : 0;
    return number && !*end ? number : 0;
}

/* Our patches that the stream has come to are the stream's business. */
static void forget_confirmed(struct kube_store *store) {
    size_t kept = 0;
    for (size_t i = 0; i < store->patch_count; i++) {
        if (store->patches[i].object->version <= store->seen)
            kube_object_release(store->patches[i].object);
        else
            store->patches[kept++] = store->patches[i];
    }
    store->patch_count = kept;
}

static void set_version(struct kube_store *store, const char *version) {
    if (!*version || strlen(version) >= sizeof store->version)
        return;
    snprintf(store->version, sizeof store->version, "%s", version);
    store->seen = number_of(version);
    if (store->patch_count)
        forget_confirmed(store);
}

/* The newest patch of each object is enough. */
static bool remember_patch(struct kube_store *store, struct kube_object *object) {
    for (size_t i = 0; i < store->patch_count; i++) {
        struct kube_object *earlier = store->patches[i].object;
        if (strcmp(earlier->name, object->name) != 0 || strcmp(earlier->namespace, object->namespace) != 0)
            continue;
        if (earlier->version < object->version) {
            store->patches[i] = (struct patch){kube_object_reference(object), clock_monotonic_ms()};
            kube_object_release(earlier);
        }
        return true;
    }
    if (store->patch_count == store->patch_capacity) {
        size_t capacity = store->patch_capacity ? store->patch_capacity * 2 : 16;
        struct patch *patches = realloc(store->patches, capacity * sizeof *patches);
        if (!patches)
            return false;
        store->patches = patches;
        store->patch_capacity = capacity;
    }
    store->patches[store->patch_count++] = (struct patch){kube_object_reference(object), clock_monotonic_ms()};
    return true;
}

/* ---- Changes; under the writer's lock ---- */

/* Shows next to readers. */
static void publish(struct kube_store *store, struct state next) {
    pthread_mutex_lock(&store->reader);
    struct state old = store->state;
    store->state = next;
    atomic_fetch_add(&store->changes, 1);
    pthread_mutex_unlock(&store->reader);
    release_state(&old);
}

/* Replaces *tree, which may be NULL, by the result of a change; false when that is NULL. */
static bool advance(struct kube_tree **tree, struct kube_tree *changed) {
    if (!changed)
        return false;
    kube_tree_release(*tree);
    *tree = changed;
    return true;
}

static bool same_bytes(struct span a, struct span b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Takes old out of state and puts object in; either may be NULL. */
static bool change(struct state *state, const struct kube_object *old, struct kube_object *object) {
    if (old && !object) {
        struct kube_key key = kube_key_of(old);
        if (!advance(&state->by_name, kube_tree_remove(state->by_name, &key)))
            return false;
    }
    if (object && !advance(&state->by_name, kube_tree_put(state->by_name, object)))
        return false;
    if (!state->by_value)
        return true;
    bool moved = old && object && !same_bytes(old->indexed, object->indexed);
    if (old && (!object || moved)) {
        struct kube_key key = kube_key_of(old);
        if (!advance(&state->by_value, kube_tree_remove(state->by_value, &key)))
            return false;
    }
    return !object || advance(&state->by_value, kube_tree_put(state->by_value, object));
}

/* The state in force, to be changed and published; released when it is not. */
static struct state begin_change(struct kube_store *store) {
    return (struct state){kube_tree_reference(store->state.by_name),
                          store->state.by_value ? kube_tree_reference(store->state.by_value) : NULL};
}

/* Puts object in, or takes the one of its key out. What is known to be newer stays. False when memory is exhausted. */
static bool apply(struct kube_store *store, struct kube_object *object, bool remove) {
    struct kube_key key = kube_key_of(object);
    struct kube_object *old = kube_tree_find(store->state.by_name, &key);
    if (old && old->version && object->version && old->version > object->version)
        return true;
    if (remove && !old)
        return true;
    struct state next = begin_change(store);
    if (!change(&next, old, remove ? NULL : object)) {
        release_state(&next);
        return false;
    }
    publish(store, next);
    return true;
}

static int by_value(const void *a, const void *b) {
    struct kube_key left = kube_key_of(*(struct kube_object *const *)a);
    struct kube_key right = kube_key_of(*(struct kube_object *const *)b);
    return kube_key_compare(KUBE_BY_VALUE, &left, &right);
}

static struct kube_tree *index_of(struct kube_object *const *objects, size_t count) {
    if (count == 0)
        return kube_tree_new(KUBE_BY_VALUE, NULL, 0);
    struct kube_object **indexed = malloc(count * sizeof(struct kube_object *));
    if (!indexed)
        return NULL;
    memcpy(indexed, objects, count * sizeof *indexed);
    qsort(indexed, count, sizeof *indexed, by_value);
    struct kube_tree *tree = kube_tree_new(KUBE_BY_VALUE, indexed, count);
    free(indexed);
    return tree;
}

/* Objects that a list shows as they are known already keep the bytes that are known. */
static void share_known(struct kube_store *store, const struct kube_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct kube_key key = kube_key_of(list->objects[i]);
        struct kube_object *known = kube_tree_find(store->state.by_name, &key), *listed = list->objects[i];
        if (!known || !same_bytes(known->text, listed->text))
            continue;
        kube_object_release(listed);
        list->objects[i] = kube_object_reference(known);
    }
}

static bool replace(struct kube_store *store, const struct kube_list *list) {
    share_known(store, list);
    for (size_t i = 0; store->index_label && i < list->count; i++)
        if (!list->objects[i]->indexed.data) /* those that are known are read by others */
            kube_object_index(list->objects[i], store->index_label);
    struct state next = {.by_name = kube_tree_new(KUBE_BY_NAME, list->objects, list->count)};
    if (store->index_label)
        next.by_value = index_of(list->objects, list->count);
    bool done = next.by_name && (!store->index_label || next.by_value);
    uint64_t version = number_of(list->resource_version);
    int64_t now = clock_monotonic_ms();
    for (size_t i = 0; done && i < store->patch_count; i++) {
        struct kube_object *object = store->patches[i].object;
        struct kube_key key = kube_key_of(object);
        if (object->version > version && now - store->patches[i].applied_ms < UNCONFIRMED_MS)
            done = change(&next, kube_tree_find(next.by_name, &key), object);
    }
    if (!done) {
        release_state(&next);
        return false;
    }
    publish(store, next);
    set_version(store, list->resource_version);
    return true;
}

bool kube_store_replace(struct kube_store *store, const struct kube_list *list) {
    pthread_mutex_lock(&store->writer);
    bool done = replace(store, list);
    pthread_mutex_unlock(&store->writer);
    return done;
}

static enum kube_event apply_event(struct kube_store *store, struct span text, bool remove) {
    struct kube_object_text read;
    if (!kube_object_read_all(text, &read))
        return KUBE_EVENT_MALFORMED;
    struct kube_object *object = kube_object_copy(&read);
    if (!object)
        return KUBE_EVENT_MEMORY;
    if (store->index_label)
        kube_object_index(object, store->index_label);
    pthread_mutex_lock(&store->writer);
    bool done = apply(store, object, remove);
    if (done)
        set_version(store, object->resource_version);
    pthread_mutex_unlock(&store->writer);
    kube_object_release(object);
    return done ? KUBE_EVENT_CHANGE : KUBE_EVENT_MEMORY;
}

static enum kube_event apply_bookmark(struct kube_store *store, struct span object) {
    static const char *const path[] = {"metadata", "resourceVersion", NULL};
    char version[VERSION_BYTES] = "";
    if (json_string(json_path(object, path), version, sizeof version) >= sizeof version)
        return KUBE_EVENT_MALFORMED;
    pthread_mutex_lock(&store->writer);
    set_version(store, version);
    pthread_mutex_unlock(&store->writer);
    return KUBE_EVENT_BOOKMARK;
}

enum kube_event kube_store_event(struct kube_store *store, struct span line, struct kube_failure *failure) {
    char type[16] = "";
    if (!json_valid(line, JSON_MAX_DEPTH, false, NULL) || json_type(line) != JSON_OBJECT)
        return KUBE_EVENT_MALFORMED;
    struct span object = json_member(line, "object");
    size_t length = json_string(json_member(line, "type"), type, sizeof type);
    if (length == SIZE_MAX || json_type(object) != JSON_OBJECT)
        return KUBE_EVENT_MALFORMED;
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
        return apply_event(store, object, false);
    if (strcmp(type, "DELETED") == 0)
        return apply_event(store, object, true);
    if (strcmp(type, "BOOKMARK") == 0)
        return apply_bookmark(store, object);
    if (strcmp(type, "ERROR") != 0)
        return KUBE_EVENT_UNKNOWN;
    kube_failure_status(failure, object);
    return KUBE_EVENT_ERROR;
}

bool kube_store_patched(struct kube_store *store, struct kube_object *object) {
    if (store->index_label)
        kube_object_index(object, store->index_label);
    pthread_mutex_lock(&store->writer);
    bool comparable = object->version && store->seen, done = comparable;
    if (comparable && object->version > store->seen)
        done = apply(store, object, false) && remember_patch(store, object);
    pthread_mutex_unlock(&store->writer);
    return done;
}

void kube_store_version(struct kube_store *store, char *out, size_t size) {
    pthread_mutex_lock(&store->writer);
    snprintf(out, size, "%s", store->version);
    pthread_mutex_unlock(&store->writer);
}

/* ---- Reading ---- */

static struct kube_tree *take_tree(struct kube_store *store, bool indexed) {
    pthread_mutex_lock(&store->reader);
    struct kube_tree *tree = kube_tree_reference(indexed ? store->state.by_value : store->state.by_name);
    pthread_mutex_unlock(&store->reader);
    return tree;
}

uint64_t kube_store_changes(struct kube_store *store) {
    return atomic_load(&store->changes);
}

size_t kube_store_count(struct kube_store *store) {
    struct kube_tree *tree = take_tree(store, false);
    size_t count = kube_tree_count(tree);
    kube_tree_release(tree);
    return count;
}

void kube_store_get(struct kube_store *store, const char *name, const char *namespace, struct kube_object **object) {
    struct kube_tree *tree = take_tree(store, false);
    struct kube_object *found = kube_tree_find(tree, &(struct kube_key){.name = name, .namespace = namespace});
    *object = found ? kube_object_reference(found) : NULL;
    kube_tree_release(tree);
}

static bool append(struct kube_list *list, struct kube_object *object) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 16;
        struct kube_object **objects = realloc(list->objects, capacity * sizeof *objects);
        if (!objects)
            return false;
        list->objects = objects;
        list->capacity = capacity;
    }
    list->objects[list->count++] = kube_object_reference(object);
    return true;
}

static bool append_all(const struct kube_tree *tree, struct kube_list *list) {
    struct kube_walk walk = kube_tree_walk(tree, NULL);
    struct kube_object *object;
    while ((object = kube_walk_next(&walk)) != NULL)
        if (!append(list, object))
            return false;
    return true;
}

static bool append_value(const struct kube_tree *tree, struct span value, struct kube_list *list) {
    struct kube_key from = {.value = value, .name = "", .namespace = ""};
    struct kube_walk walk = kube_tree_walk(tree, &from);
    struct kube_object *object;
    while ((object = kube_walk_next(&walk)) != NULL && same_bytes(object->indexed, value))
        if (!append(list, object))
            return false;
    return true;
}

static int by_name(const void *a, const void *b) {
    struct kube_key left = kube_key_of(*(struct kube_object *const *)a);
    struct kube_key right = kube_key_of(*(struct kube_object *const *)b);
    return kube_key_compare(KUBE_BY_NAME, &left, &right);
}

bool kube_store_list(struct kube_store *store, const struct span *values, size_t count, struct kube_list *list) {
    struct kube_tree *tree = take_tree(store, values != NULL);
    *list = (struct kube_list){0};
    bool done = values || append_all(tree, list);
    for (size_t i = 0; values && done && i < count; i++)
        done = append_value(tree, values[i], list);
    kube_tree_release(tree);
    if (!done)
        kube_list_free(list);
    else if (values && count > 1 && list->count)
        qsort(list->objects, list->count, sizeof *list->objects, by_name);
    return done;
}

/* How many objects each sample stands for; NULL when memory is exhausted. */
static size_t *count_like(const struct kube_tree *tree, const struct kube_list *samples) {
    size_t *counts = calloc(samples->count + 1, sizeof *counts), at = 0;
    struct kube_walk walk = kube_tree_walk(tree, NULL);
    const struct kube_object *object;
    while (counts && (object = kube_walk_next(&walk)) != NULL) {
        at += !same_bytes(object->indexed, samples->objects[at]->indexed);
        counts[at]++;
    }
    return counts;
}

bool kube_store_samples(struct kube_store *store, struct kube_list *list, size_t **counts) {
    static const char behind[] = "\xff"; /* every name: no UTF-8 holds this byte */
    struct kube_tree *tree = take_tree(store, true);
    struct kube_walk walk = kube_tree_walk(tree, NULL);
    struct kube_object *object;
    const struct kube_object *last = NULL;
    bool done = true;
    *list = (struct kube_list){0};
    while (done && (object = kube_walk_next(&walk)) != NULL) {
        if (last && same_bytes(object->indexed, last->indexed))
            continue;
        last = object;
        done = append(list, object);
        struct kube_key next = {.value = object->indexed, .name = behind, .namespace = ""};
        walk = kube_tree_walk(tree, &next);
    }
    if (done && counts)
        done = (*counts = count_like(tree, list)) != NULL;
    kube_tree_release(tree);
    if (!done)
        kube_list_free(list);
    return done;
}
