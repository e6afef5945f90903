#include "cache.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "clock.h"

struct entry {
    struct cache_key key;
    struct entry *chain;         /* in its bucket */
    struct entry *newer, *older; /* by use */
    struct bytes *value;
    int64_t stored_ms, expires_ms;
};

struct cache_flight {
    struct cache_key key;
    struct cache_flight *chain; /* in its bucket, while it is there to be joined */
    bool joinable;              /* false once landed or dropped */
    bool landed;
    bool ok;
    struct bytes *value;
    unsigned holders; /* the leader and those who wait */
    pthread_t leader;
    pthread_cond_t ended;
};

struct cache {
    unsigned char key[crypto_generichash_KEYBYTES]; /* of the keyed hash */
    pthread_mutex_t mutex;
    pthread_condattr_t monotonic;
    size_t max_entries, max_bytes;
    size_t mask; /* buckets - 1 */
    struct entry **entries;
    struct cache_flight **flights;
    struct entry *newest, *oldest;
    struct cache_statistics statistics;
};

/* ---- Keys: BLAKE2b under a random key ---- */

struct gathered {
    crypto_generichash_state hash;
    size_t length;
    unsigned char bytes[512];
};

/* Hashed in large pieces: each call into the library costs as much as hashing fifty bytes. */
static void gather(struct gathered *gathered, const void *data, size_t length) {
    if (length > sizeof gathered->bytes - gathered->length) {
        crypto_generichash_update(&gathered->hash, gathered->bytes, gathered->length);
        gathered->length = 0;
    }
    if (length > sizeof gathered->bytes) {
        crypto_generichash_update(&gathered->hash, data, length);
    } else if (length) {
        memcpy(gathered->bytes + gathered->length, data, length);
        gathered->length += length;
    }
}

void cache_key(const struct cache *cache, const struct span *parts, size_t count, struct cache_key *out) {
    struct gathered gathered;
    gathered.length = 0;
    crypto_generichash_init(&gathered.hash, cache->key, sizeof cache->key, sizeof out->bytes);
    for (size_t i = 0; i < count; i++) {
        /* Ahead, so that no parts run into another list's bytes. */
        uint64_t length = parts[i].data ? parts[i].length : UINT64_MAX;
        gather(&gathered, &length, sizeof length);
        gather(&gathered, parts[i].data, parts[i].data ? parts[i].length : 0);
    }
    crypto_generichash_update(&gathered.hash, gathered.bytes, gathered.length);
    crypto_generichash_final(&gathered.hash, out->bytes, sizeof out->bytes);
    sodium_memzero(&gathered, sizeof gathered); /* may hold a credential */
}

static bool same_key(const struct cache_key *a, const struct cache_key *b) {
    return memcmp(a->bytes, b->bytes, CACHE_KEY_BYTES) == 0;
}

static size_t bucket_of(const struct cache *cache, const struct cache_key *key) {
    size_t index;
    memcpy(&index, key->bytes, sizeof index);
    return index & cache->mask;
}

/* ---- Entries; under the mutex ---- */

static struct entry *find_entry(struct cache *cache, const struct cache_key *key) {
    struct entry *entry = cache->entries[bucket_of(cache, key)];
    while (entry && !same_key(&entry->key, key))
        entry = entry->chain;
    return entry;
}

static void unlink_use(struct cache *cache, struct entry *entry) {
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void link_newest(struct cache *cache, struct entry *entry) {
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void remove_entry(struct cache *cache, struct entry *entry) {
    struct entry **link = &cache->entries[bucket_of(cache, &entry->key)];
    while (*link != entry)
        link = &(*link)->chain;
    *link = entry->chain;
    unlink_use(cache, entry);
    cache->statistics.entries--;
    cache->statistics.bytes -= entry->value->length;
    bytes_release(entry->value);
    free(entry);
}

/* Two of the entries that nobody has used for longest, if they are out of date, for one more that is stored: a burst of
   callers who never come back does not stay. */
static void sweep(struct cache *cache, int64_t now) {
    for (int i = 0; i < 2 && cache->oldest && cache->oldest->expires_ms <= now; i++)
        remove_entry(cache, cache->oldest);
}

static void store(struct cache *cache, const struct cache_key *key, struct bytes *value, int64_t ttl_ms) {
    struct entry *entry = find_entry(cache, key);
    if (entry)
        remove_entry(cache, entry);
    if (value->length > cache->max_bytes || !(entry = malloc(sizeof *entry)))
        return;
    int64_t now = clock_monotonic_ms();
    sweep(cache, now);
    size_t bucket = bucket_of(cache, key);
    *entry = (struct entry){.key = *key,
                            .chain = cache->entries[bucket],
                            .value = bytes_reference(value),
                            .stored_ms = now,
                            .expires_ms = ttl_ms < INT64_MAX - now ? now + ttl_ms : INT64_MAX};
    cache->entries[bucket] = entry;
    link_newest(cache, entry);
    cache->statistics.entries++;
    cache->statistics.bytes += value->length;
    while (cache->statistics.entries > cache->max_entries || cache->statistics.bytes > cache->max_bytes) {
        remove_entry(cache, cache->oldest);
        cache->statistics.evictions++;
    }
}

/* ---- Flights; under the mutex ---- */

static struct cache_flight *find_flight(struct cache *cache, const struct cache_key *key) {
    struct cache_flight *flight = cache->flights[bucket_of(cache, key)];
    while (flight && !same_key(&flight->key, key))
        flight = flight->chain;
    return flight;
}

static struct cache_flight *add_flight(struct cache *cache, const struct cache_key *key) {
    struct cache_flight *flight = malloc(sizeof *flight);
    if (!flight)
        return NULL;
    size_t bucket = bucket_of(cache, key);
    *flight = (struct cache_flight){
        .key = *key, .chain = cache->flights[bucket], .joinable = true, .holders = 1, .leader = pthread_self()};
    if (pthread_cond_init(&flight->ended, &cache->monotonic) != 0) {
        free(flight);
        return NULL;
    }
    cache->flights[bucket] = flight;
    return flight;
}

static void close_flight(struct cache *cache, struct cache_flight *flight) {
    if (!flight->joinable)
        return;
    struct cache_flight **link = &cache->flights[bucket_of(cache, &flight->key)];
    while (*link != flight)
        link = &(*link)->chain;
    *link = flight->chain;
    flight->joinable = false;
}

static void release_flight(struct cache_flight *flight) {
    if (--flight->holders)
        return;
    pthread_cond_destroy(&flight->ended);
    bytes_release(flight->value);
    free(flight);
}

/* Waits for a flight to land; true unless the deadline passed first. */
static bool await(struct cache *cache, struct cache_flight *flight, int64_t deadline_ms) {
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    while (!flight->landed)
        if (pthread_cond_timedwait(&flight->ended, &cache->mutex, &until) != 0 && !flight->landed)
            return false;
    return true;
}

/* ---- The interface ---- */

struct cache *cache_new(size_t max_entries, size_t max_bytes) {
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    size_t buckets = 64;
    while (buckets < max_entries)
        buckets *= 2;
    cache->max_entries = max_entries;
    cache->max_bytes = max_bytes;
    cache->mask = buckets - 1;
    cache->entries = calloc(buckets, sizeof(struct entry *));
    cache->flights = calloc(buckets, sizeof(struct cache_flight *));
    bool keyed = sodium_init() >= 0 && getrandom(cache->key, sizeof cache->key, 0) == (ssize_t)sizeof cache->key;
    if (!cache->entries || !cache->flights || !keyed) {
        free(cache->entries);
        free(cache->flights);
        free(cache);
        return NULL;
    }
    pthread_mutex_init(&cache->mutex, NULL);
    pthread_condattr_init(&cache->monotonic);
    pthread_condattr_setclock(&cache->monotonic, CLOCK_MONOTONIC);
    return cache;
}

void cache_free(struct cache *cache) {
    if (!cache)
        return;
    while (cache->oldest)
        remove_entry(cache, cache->oldest);
    pthread_condattr_destroy(&cache->monotonic);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->entries);
    free(cache->flights);
    sodium_memzero(cache->key, sizeof cache->key);
    free(cache);
}

static enum cache_outcome begin(struct cache *cache, const struct cache_key *key, int64_t max_age_ms,
                                int64_t deadline_ms, struct bytes **value, struct cache_flight **flight) {
    for (;;) {
        struct entry *entry = find_entry(cache, key);
        if (entry) {
            int64_t now = clock_monotonic_ms();
            if (now < entry->expires_ms && now - entry->stored_ms < max_age_ms) {
                unlink_use(cache, entry);
                link_newest(cache, entry);
                *value = bytes_reference(entry->value);
                cache->statistics.hits++;
                return CACHE_HIT;
            }
            if (now >= entry->expires_ms)
                remove_entry(cache, entry);
        }
        struct cache_flight *other = find_flight(cache, key);
        if (!other) {
            *flight = add_flight(cache, key);
            if (!*flight)
                return CACHE_MEMORY;
            cache->statistics.loads++;
            return CACHE_LEAD;
        }
        if (pthread_equal(other->leader, pthread_self()))
            return CACHE_NESTED;
        cache->statistics.waits++;
        other->holders++;
        bool landed = await(cache, other, deadline_ms);
        bool ok = other->ok;
        *value = landed && other->value ? bytes_reference(other->value) : NULL;
        release_flight(other);
        if (!landed)
            return CACHE_TIMEOUT;
        if (*value)
            return ok ? CACHE_HIT : CACHE_FAILED;
        /* Its leader died; look again: somebody leads now, or this caller does. */
    }
}

enum cache_outcome cache_begin(struct cache *cache, const struct cache_key *key, int64_t max_age_ms,
                               int64_t deadline_ms, struct bytes **value, struct cache_flight **flight) {
    *value = NULL;
    *flight = NULL;
    pthread_mutex_lock(&cache->mutex);
    enum cache_outcome outcome = begin(cache, key, max_age_ms, deadline_ms, value, flight);
    pthread_mutex_unlock(&cache->mutex);
    return outcome;
}

bool cache_holds(struct cache *cache, const struct cache_key *key, const struct bytes *value) {
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_entry(cache, key);
    bool held = entry && entry->value == value && clock_monotonic_ms() < entry->expires_ms;
    if (held) {
        unlink_use(cache, entry);
        link_newest(cache, entry);
        cache->statistics.hits++;
    }
    pthread_mutex_unlock(&cache->mutex);
    return held;
}

void cache_land(struct cache *cache, struct cache_flight *flight, bool ok, struct bytes *value, int64_t ttl_ms) {
    pthread_mutex_lock(&cache->mutex);
    if (flight->joinable && ok && value && ttl_ms > 0)
        store(cache, &flight->key, value, ttl_ms);
    close_flight(cache, flight);
    flight->landed = true;
    flight->ok = ok;
    flight->value = value ? bytes_reference(value) : NULL;
    pthread_cond_broadcast(&flight->ended);
    release_flight(flight);
    pthread_mutex_unlock(&cache->mutex);
}

void cache_drop(struct cache *cache, const struct cache_key *key) {
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_entry(cache, key);
    if (entry)
        remove_entry(cache, entry);
    /* A load that began before now may bring what is to be forgotten: nobody joins it any more. */
    struct cache_flight *flight = find_flight(cache, key);
    if (flight)
        close_flight(cache, flight);
    pthread_mutex_unlock(&cache->mutex);
}

struct cache_statistics cache_statistics(struct cache *cache) {
    pthread_mutex_lock(&cache->mutex);
    struct cache_statistics statistics = cache->statistics;
    pthread_mutex_unlock(&cache->mutex);
    return statistics;
}
