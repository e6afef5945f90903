#undef _FORTIFY_SOURCE /* its poll and recv are inline functions */

#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

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

int poll(struct pollfd *descriptors, nfds_t count, int timeout_ms) {
    int result;
    if (front_poll(descriptors, count, timeout_ms, &result))
        return result;
    struct timespec span = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    return ppoll(descriptors, count, timeout_ms < 0 ? NULL : &span, NULL);
}

int accept(int listener, __SOCKADDR_ARG address, socklen_t *restrict size) {
    int result;
    return front_accept(address.__sockaddr__, size, &result) ? result : accept4(listener, address, size, 0);
}

static _Thread_local const char *request_buffer;

const char *received_request(void) {
    return request_buffer;
}

/* A thread of civetweb's keeps its buffer for life, and begins by filling it. */
ssize_t recv(int descriptor, void *data, size_t length, int flags) {
    if (!request_buffer)
        request_buffer = data;
    return recvfrom(descriptor, data, front_receive(length), flags, NULL, NULL);
}

int shutdown(int descriptor, int how) {
    return front_shutdown(descriptor, how) ? 0 : (int)syscall(SYS_shutdown, descriptor, how);
}
