/* Live rules: watches scripts and policies, proves what changed, publishes it or says why not. A refused bundle never
   touches the one that serves. */
#ifndef HOST_RELOAD_H
#define HOST_RELOAD_H

#include "generation.h"
#include "proof.h"

struct reload;

struct reload_options {
    struct host *host;
    const struct profile *profile;
    const struct bundle_source *sources; /* live as long as the reload */
    size_t source_count;
    struct proof_options proof;
    const char *state_dir; /* keeps the last good bundle; "" for none */
    struct slot *slot;     /* where a proven generation is published */
};

/* Loads what is there before it returns, so that a good bundle serves at once; then watches from a thread of its own.
   NULL only when a thread or memory cannot be had. */
struct reload *reload_start(const struct reload_options *options);
void reload_stop(struct reload *reload);

/* Why nothing serves: appends JSON strings apart by commas, for /readyz; nothing while something serves. */
void reload_reasons(struct reload *reload, struct buffer *out);
/* The first of them as plain text, for callers. */
void reload_reason(struct reload *reload, struct buffer *out);
/* The document of GET /policy:
   { "active": { "revision", "since", "source": "directory" | "state", "files": [ { "path", "sha256" } ] } | null,
     "refused": { "revision" | null, "at", "on_disk": bool, "reasons": [ string ] } | null,
     "reloads": n, "refusals": n }
   refused is the last that was; on_disk says that it still is what is there. Its revision is null when no snapshot
   could be read. */
void reload_document(struct reload *reload, struct buffer *out);

#endif
