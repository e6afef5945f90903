/* What the fuzz targets share. A target is one file: LLVMFuzzerTestOneInput, and `expect` for what must hold. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define expect(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A copy in a block of exactly its size, so that the sanitizer sees a read past the end. */
static inline char *exact_copy(const void *data, size_t size) {
    char *copy = malloc(size ? size : 1);
    expect(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* The same as a string, cut at its first NUL. */
static inline char *string_copy(const void *data, size_t size) {
    char *copy = strndup(data, size);
    expect(copy);
    return copy;
}

static inline bool lies_inside(struct span part, struct span whole) {
    return part.data >= whole.data && part.length <= whole.length &&
           (size_t)(part.data - whole.data) <= whole.length - part.length;
}

#endif
