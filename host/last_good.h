/* The last bundle that served, kept in STATE_DIR, for a start that finds only a broken one. */
#ifndef HOST_LAST_GOOD_H
#define HOST_LAST_GOOD_H

#include "bundle.h"

/* Keeps a bundle whose modules have the prefixes of sources: STATE_DIR/<revision>/<prefix>/x.lua, with the link
   STATE_DIR/current swapped at the end, others removed; what is kept already is left alone. False and a message when
   that fails. */
bool last_good_save(const char *state_dir, const struct bundle *bundle, const struct bundle_source *sources,
                    size_t source_count, struct buffer *error);
/* NULL and a message when there is none, or its bytes are not those that were kept. */
struct bundle *last_good_read(const char *state_dir, const struct bundle_source *sources, size_t source_count,
                              struct buffer *error);

#endif
