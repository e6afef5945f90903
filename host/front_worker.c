/* The threads' side: what poll, recv, accept and shutdown do on threads of civetweb. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "front_state.h"

enum {
    LINGER_MS = 5, /* so long a thread stays with a connection for its next request: where they come fast none moves */
    DISCARD_BYTES = 256 * 1024,
};

enum phase {
    ELSEWHERE,
    ACCEPTING,
    GIVEN,   /* a connection whose request is there */
    WAITING, /* for the connection's next request */
    TAKEN,   /* civetweb reads the request */
    INSIDE,  /* the request is being served */
};

static _Thread_local struct {
    struct front *front;
    enum phase phase;
    int descriptor;            /* of the connection */
    int parked;                /* a duplicate, with which the connection lives on when civetweb closes it; -1: none */
    struct bytes *parked_held; /* what has been read of its next request, or NULL */
    bool expired;
    size_t limit;        /* bytes of the request; what is behind them is the next one's */
    size_t held;         /* how many bytes below are read of the connection, but not by civetweb yet … */
    size_t held_at;      /* … and where they begin */
    bool patient;        /* the connection is one that recv waits on, LINGER_MS long */
    int64_t deadline_ms; /* of waits for the peer; 0: none … */
    int64_t timeout_ms;  /* … or, when this is set, so long after the first of them */
    int64_t stalled_ms;  /* waited for it in this request */
} self = {.descriptor = -1, .parked = -1};

/* FRONT_PEEK_BYTES of a thread's own; on the heap, where it costs other threads nothing. */
static _Thread_local char *held;
static pthread_key_t held_key;
static pthread_once_t held_once = PTHREAD_ONCE_INIT;

static void make_held_key(void) {
    pthread_key_create(&held_key, free);
}

bool front_prepare(void) {
    pthread_once(&held_once, make_held_key);
    held = malloc(FRONT_PEEK_BYTES);
    if (held && pthread_setspecific(held_key, held) == 0)
        return true;
    free(held);
    held = NULL;
    return false;
}

void front_listen(struct front *front) {
    self.front = front;
    self.phase = ACCEPTING;
}

void front_open(struct front *front) {
    self.front = front;
    self.phase = GIVEN;
    self.descriptor = -1;
    self.parked = -1;
    self.expired = false;
    self.patient = false;
    self.held = 0;
}

void front_request(int64_t deadline_ms) {
    self.phase = INSIDE;
    self.timeout_ms = 0;
    if (!self.expired)
        self.deadline_ms = deadline_ms;
}

void front_answer(int64_t timeout_ms) {
    self.phase = INSIDE;
    self.deadline_ms = 0;
    self.timeout_ms = timeout_ms;
}

void front_between(void) {
    self.phase = WAITING;
    self.expired = false;
}

bool front_expired(void) {
    return self.expired;
}

void front_close(void) {
    if (self.parked >= 0)
        front_wait_for_request(self.front, self.parked, self.parked_held, clock_monotonic_ms() + FRONT_IDLE_TIMEOUT_MS);
    self.parked = -1;
    self.parked_held = NULL;
    self.held = 0;
    self.descriptor = -1;
    self.phase = ELSEWHERE;
    front_release(self.front);
}

static int fail(int code) {
    errno = code;
    return -1;
}

static int wait_on(struct pollfd *descriptors, nfds_t count, int64_t wait_ms) {
    struct timespec span = {wait_ms / 1000, wait_ms % 1000 * 1000000};
    return ppoll(descriptors, count, wait_ms < 0 ? NULL : &span, NULL);
}

/* Too many threads wait for peers: whoever has waited longest for theirs goes on without. */
static void make_room(struct front *front, int64_t now) {
    int longest = -1;
    int64_t longest_ms = -1;
    for (int left = front->stalled.count, descriptor = front->stalled.first; left > 0; left--) {
        const struct connection *connection = &front->connections[descriptor];
        int64_t waited = connection->stalled_ms + now - connection->since_ms;
        if (!connection->cut && waited > longest_ms) {
            longest = descriptor;
            longest_ms = waited;
        }
        descriptor = connection->next;
    }
    if (longest >= 0)
        front_cut_off(front, longest);
}

/* Waits for the peer of a connection that is being served. */
static int wait_for_peer(struct pollfd *descriptor, int timeout_ms) {
    struct front *front = self.front;
    int64_t now = clock_monotonic_ms(), wait = timeout_ms;
    bool writing = descriptor->events & POLLOUT;
    if (self.held && !writing) {
        descriptor->revents = POLLIN;
        return 1;
    }
    int result = wait_on(descriptor, 1, 0);
    if (result != 0 || timeout_ms == 0 || descriptor->fd >= front->capacity)
        return result;
    if (self.timeout_ms)
        self.deadline_ms = now + self.timeout_ms;
    self.timeout_ms = 0;
    if (self.deadline_ms) {
        int64_t left = self.deadline_ms - now;
        if (left <= 0 && !writing)
            return fail(ETIMEDOUT);
        if (left <= 0) {
            shutdown(descriptor->fd, SHUT_RDWR); /* else civetweb tries again and again */
            left = 0;
        }
        if (wait < 0 || wait > left)
            wait = left;
    }
    struct connection *connection = &front->connections[descriptor->fd];
    pthread_mutex_lock(&front->mutex);
    connection->since_ms = now;
    connection->stalled_ms = self.stalled_ms;
    connection->writing = writing;
    connection->cut = false;
    front_list_add(front, &front->stalled, descriptor->fd);
    if (front->stalled.count > front->options.max_stalled)
        make_room(front, now);
    pthread_mutex_unlock(&front->mutex);
    result = wait_on(descriptor, 1, wait);
    int failure = errno;
    pthread_mutex_lock(&front->mutex);
    front_list_remove(front, descriptor->fd);
    pthread_mutex_unlock(&front->mutex);
    self.stalled_ms += clock_monotonic_ms() - now;
    errno = failure;
    return result;
}

/* Takes what was sent off the parts. */
static void advance(struct iovec **parts, size_t *count, size_t sent) {
    while (*count && sent >= (*parts)->iov_len) {
        sent -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + sent;
        (*parts)->iov_len -= sent;
    }
}

bool front_send(struct iovec *parts, size_t count) {
    for (;;) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = count < IOV_MAX ? count : IOV_MAX};
        ssize_t sent = sendmsg(self.descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd peer = {self.descriptor, POLLOUT, 0};
        if (sent < 0 && errno == EAGAIN ? wait_for_peer(&peer, -1) <= 0 : sent < 0 && errno != EINTR)
            return false;
        if (sent >= 0)
            advance(&parts, &count, (size_t)sent);
        if (count == 0)
            return true;
    }
}

bool front_peer_left(void) {
    struct pollfd peer = {self.descriptor, POLLRDHUP, 0};
    return wait_on(&peer, 1, 0) != 0;
}

/* Lets civetweb read the request, and not a byte more: nothing of the next one is in its hands when this one ends. */
static int take_request(struct pollfd *descriptor, size_t bytes) {
    self.phase = TAKEN;
    self.descriptor = descriptor->fd;
    self.limit = bytes;
    self.deadline_ms = 0;
    self.timeout_ms = 0;
    self.stalled_ms = 0;
    descriptor->revents = POLLIN;
    return 1;
}

/* A connection of front.c's, with its request as far as that will ever come. */
static int take_given(struct pollfd *descriptor) {
    pthread_mutex_lock(&self.front->mutex);
    const struct connection connection = self.front->connections[descriptor->fd];
    self.front->connections[descriptor->fd].held = NULL;
    pthread_mutex_unlock(&self.front->mutex);
    self.held_at = 0;
    self.held = connection.held && held ? connection.held->length : 0; /* without, while a start that failed ends */
    if (self.held)
        memcpy(held, connection.held->data, self.held);
    bytes_release(connection.held);
    int ready = take_request(descriptor, connection.whole ? connection.whole : FRONT_PEEK_BYTES);
    self.expired = connection.expired;
    if (self.expired)
        self.deadline_ms = clock_monotonic_ms();
    return ready;
}

static bool is_whole(int descriptor, size_t *whole) {
    return self.held &&
           front_judge(self.front, descriptor, held + self.held_at, self.held, self.held, whole) == FRONT_WHOLE;
}

/* One call that waits and reads is cheaper than two. All others on such a connection must say that they don't wait. */
static bool make_patient(int descriptor) {
    const struct timeval linger = {.tv_usec = LINGER_MS * 1000};
    return setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &linger, sizeof linger) == 0 &&
           fcntl(descriptor, F_SETFL, 0) == 0;
}

/* Reads what has come behind what is held. False when the connection has ended. */
static bool read_more(int descriptor, bool patient) {
    if (self.held && self.held_at)
        memmove(held, held + self.held_at, self.held);
    self.held_at = 0;
    ssize_t count =
        recvfrom(descriptor, held + self.held, FRONT_PEEK_BYTES - self.held, patient ? 0 : MSG_DONTWAIT, NULL, NULL);
    if (count > 0)
        self.held += (size_t)count;
    return count > 0 || self.held || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/* The connection goes on without this thread, with what has been read of it. */
static int park(int descriptor) {
    if (self.held && !(self.parked_held = bytes_copy(held + self.held_at, self.held)))
        return fail(ECONNRESET);
    self.parked = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    if (self.parked < 0) {
        bytes_release(self.parked_held);
        self.parked_held = NULL;
    }
    return fail(EAGAIN);
}

/* The connection's next request, on the thread that served the one before; or the thread gives the connection back, so
   that it can serve another. */
static int wait_for_next(struct pollfd *descriptor) {
    struct front *front = self.front;
    size_t whole = 0;
    bool in_haste = atomic_load(&front->ready_count) || atomic_load(&front->ending);
    if (!self.patient)
        self.patient = make_patient(descriptor->fd);
    /* What is held already may be the next request: it was sent without waiting for the answer. */
    if (is_whole(descriptor->fd, &whole))
        return take_request(descriptor, whole);
    if (!read_more(descriptor->fd, self.patient && !in_haste))
        return fail(ECONNRESET);
    return is_whole(descriptor->fd, &whole) ? take_request(descriptor, whole) : park(descriptor->fd);
}

bool front_poll(struct pollfd *descriptors, nfds_t count, int timeout_ms, int *result) {
    switch (self.phase) {
    case ELSEWHERE:
        return false;
    case ACCEPTING:
        *result = front_await(self.front, descriptors, count, timeout_ms);
        for (nfds_t i = 0; i < count; i++)
            descriptors[i].revents = i == 0 && *result ? POLLIN : 0;
        return true;
    case GIVEN:
        *result = take_given(descriptors);
        return true;
    case WAITING:
        *result = wait_for_next(descriptors);
        return true;
    case TAKEN: /* civetweb wants more than there is */
        *result = fail(ETIMEDOUT);
        return true;
    case INSIDE:
        if (count != 1 || descriptors->fd != self.descriptor)
            return false; /* an upstream's */
        *result = wait_for_peer(descriptors, timeout_ms);
        return true;
    }
    return false;
}

bool front_accept(struct sockaddr *address, socklen_t *size, int *result) {
    if (self.phase != ACCEPTING)
        return false;
    *result = front_take(self.front);
    if (*result >= 0 && getpeername(*result, address, size) != 0) {
        close(*result);
        front_release(self.front);
        *result = -1;
    }
    if (*result < 0)
        errno = ECONNABORTED;
    return true;
}

static size_t give(char *data, size_t length) {
    if (length > self.held)
        length = self.held;
    memcpy(data, held + self.held_at, length);
    self.held_at += length;
    self.held -= length;
    return length;
}

ssize_t front_receive(int descriptor, void *data, size_t length, int flags) {
    if (self.phase == ELSEWHERE || descriptor != self.descriptor)
        return recvfrom(descriptor, data, length, flags, NULL, NULL);
    if (self.phase == TAKEN && length > self.limit)
        length = self.limit;
    /* What is held and what came since is one to civetweb. */
    size_t given = give(data, length);
    if (given == length)
        return (ssize_t)given;
    if (given || self.patient)
        flags |= MSG_DONTWAIT;
    ssize_t count = recvfrom(descriptor, (char *)data + given, length - given, flags, NULL, NULL);
    return count < 0 && given ? (ssize_t)given : count + (ssize_t)given;
}

bool front_shutdown(int descriptor, int how) {
    if (self.phase != WAITING || how != SHUT_WR)
        return false;
    if (self.parked >= 0)
        return true;
    /* Closing on bytes that nobody has read would reset the connection, and with it our answer. By a bare system call:
       ThreadSanitizer believes that the bytes go to NULL. */
    self.held = 0;
    syscall(SYS_shutdown, descriptor, how);
    for (ssize_t left = DISCARD_BYTES, count = 1; left > 0 && count > 0; left -= count)
        count = syscall(SYS_recvfrom, descriptor, NULL, (size_t)left, MSG_DONTWAIT | MSG_TRUNC, NULL, NULL);
    return true;
}
