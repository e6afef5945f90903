#include "clock.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int64_t clock_monotonic_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void) {
    return clock_monotonic_us() / 1000;
}

void clock_sleep_ms(int64_t ms) {
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    if (ms > 0)
        while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
            ;
}

/* The text of the second is kept, a thread's own, because every line of the log asks for it. */
void clock_rfc3339(char *out, size_t size) {
    static _Thread_local time_t second = -1;
    static _Thread_local char text[32];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second) {
        struct tm parts;
        gmtime_r(&now.tv_sec, &parts);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
        second = now.tv_sec;
    }
    int ms = (int)(now.tv_nsec / 1000000);
    text[20] = (char)('0' + ms / 100);
    text[21] = (char)('0' + ms / 10 % 10);
    text[22] = (char)('0' + ms % 10);
    size_t length = strlen(text) < size ? strlen(text) : size - 1;
    memcpy(out, text, length);
    out[length] = '\0';
}

void clock_utc(int64_t seconds, struct clock_utc *out) {
    time_t time = (time_t)seconds;
    struct tm parts;
    gmtime_r(&time, &parts);
    strftime(out->text, sizeof out->text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    out->hour = parts.tm_hour;
    out->minute = parts.tm_min;
    out->weekday = parts.tm_wday == 0 ? 7 : parts.tm_wday;
}
