/* A bundle: an immutable, refcounted snapshot of .lua files, with a revision that is a hash of names and bytes. */
#ifndef HOST_BUNDLE_H
#define HOST_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

enum {
    BUNDLE_REVISION_BYTES = 12,         /* hex digits of the SHA-256 that name a revision */
    BUNDLE_MAX_FILE_BYTES = 1024 * 1024 /* a ConfigMap holds no more */
};

/* Where files come from: every *.lua in directory becomes the module prefix.name. */
struct bundle_source {
    const char *prefix;    /* "scripts" */
    const char *directory; /* SCRIPTS_DIR */
};

struct bundle_file {
    char *module;         /* "scripts.scale" */
    char *path;           /* "scripts/scale.lua": what messages and tracebacks show */
    struct bytes *source; /* text */
    char sha256[65];
};

struct bundle {
    atomic_uint references;
    struct bundle_file *files; /* sorted by module */
    size_t file_count;
    char revision[BUNDLE_REVISION_BYTES + 1];
};

/* NULL and a message when a directory cannot be read as one consistent snapshot or holds no .lua file. */
struct bundle *bundle_read(const struct bundle_source *sources, size_t source_count, struct buffer *error);
struct bundle *bundle_reference(struct bundle *bundle);
void bundle_release(struct bundle *bundle);
const struct bundle_file *bundle_find(const struct bundle *bundle, const char *module);

#endif
