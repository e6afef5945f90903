#include "kube_object.h"

#include <stdlib.h>
#include <string.h>

static bool is(struct span span, const char *text) {
    return span.length == strlen(text) && memcmp(span.data, text, span.length) == 0;
}

/* Digits only, as API servers count; anything else is 0, which no write is older than. */
static uint64_t version_number(const char *text) {
    uint64_t number = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || number > (UINT64_MAX - 9) / 10)
            return 0;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

/* NULL for members that nobody needs. */
static struct span *field_of(struct kube_object_text *text, struct span key) {
    return is(key, "\"name\"")              ? &text->name
           : is(key, "\"namespace\"")       ? &text->namespace
           : is(key, "\"uid\"")             ? &text->uid
           : is(key, "\"resourceVersion\"") ? &text->resource_version
           : is(key, "\"labels\"")          ? &text->labels
                                            : NULL;
}

static bool is_text(struct span value) {
    return !value.length || json_type(value) == JSON_STRING;
}

static void read_metadata(struct json_walk *walk, unsigned max_depth, struct kube_object_text *text) {
    struct span key, value;
    while (json_walk_next(walk, '}', &key) && json_walk_value(walk, max_depth, &value)) {
        struct span *field = field_of(text, key);
        if (field)
            *field = value;
    }
}

bool kube_object_read(struct json_walk *walk, unsigned max_depth, struct kube_object_text *text) {
    *text = (struct kube_object_text){0};
    if (!json_walk_enter(walk, '{'))
        return false;
    size_t begin = walk->at - 1;
    struct span key, value;
    int found = 0;
    while (json_walk_next(walk, '}', &key)) {
        bool metadata = is(key, "\"metadata\"");
        found += metadata;
        if (metadata && json_walk_enter(walk, '{'))
            read_metadata(walk, max_depth - 2, text);
        else
            json_walk_value(walk, max_depth - 1, &value);
    }
    text->whole = (struct span){walk->text.data + begin, walk->at - begin};
    if (json_type(text->labels) != JSON_OBJECT)
        text->labels = (struct span){0};
    return !walk->failed && found == 1 && text->name.length > 2 && is_text(text->name) && is_text(text->namespace) &&
           is_text(text->uid) && is_text(text->resource_version);
}

bool kube_object_read_all(struct span all, struct kube_object_text *text) {
    struct json_walk walk = {.text = all};
    return kube_object_read(&walk, JSON_MAX_DEPTH, text) && json_walk_end(&walk);
}

/* A string unescaped is no longer than its quotes and text. */
static char *place(char **at, struct span value) {
    char *text = *at;
    text[0] = '\0';
    json_string(value, text, value.length + 1);
    *at += value.length + 1;
    return text;
}

struct kube_object *kube_object_new(struct bytes *owner, const struct kube_object_text *text) {
    size_t room = text->name.length + text->namespace.length + text->uid.length + text->resource_version.length + 4;
    struct kube_object *object = malloc(sizeof *object + room);
    if (!object)
        return NULL;
    char *at = (char *)(object + 1);
    *object = (struct kube_object){.owner = bytes_reference(owner),
                                   .text = text->whole,
                                   .labels = text->labels,
                                   .name = place(&at, text->name),
                                   .namespace = place(&at, text->namespace),
                                   .uid = place(&at, text->uid),
                                   .resource_version = place(&at, text->resource_version)};
    object->version = version_number(object->resource_version);
    atomic_init(&object->references, 1);
    return object;
}

struct kube_object *kube_object_copy(const struct kube_object_text *text) {
    struct bytes *owner = bytes_copy(text->whole.data, text->whole.length);
    struct kube_object *object = owner ? kube_object_new(owner, text) : NULL;
    if (object) {
        object->text.data = owner->data;
        if (object->labels.length)
            object->labels.data = owner->data + (text->labels.data - text->whole.data);
    }
    bytes_release(owner);
    return object;
}

struct span kube_object_label(const struct kube_object *object, const char *label) {
    struct span value = json_member(object->labels, label);
    bool given = json_type(value) == JSON_STRING && value.length > 2;
    return given ? (struct span){value.data + 1, value.length - 2} : (struct span){"", 0};
}

void kube_object_index(struct kube_object *object, const char *label) {
    object->indexed = kube_object_label(object, label);
}

struct kube_object *kube_object_reference(struct kube_object *object) {
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void kube_object_release(struct kube_object *object) {
    if (!object || atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1)
        return;
    bytes_release(object->owner);
    free(object);
}
