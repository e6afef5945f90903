/* Get, list, merge-patch and delete of one resource, straight at the API server. */
#ifndef HOST_KUBE_RESOURCE_H
#define HOST_KUBE_RESOURCE_H

#include "kube_client.h"
#include "kube_failure.h"
#include "kube_object.h"

enum {
    KUBE_PAGE_LIMIT = 500,                   /* objects a page of a list, as client-go asks */
    KUBE_PAGE_MAX_BYTES = 32 * 1024 * 1024,  /* of larger pages, fewer objects are asked for */
    KUBE_OBJECT_MAX_BYTES = 8 * 1024 * 1024, /* etcd holds no more than 1.5 MB unless told to */
    KUBE_DEFAULT_RETRIES = 2,
};

/* On whose behalf: the request's context counts the calls and bounds their time; outside of a request, deadline_ms
   and cancel do. */
struct kube_caller {
    struct kube *kube;
    struct call_context *context; /* or NULL */
    int64_t deadline_ms;          /* monotonic; the earlier of this and context's; 0: context's alone */
    unsigned retries;             /* further attempts of a read that failed by no fault of its own */
    const atomic_bool *cancel;    /* ends a read at once; or NULL */
    int64_t idle_timeout_ms;      /* with cancel: so long without a byte ends a read, too */
};

struct kube_resource {
    char *group, *version, *plural, *namespace; /* group "": the core group; namespace "": all of them */
    char *path;                                 /* "/apis/…/rayclusters" */
};

/* NULL when memory is exhausted or, with *wrong, when an argument is none. */
struct kube_resource *kube_resource_new(const char *group, const char *version, const char *plural,
                                        const char *namespace, const char **wrong);
void kube_resource_free(struct kube_resource *resource);

/* A name that may stand in a path: RFC 1123 subdomain, at most 253 bytes. */
bool kube_name_valid(const char *name, size_t length);

/* Each of the following returns true, or false and a failure that the caller frees. */

/* *object is a reference for the caller. */
bool kube_get(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
              struct kube_object **object, struct kube_failure *failure);

struct kube_list {
    struct kube_object **objects; /* sorted by name, then namespace */
    size_t count, capacity;
    char resource_version[64]; /* to watch from */
};
/* Every object, in pages; one that expires on the way is started over once. Selectors are as sent, "" for none. copy:
   each object keeps only its own bytes alive, else they share their page's. index_label: as for kube_object_index, or
   NULL. */
bool kube_list(const struct kube_caller *caller, const struct kube_resource *resource, const char *label_selector,
               const char *field_selector, bool copy, const char *index_label, struct kube_list *list,
               struct kube_failure *failure);
void kube_list_free(struct kube_list *list);

/* patch is JSON (RFC 7396). */
bool kube_merge_patch(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
                      struct span patch, const char *field_manager, bool dry_run, struct kube_object **object,
                      struct kube_failure *failure);
/* Preconditions: NULL for none. */
bool kube_delete(const struct kube_caller *caller, const struct kube_resource *resource, const char *name,
                 const char *uid, const char *resource_version, struct kube_failure *failure);

/* Appends value percent-encoded for a query. */
void kube_query_escape(struct buffer *out, const char *value);

#endif
