/* A Kubernetes object as the API server wrote it, and the little of it that rules need. Immutable and refcounted, so
   an answer that still sends it keeps it alive. */
#ifndef HOST_KUBE_OBJECT_H
#define HOST_KUBE_OBJECT_H

#include <stdint.h>

#include "bytes.h"

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

/* text lies inside of owner, is valid JSON and is not copied; takes a reference of owner. NULL with *malformed when
   text is no object with a metadata.name, or when memory is exhausted. */
struct kube_object *kube_object_new(struct bytes *owner, struct span text, bool *malformed);
/* The same on a copy of text, so that the object keeps nothing else alive. */
struct kube_object *kube_object_copy(struct span text, bool *malformed);
/* The value of a label, inside of text and as it stands there; empty when there is none. */
struct span kube_object_label(const struct kube_object *object, const char *label);
/* Keeps that as the object's index. Before others see the object. */
void kube_object_index(struct kube_object *object, const char *label);
struct kube_object *kube_object_reference(struct kube_object *object);
void kube_object_release(struct kube_object *object); /* NULL is fine */

#endif
