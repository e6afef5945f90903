/* Sorted sets of Kubernetes objects that never change: a change makes a new set, which shares all but a hundred entries
   with the old one, so whoever reads the old one is not disturbed. */
#ifndef HOST_KUBE_TREE_H
#define HOST_KUBE_TREE_H

#include "kube_object.h"

enum { KUBE_LEAF_OBJECTS = 128 };

enum kube_order {
    KUBE_BY_NAME,  /* name, namespace */
    KUBE_BY_VALUE, /* the indexed label's value, name, namespace */
};

/* Where an object stands in a set. */
struct kube_key {
    struct span value; /* KUBE_BY_VALUE only */
    const char *name;
    const char *namespace;
};

struct kube_tree; /* refcounted */

/* objects are sorted in that order, without two of the same key. NULL, here and below, when memory is exhausted. */
struct kube_tree *kube_tree_new(enum kube_order order, struct kube_object *const *objects, size_t count);
struct kube_tree *kube_tree_reference(struct kube_tree *tree);
void kube_tree_release(struct kube_tree *tree); /* NULL is fine */

/* A new set with object in it, instead of one of the same key. tree stays as it is. */
struct kube_tree *kube_tree_put(struct kube_tree *tree, struct kube_object *object);
/* A new set without that key; a reference of tree itself when there is none. */
struct kube_tree *kube_tree_remove(struct kube_tree *tree, const struct kube_key *key);

size_t kube_tree_count(const struct kube_tree *tree);
/* Lives as long as tree; NULL when there is none. */
struct kube_object *kube_tree_find(const struct kube_tree *tree, const struct kube_key *key);

/* A walk in order: begins at the first object, or at the first not before key. */
struct kube_walk {
    const struct kube_tree *tree;
    size_t leaf, index;
};
struct kube_walk kube_tree_walk(const struct kube_tree *tree, const struct kube_key *from);
struct kube_object *kube_walk_next(struct kube_walk *walk); /* NULL at the end */

struct kube_key kube_key_of(const struct kube_object *object);
int kube_key_compare(enum kube_order order, const struct kube_key *a, const struct kube_key *b);

#endif
