/* A bundle: an immutable, refcounted snapshot of .lua files, with a revision that is a hash of names and bytes. */
#ifndef HOST_BUNDLE_H
#define HOST_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

enum {
    BUNDLE_REVISION_BYTES = 12,          /* hex digits of the SHA-256 that name a revision */
    BUNDLE_MAX_FILE_BYTES = 1024 * 1024, /* a ConfigMap holds no more */
    BUNDLE_MAX_BYTES = 4 * 1024 * 1024,
    BUNDLE_MAX_FILES = 256,
    BUNDLE_MAX_SOURCES = 4,
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
    char code_revision[BUNDLE_REVISION_BYTES + 1]; /* the same of all files but rules */
};

/* All files of all sources as they were at one moment. NULL and a message when there is no such moment for some time,
   when a file or directory cannot be read, or when a directory holds no .lua file. At most BUNDLE_MAX_SOURCES. */
struct bundle *bundle_read(const struct bundle_source *sources, size_t source_count, struct buffer *error);
struct bundle *bundle_reference(struct bundle *bundle);
void bundle_release(struct bundle *bundle);
const struct bundle_file *bundle_find(const struct bundle *bundle, const char *module);

#endif
