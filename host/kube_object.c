#include "kube_object.h"

#include <stdlib.h>
#include <string.h>

#include "json_span.h"

enum field { NAME, NAMESPACE, UID, RESOURCE_VERSION, FIELDS };

static const char *const field_keys[FIELDS] = {"\"name\"", "\"namespace\"", "\"uid\"", "\"resourceVersion\""};

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

/* API servers end an answer with a line feed, which is no part of the object: it is the same wherever it came from. */
static struct span trim(struct span text) {
    while (text.length && strchr(" \t\r\n", text.data[text.length - 1]))
        text.length--;
    while (text.length && strchr(" \t\r\n", text.data[0])) {
        text.data++;
        text.length--;
    }
    return text;
}

struct kube_object *kube_object_new(struct bytes *owner, struct span text, bool *malformed) {
    text = trim(text);
    struct span values[FIELDS] = {{0}}, labels = {0}, key, value;
    struct span metadata = json_member(text, "metadata");
    size_t cursor = 0, room = 0;
    *malformed = true;
    if (json_type(metadata) != JSON_OBJECT)
        return NULL;
    while (json_next(metadata, &cursor, &key, &value)) {
        for (int i = 0; i < FIELDS; i++)
            if (is(key, field_keys[i]))
                values[i] = value;
        if (is(key, "\"labels\"") && json_type(value) == JSON_OBJECT)
            labels = value;
    }
    for (int i = 0; i < FIELDS; i++) {
        /* A string unescaped is no longer than its quotes and text. */
        if (values[i].length && json_type(values[i]) != JSON_STRING)
            return NULL;
        room += values[i].length + 1;
    }
    if (values[NAME].length <= 2)
        return NULL;
    *malformed = false;
    struct kube_object *object = malloc(sizeof *object + room);
    if (!object)
        return NULL;
    char *at = (char *)(object + 1), *strings[FIELDS];
    for (int i = 0; i < FIELDS; i++) {
        strings[i] = at;
        at[0] = '\0';
        json_string(values[i], at, values[i].length + 1);
        at += values[i].length + 1;
    }
    *object = (struct kube_object){.owner = bytes_reference(owner),
                                   .text = text,
                                   .labels = labels,
                                   .name = strings[NAME],
                                   .namespace = strings[NAMESPACE],
                                   .uid = strings[UID],
                                   .resource_version = strings[RESOURCE_VERSION],
                                   .version = version_number(strings[RESOURCE_VERSION])};
    atomic_init(&object->references, 1);
    return object;
}

struct kube_object *kube_object_copy(struct span text, bool *malformed) {
    *malformed = false;
    struct bytes *owner = bytes_copy(text.data, text.length);
    if (!owner)
        return NULL;
    struct kube_object *object = kube_object_new(owner, (struct span){owner->data, owner->length}, malformed);
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
