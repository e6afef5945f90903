/* This process' copy of one resource: fed by a list, by the lines of a watch and by our own patches; read by everybody.
   Readers take no lock for longer than it takes to copy a pointer, and never see half a change. */
#ifndef HOST_KUBE_STORE_H
#define HOST_KUBE_STORE_H

#include "kube_failure.h"
#include "kube_resource.h"

struct kube_store;

/* index_label: objects can be listed by its value; NULL for none. */
struct kube_store *kube_store_new(const char *index_label);
const char *kube_store_index_label(const struct kube_store *store);
void kube_store_free(struct kube_store *store);

/* ---- Feeding; from any thread, one change at a time ---- */

/* Makes the copy what a full list says. Patches of ours that are newer than the list stay. False when memory is
   exhausted: the copy is then as it was. */
bool kube_store_replace(struct kube_store *store, const struct kube_list *list);

enum kube_event {
    KUBE_EVENT_CHANGE,    /* ADDED, MODIFIED, DELETED: applied, or older than what is known */
    KUBE_EVENT_BOOKMARK,  /* the stream has come this far */
    KUBE_EVENT_ERROR,     /* *failure says what, and is the caller's to free */
    KUBE_EVENT_UNKNOWN,   /* a type that we don't know */
    KUBE_EVENT_MALFORMED, /* not an event */
    KUBE_EVENT_MEMORY,    /* not applied: memory is exhausted */
};
/* One line of a watch, without its line feed. */
enum kube_event kube_store_event(struct kube_store *store, struct span line, struct kube_failure *failure);

/* What the API server answered to a patch of ours: applied unless the stream has come as far already. False when that
   cannot be told, so that the copy may lag behind our own patch for a moment. */
bool kube_store_patched(struct kube_store *store, struct kube_object *object);

/* Where to watch on from; "" before the first list. */
void kube_store_version(struct kube_store *store, char *out, size_t size);

/* ---- Reading ---- */

/* How often the copy has changed: a list read after it was asked shows that state or a newer one. */
uint64_t kube_store_changes(struct kube_store *store);
size_t kube_store_count(struct kube_store *store);
/* *object is a reference for the caller, NULL when there is no such object. */
void kube_store_get(struct kube_store *store, const char *name, const char *namespace, struct kube_object **object);
/* Every object (values NULL), or those whose indexed label has one of the values, each there once; "" is that of
   objects without the label. Sorted by name. False when memory is exhausted. */
bool kube_store_list(struct kube_store *store, const struct span *values, size_t count, struct kube_list *list);
/* One object of each value of the indexed label, "" included: costs what there are values. False when memory is
   exhausted. Unless counts is NULL, *counts says how many objects each stands for, at the cost of a look at all, and
   is the caller's to free. */
bool kube_store_samples(struct kube_store *store, struct kube_list *list, size_t **counts);

#endif
