#include "random.h"

#include <sys/random.h>

#include "clock.h"

int64_t random_below(int64_t bound) {
    uint64_t number;
    if (bound <= 0)
        return 0;
    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
        number = (uint64_t)clock_monotonic_us() * 0x9e3779b97f4a7c15u >> 16;
    return (int64_t)(number % (uint64_t)bound);
}
