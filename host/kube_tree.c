#include "kube_tree.h"

#include <stdlib.h>
#include <string.h>

enum { FILL = KUBE_LEAF_OBJECTS * 3 / 4 }; /* of a leaf that is made from a list: the first insertions find room */

struct leaf {
    atomic_uint references;
    unsigned count; /* at least 1 */
    struct kube_object *objects[KUBE_LEAF_OBJECTS];
};

struct kube_tree {
    atomic_uint references;
    enum kube_order order;
    size_t object_count, leaf_count;
    struct leaf *leaves[];
};

/* ---- Order ---- */

struct kube_key kube_key_of(const struct kube_object *object) {
    return (struct kube_key){object->indexed, object->name, object->namespace};
}

static int compare_spans(struct span a, struct span b) {
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

int kube_key_compare(enum kube_order order, const struct kube_key *a, const struct kube_key *b) {
    int result = order == KUBE_BY_VALUE ? compare_spans(a->value, b->value) : 0;
    if (result == 0)
        result = strcmp(a->name, b->name);
    return result ? result : strcmp(a->namespace, b->namespace);
}

static int compare(const struct kube_tree *tree, const struct kube_object *object, const struct kube_key *key) {
    struct kube_key own = kube_key_of(object);
    return kube_key_compare(tree->order, &own, key);
}

/* The leaf that key belongs to: the last that does not begin behind it. 0 in an empty tree. */
static size_t leaf_for(const struct kube_tree *tree, const struct kube_key *key) {
    size_t low = 0, high = tree->leaf_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (compare(tree, tree->leaves[middle]->objects[0], key) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Where key stands in a leaf, or would; *found tells which. */
static unsigned place_in(const struct kube_tree *tree, const struct leaf *leaf, const struct kube_key *key,
                         bool *found) {
    unsigned low = 0, high = leaf->count;
    *found = false;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = compare(tree, leaf->objects[middle], key);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- Leaves ---- */

/* A leaf of count objects, with references of its own. */
static struct leaf *leaf_new(struct kube_object *const *objects, size_t count) {
    struct leaf *leaf = malloc(sizeof *leaf);
    if (!leaf)
        return NULL;
    atomic_init(&leaf->references, 1);
    leaf->count = (unsigned)count;
    for (size_t i = 0; i < count; i++)
        leaf->objects[i] = kube_object_reference(objects[i]);
    return leaf;
}

static void leaf_release(struct leaf *leaf) {
    if (!leaf || atomic_fetch_sub_explicit(&leaf->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < leaf->count; i++)
        kube_object_release(leaf->objects[i]);
    free(leaf);
}

/* ---- Trees ---- */

static struct kube_tree *tree_alloc(enum kube_order order, size_t leaf_count) {
    struct kube_tree *tree = malloc(sizeof *tree + leaf_count * sizeof tree->leaves[0]);
    if (!tree)
        return NULL;
    atomic_init(&tree->references, 1);
    tree->order = order;
    tree->object_count = 0;
    tree->leaf_count = 0;
    return tree;
}

struct kube_tree *kube_tree_new(enum kube_order order, struct kube_object *const *objects, size_t count) {
    struct kube_tree *tree = tree_alloc(order, (count + FILL - 1) / FILL);
    if (!tree)
        return NULL;
    for (size_t at = 0; at < count; at += FILL) {
        struct leaf *leaf = leaf_new(objects + at, count - at < FILL ? count - at : FILL);
        if (!leaf) {
            kube_tree_release(tree);
            return NULL;
        }
        tree->leaves[tree->leaf_count++] = leaf;
    }
    tree->object_count = count;
    return tree;
}

struct kube_tree *kube_tree_reference(struct kube_tree *tree) {
    atomic_fetch_add_explicit(&tree->references, 1, memory_order_relaxed);
    return tree;
}

void kube_tree_release(struct kube_tree *tree) {
    if (!tree || atomic_fetch_sub_explicit(&tree->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < tree->leaf_count; i++)
        leaf_release(tree->leaves[i]);
    free(tree);
}

/* tree with `taken` leaves from `at` on replaced by `given` new ones, whose references it takes over, also on failure.
   A new leaf that is NULL because memory ran out makes all fail. */
static struct kube_tree *splice(const struct kube_tree *tree, size_t at, size_t taken, struct leaf *const *leaves,
                                size_t given, size_t object_count) {
    bool complete = true;
    for (size_t i = 0; i < given; i++)
        complete = complete && leaves[i];
    struct kube_tree *result = complete ? tree_alloc(tree->order, tree->leaf_count - taken + given) : NULL;
    if (!result) {
        for (size_t i = 0; i < given; i++)
            leaf_release(leaves[i]);
        return NULL;
    }
    for (size_t i = 0; i < tree->leaf_count; i++) {
        if (i == at)
            for (size_t j = 0; j < given; j++)
                result->leaves[result->leaf_count++] = leaves[j];
        if (i >= at && i < at + taken)
            continue;
        atomic_fetch_add_explicit(&tree->leaves[i]->references, 1, memory_order_relaxed);
        result->leaves[result->leaf_count++] = tree->leaves[i];
    }
    if (at == tree->leaf_count)
        for (size_t j = 0; j < given; j++)
            result->leaves[result->leaf_count++] = leaves[j];
    result->object_count = object_count;
    return result;
}

struct kube_tree *kube_tree_put(struct kube_tree *tree, struct kube_object *object) {
    struct kube_object *objects[KUBE_LEAF_OBJECTS + 1];
    if (tree->leaf_count == 0) {
        struct leaf *only = leaf_new(&object, 1);
        return splice(tree, 0, 0, &only, 1, 1);
    }
    struct kube_key key = kube_key_of(object);
    size_t at = leaf_for(tree, &key);
    const struct leaf *leaf = tree->leaves[at];
    bool found;
    unsigned place = place_in(tree, leaf, &key, &found), count = 0;
    for (unsigned i = 0; i < leaf->count; i++) {
        if (i == place)
            objects[count++] = object;
        if (i != place || !found)
            objects[count++] = leaf->objects[i];
    }
    if (place == leaf->count)
        objects[count++] = object;
    if (count <= KUBE_LEAF_OBJECTS) {
        struct leaf *changed = leaf_new(objects, count);
        return splice(tree, at, 1, &changed, 1, tree->object_count + !found);
    }
    struct leaf *halves[] = {leaf_new(objects, count / 2), leaf_new(objects + count / 2, count - count / 2)};
    return splice(tree, at, 1, halves, 2, tree->object_count + 1);
}

struct kube_tree *kube_tree_remove(struct kube_tree *tree, const struct kube_key *key) {
    struct kube_object *objects[KUBE_LEAF_OBJECTS * 2];
    bool found = false;
    size_t at = leaf_for(tree, key);
    unsigned place = tree->leaf_count ? place_in(tree, tree->leaves[at], key, &found) : 0;
    if (!found)
        return kube_tree_reference(tree);
    const struct leaf *leaf = tree->leaves[at];
    size_t count = 0, taken = 1;
    for (unsigned i = 0; i < leaf->count; i++)
        if (i != place)
            objects[count++] = leaf->objects[i];
    /* Leaves that have emptied join the next, so that a tree never holds many more than it needs. */
    if (at + 1 < tree->leaf_count && count + tree->leaves[at + 1]->count <= KUBE_LEAF_OBJECTS / 2) {
        const struct leaf *next = tree->leaves[at + 1];
        memcpy(objects + count, next->objects, next->count * sizeof *objects);
        count += next->count;
        taken = 2;
    }
    if (count == 0)
        return splice(tree, at, 1, NULL, 0, tree->object_count - 1);
    struct leaf *changed = leaf_new(objects, count);
    return splice(tree, at, taken, &changed, 1, tree->object_count - 1);
}

/* ---- Reading ---- */

size_t kube_tree_count(const struct kube_tree *tree) {
    return tree->object_count;
}

struct kube_object *kube_tree_find(const struct kube_tree *tree, const struct kube_key *key) {
    if (tree->leaf_count == 0)
        return NULL;
    bool found;
    const struct leaf *leaf = tree->leaves[leaf_for(tree, key)];
    unsigned place = place_in(tree, leaf, key, &found);
    return found ? leaf->objects[place] : NULL;
}

struct kube_walk kube_tree_walk(const struct kube_tree *tree, const struct kube_key *from) {
    struct kube_walk walk = {tree, 0, 0};
    if (from && tree->leaf_count) {
        bool found;
        walk.leaf = leaf_for(tree, from);
        walk.index = place_in(tree, tree->leaves[walk.leaf], from, &found);
    }
    return walk;
}

struct kube_object *kube_walk_next(struct kube_walk *walk) {
    while (walk->leaf < walk->tree->leaf_count) {
        const struct leaf *leaf = walk->tree->leaves[walk->leaf];
        if (walk->index < leaf->count)
            return leaf->objects[walk->index++];
        walk->leaf++;
        walk->index = 0;
    }
    return NULL;
}
