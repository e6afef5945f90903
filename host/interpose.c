#undef _FORTIFY_SOURCE /* its poll and recv are inline functions */

#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "front.h"

enum {
    /* civetweb's own 100 KiB is too small for Lua callbacks; only touched pages cost memory. */
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

/* Of one thread: what lies in civetweb's buffer, before it cuts it up. */
struct received {
    uintptr_t buffer;
    size_t length;
    char bytes[REQUEST_BUFFER_BYTES];
};

static pthread_key_t received_key;
static pthread_once_t received_once = PTHREAD_ONCE_INIT;

static void make_received_key(void) {
    pthread_key_create(&received_key, free);
}

static struct received *received_get(void) {
    pthread_once(&received_once, make_received_key);
    return pthread_getspecific(received_key);
}

bool received_keep(void) {
    struct received *received = received_get();
    if (received)
        return true;
    if (!(received = malloc(sizeof *received)))
        return false;
    received->buffer = 0;
    received->length = 0;
    if (pthread_setspecific(received_key, received) == 0)
        return true;
    free(received);
    return false;
}

struct span received_request(void) {
    const struct received *received = received_get();
    return received ? (struct span){received->bytes, received->length} : (struct span){"", 0};
}

/* civetweb fills its buffer from the start for each request, since front_receive gives it no more than one; a thread
   keeps that buffer for life, and begins with it. What goes elsewhere belongs to bodies and upstreams. */
static void keep(struct received *received, const char *data, size_t length) {
    if (!received->buffer)
        received->buffer = (uintptr_t)data;
    size_t at = (uintptr_t)data - received->buffer;
    if (at > received->length || length > sizeof received->bytes - at)
        return;
    memcpy(received->bytes + at, data, length);
    received->length = at + length;
}

ssize_t recv(int descriptor, void *data, size_t size, int flags) {
    ssize_t length = front_receive(descriptor, data, size, flags);
    struct received *received = received_get();
    if (received && length > 0)
        keep(received, data, (size_t)length);
    return length;
}

int shutdown(int descriptor, int how) {
    return front_shutdown(descriptor, how) ? 0 : (int)syscall(SYS_shutdown, descriptor, how);
}
