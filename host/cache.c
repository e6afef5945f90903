#include "cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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
    EVP_MAC_CTX *keyed;     /* only ever duplicated */
    pthread_key_t contexts; /* a thread's duplicate: the key schedule is done once */
    pthread_mutex_t mutex;
    pthread_condattr_t monotonic;
    size_t max_entries, max_bytes;
    size_t mask; /* buckets - 1 */
    struct entry **entries;
    struct cache_flight **flights;
    struct entry *newest, *oldest;
    struct cache_statistics statistics;
};

/* ---- Keys: HMAC-SHA-256 under a random key, one context a thread ---- */

static void free_context(void *context) {
    EVP_MAC_CTX_free(context);
}

static EVP_MAC_CTX *new_keyed_context(void) {
    unsigned char key[CACHE_KEY_BYTES];
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0), OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
    if (context && (RAND_bytes(key, sizeof key) != 1 || EVP_MAC_init(context, key, sizeof key, parameters) != 1)) {
        EVP_MAC_CTX_free(context);
        context = NULL;
    }
    OPENSSL_cleanse(key, sizeof key);
    EVP_MAC_free(mac);
    return context;
}

struct gathered {
    EVP_MAC_CTX *context;
    bool made;
    size_t length;
    unsigned char bytes[1024];
};

static void flush(struct gathered *gathered) {
    gathered->made = gathered->made && EVP_MAC_update(gathered->context, gathered->bytes, gathered->length) == 1;
    OPENSSL_cleanse(gathered->bytes, gathered->length); /* may be a credential */
    gathered->length = 0;
}

static void gather(struct gathered *gathered, const void *data, size_t length) {
    const unsigned char *bytes = data;
    while (length > 0) {
        size_t room = sizeof gathered->bytes - gathered->length, part = length < room ? length : room;
        memcpy(gathered->bytes + gathered->length, bytes, part);
        gathered->length += part;
        bytes += part;
        length -= part;
        if (gathered->length == sizeof gathered->bytes)
            flush(gathered);
    }
}

bool cache_key(struct cache *cache, const struct span *parts, size_t count, struct cache_key *out) {
    EVP_MAC_CTX *context = pthread_getspecific(cache->contexts);
    if (!context) {
        context = EVP_MAC_CTX_dup(cache->keyed);
        if (!context)
            return false;
        if (pthread_setspecific(cache->contexts, context) != 0) {
            EVP_MAC_CTX_free(context);
            return false;
        }
    }
    /* Hashed in blocks of our own: each call into the library costs as much as hashing a hundred bytes. */
    struct gathered gathered = {.context = context, .made = EVP_MAC_init(context, NULL, 0, NULL) == 1};
    for (size_t i = 0; i < count; i++) {
        uint64_t length = parts[i].length; /* ahead, so that no parts run into another list's bytes */
        gather(&gathered, &length, sizeof length);
        gather(&gathered, parts[i].data, parts[i].length);
    }
    flush(&gathered);
    size_t written = 0;
    return gathered.made && EVP_MAC_final(context, out->bytes, &written, sizeof out->bytes) == 1 &&
           written == sizeof out->bytes;
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

static void store(struct cache *cache, const struct cache_key *key, struct bytes *value, int64_t ttl_ms) {
    struct entry *entry = find_entry(cache, key);
    if (entry)
        remove_entry(cache, entry);
    if (value->length > cache->max_bytes || !(entry = malloc(sizeof *entry)))
        return;
    int64_t now = clock_monotonic_ms();
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
    cache->keyed = new_keyed_context();
    if (!cache->entries || !cache->flights || !cache->keyed ||
        pthread_key_create(&cache->contexts, free_context) != 0) {
        EVP_MAC_CTX_free(cache->keyed);
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
    free_context(pthread_getspecific(cache->contexts)); /* other threads free theirs as they end */
    pthread_key_delete(cache->contexts);
    EVP_MAC_CTX_free(cache->keyed);
    pthread_condattr_destroy(&cache->monotonic);
    pthread_mutex_destroy(&cache->mutex);
    free(cache->entries);
    free(cache->flights);
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
