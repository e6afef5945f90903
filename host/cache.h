/* A process-wide cache with a time to live and single flight. Keys are kept only as a keyed hash (BLAKE2b under a
   random key of its own), so credentials may be keys: no dump holds them. Values are opaque bytes. */
#ifndef HOST_CACHE_H
#define HOST_CACHE_H

#include <stdint.h>

#include "bytes.h"

struct cache;
struct cache_flight; /* a load under way, owned by the caller that leads it */

/* NULL when memory or randomness cannot be had. Holds at most max_entries (the least recently used go first) and
   max_bytes of values. */
struct cache *cache_new(size_t max_entries, size_t max_bytes);
void cache_free(struct cache *cache); /* once every flight has landed and other threads are gone */

enum { CACHE_KEY_BYTES = 32 };

/* What a key is known by: the keyed hash of its parts. */
struct cache_key {
    unsigned char bytes[CACHE_KEY_BYTES];
};

/* Parts that differ in number or in any one's bytes make another key; so does a part without data, which is not
   the same as an empty one. */
void cache_key(const struct cache *cache, const struct span *parts, size_t count, struct cache_key *out);

enum cache_outcome {
    CACHE_HIT,     /* *value is a reference for the caller */
    CACHE_LEAD,    /* the caller must load and then call cache_land exactly once */
    CACHE_FAILED,  /* the flight that the caller waited for failed: *value is that failure, a reference */
    CACHE_TIMEOUT, /* the deadline passed while waiting */
    CACHE_NESTED,  /* this thread leads the load that it would wait for */
    CACHE_MEMORY,
};

/* Waits for another's load until deadline_ms (monotonic). Entries older than max_age_ms count as absent; max_age_ms 0
   never hits but still shares a flight. */
enum cache_outcome cache_begin(struct cache *cache, const struct cache_key *key, int64_t max_age_ms,
                               int64_t deadline_ms, struct bytes **value, struct cache_flight **flight);
/* Is that very value still what a hit would give? Counts as a hit when it is. */
bool cache_holds(struct cache *cache, const struct cache_key *key, const struct bytes *value);
/* Ends a load. ok: value is stored for ttl_ms (0: not stored, but handed to those who wait). Not ok: nothing is
   stored, those who wait get value as the failure; value NULL means the leader died: one of those who wait leads.
   The cache takes references of its own. */
void cache_land(struct cache *cache, struct cache_flight *flight, bool ok, struct bytes *value, int64_t ttl_ms);

/* Forgets one key; loads under way are neither stored nor joined by those who come later. */
void cache_drop(struct cache *cache, const struct cache_key *key);

struct cache_statistics {
    uint64_t hits, loads, waits, evictions;
    size_t entries, bytes;
};
struct cache_statistics cache_statistics(struct cache *cache);

#endif
