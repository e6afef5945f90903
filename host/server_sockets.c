#include "server_sockets.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

enum {
    SETTLE_MS = 10,
    ACCEPT_MS = 1000, /* at most, for those who came before */
};

static int local_port(int descriptor) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(descriptor, (struct sockaddr *)&address, &size) != 0)
        return -1;
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&address)->sin_port);
    return address.ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)&address)->sin6_port) : -1;
}

static bool is_listening(int descriptor) {
    int listening = 0;
    socklen_t size = sizeof listening;
    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

static void each_socket(int port, void (*visit)(int descriptor, void *context), void *context) {
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    while (directory && (entry = readdir(directory)) != NULL) {
        int descriptor = (int)strtol(entry->d_name, NULL, 10); /* 0 for "." and ".." */
        if (descriptor > 2 && local_port(descriptor) == port)
            visit(descriptor, context);
    }
    if (directory)
        closedir(directory);
}

/* Those who are connected but not yet accepted would be reset. */
static void await_accepts(int descriptor) {
    struct pollfd item = {.fd = descriptor, .events = POLLIN};
    for (int ms = 0; ms < ACCEPT_MS && poll(&item, 1, 0) > 0; ms++)
        clock_sleep_ms(1);
}

/* The shutdown makes the kernel refuse at once. civetweb would then poll the dead socket without a pause, so something
   that has no news takes its place; by a bare system call, because ThreadSanitizer takes the exchange for a race with
   the thread that accepts, which is the point of it. */
static void refuse(int descriptor, void *context) {
    const int *event = context;
    if (!is_listening(descriptor))
        return;
    await_accepts(descriptor);
    shutdown(descriptor, SHUT_RD);
    if (*event >= 0)
        syscall(SYS_dup3, *event, descriptor, O_CLOEXEC);
}

int sockets_refuse(int port) {
    int event = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    eventfd_t count;
    each_socket(port, refuse, &event);
    /* A poll that was under way still sleeps at the old socket: it must come back once to sleep at the new one. */
    clock_sleep_ms(SETTLE_MS);
    eventfd_read(event, &count);
    return event;
}

static void end(int descriptor, void *unused) {
    (void)unused;
    shutdown(descriptor, SHUT_RD);
}

void sockets_end(int port, int refused) {
    each_socket(port, end, NULL);
    if (refused < 0)
        return;
    eventfd_write(refused, 1);
    close(refused);
}

static void look(int descriptor, void *context) {
    enum sockets_state *state = context;
    int unread = 0;
    if (is_listening(descriptor))
        return;
    if (ioctl(descriptor, FIONREAD, &unread) == 0 && unread > 0)
        *state = SOCKETS_WAITING;
    else if (*state == SOCKETS_NONE)
        *state = SOCKETS_IDLE;
}

enum sockets_state sockets_state(int port) {
    enum sockets_state state = SOCKETS_NONE;
    each_socket(port, look, &state);
    return state;
}
