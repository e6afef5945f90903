/* Time: deadlines are monotonic milliseconds, so a wall clock that jumps cannot move them. */
#ifndef HOST_CLOCK_H
#define HOST_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* What rules see of a time in UTC. */
struct clock_utc {
    char text[32]; /* RFC 3339, whole seconds: "2026-11-22T21:05:20Z" */
    int hour, minute;
    int weekday; /* ISO 8601: 1 is Monday */
};

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
/* Sleeps through signals; not at all for 0 and less. */
void clock_sleep_ms(int64_t ms);
/* Wall time as RFC 3339 in UTC with milliseconds, "2026-11-22T21:05:20.123Z"; out holds 25 bytes or more. */
void clock_rfc3339(char *out, size_t size);
void clock_utc(int64_t seconds, struct clock_utc *out);

#endif
