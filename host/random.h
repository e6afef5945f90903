/* Random numbers for jitter; not for secrets. */
#ifndef HOST_RANDOM_H
#define HOST_RANDOM_H

#include <stdint.h>

/* From 0 to bound - 1; 0 for a bound of 0. Thread-safe. */
int64_t random_below(int64_t bound);

#endif
