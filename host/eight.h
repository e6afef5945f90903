/* Eight bytes of text looked at together. A byte less another sets its high bit where it was smaller; what that borrows
   lies behind the first, so that of marks only the first one counts, and of bytes that are not ASCII none. */
#ifndef HOST_EIGHT_H
#define HOST_EIGHT_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EIGHT_HIGHS 0x8080808080808080U
#define EIGHT_ONES 0x0101010101010101U

static inline uint64_t eight_load(const void *data) {
    uint64_t eight;
    memcpy(&eight, data, sizeof eight);
    return le64toh(eight);
}

static inline uint64_t eight_below(uint64_t eight, unsigned char limit) {
    return eight - EIGHT_ONES * limit;
}

static inline uint64_t eight_equal(uint64_t eight, unsigned char byte) {
    return (eight ^ EIGHT_ONES * byte) - EIGHT_ONES;
}

/* Which of the eight has the first mark; there must be one. */
static inline size_t eight_first(uint64_t marks) {
    return (size_t)__builtin_ctzll(marks) / 8;
}

#endif
