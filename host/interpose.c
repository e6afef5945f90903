#undef _FORTIFY_SOURCE /* its poll and recv are inline functions */

#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"

enum {
    /* civetweb's own 100 KiB is too small for Lua callbacks and cjson; only touched pages cost memory. */
    THREAD_STACK_BYTES = 2 * 1024 * 1024,
};

int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size) {
    int (*real)(pthread_attr_t *, size_t) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "pthread_attr_setstacksize");
    memcpy(&real, &symbol, sizeof real);
    return real ? real(attributes, size < THREAD_STACK_BYTES ? THREAD_STACK_BYTES : size) : EINVAL;
}

static _Thread_local int64_t deadline_ms;
static _Thread_local const char *request_buffer;

void poll_deadline(int64_t deadline) {
    deadline_ms = deadline;
}

/* civetweb's own timeout begins anew with every byte. */
int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms) {
    int64_t wait_ms = timeout_ms;
    if (deadline_ms) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms();
        if (left_ms <= 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (wait_ms < 0 || wait_ms > left_ms)
            wait_ms = left_ms;
    }
    struct timespec span = {wait_ms / 1000, wait_ms % 1000 * 1000000};
    return ppoll(descriptors, count, wait_ms < 0 ? NULL : &span, NULL);
}

const char *received_request(void) {
    return request_buffer;
}

/* A thread of civetweb's keeps its buffer for life, and begins by filling it. */
ssize_t recv(int descriptor, void *data, size_t size, int flags) {
    if (!request_buffer)
        request_buffer = data;
    return recvfrom(descriptor, data, size, flags, NULL, NULL);
}
