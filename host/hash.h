/* SipHash-2-4: a short hash that says nothing of what was hashed to whoever has not the key. */
#ifndef HOST_HASH_H
#define HOST_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_keyed(const struct hash_key *key, const void *data, size_t length);

#endif
