/* A Kubernetes object as the API server wrote it, and the little of it that rules need. Immutable and refcounted, so
   an answer that still sends it keeps it alive. */
#ifndef HOST_KUBE_OBJECT_H
#define HOST_KUBE_OBJECT_H

#include <stdint.h>

#include "bytes.h"
#include "json_span.h"

struct kube_object {
    atomic_uint references;
    struct bytes *owner; /* what text lies in: the object's own bytes, or a list's page */
    struct span text;    /* without white space around it */
    struct span labels;  /* a JSON object inside of text; empty when there is none */
    struct span indexed; /* the value of the label that kube_object_index named; empty when there is none */
    const char *name;    /* never empty */
    const char *namespace;
    const char *uid;
    const char *resource_version;
    uint64_t version; /* resource_version as a number, 0 when it is none */
};

/* The same in a text, before it is an object of ours: all values raw, as they stand there. */
struct kube_object_text {
    struct span whole, name, namespace, uid, resource_version, labels;
};
/* Reads the object that the walk stands before, and checks it on the way. False when it is no JSON, or no object with a
   metadata.name and, where they are given, strings for the rest. */
bool kube_object_read(struct json_walk *walk, unsigned max_depth, struct kube_object_text *text);
/* The same of a text that is nothing but this. */
bool kube_object_read_all(struct span all, struct kube_object_text *text);

/* text lies inside of owner and is not copied; takes a reference of owner. NULL when memory is exhausted. */
struct kube_object *kube_object_new(struct bytes *owner, const struct kube_object_text *text);
/* The same on a copy of text, so that the object keeps nothing else alive. */
struct kube_object *kube_object_copy(const struct kube_object_text *text);
/* The value of a label, inside of text and as it stands there; empty when there is none. */
struct span kube_object_label(const struct kube_object *object, const char *label);
/* Keeps that as the object's index. Before others see the object. */
void kube_object_index(struct kube_object *object, const char *label);
struct kube_object *kube_object_reference(struct kube_object *object);
void kube_object_release(struct kube_object *object); /* NULL is fine */

#endif
