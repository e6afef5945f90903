#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "front_state.h"
#include "wire.h"

enum {
    MAX_CONNECTIONS = 8192,
    RESERVED_DESCRIPTORS = 512, /* for all that is not a caller's connection */
    WAITED_BODY_BYTES =
        64 * 1024, /* larger ones are read by a thread: the kernel shall not hold more for each caller */
    READY_TIMEOUT_MS = 1000,
    SWEEP_MS = 200,
    ENDING_POLL_MS = 10,
    EVENTS = 64,
    NONE = -1,
};

void front_list_add(struct front *front, struct list *list, int descriptor) {
    struct connection *connection = &front->connections[descriptor];
    connection->previous = list->count ? list->last : NONE;
    connection->next = NONE;
    if (list->count)
        front->connections[list->last].next = descriptor;
    else
        list->first = descriptor;
    list->last = descriptor;
    list->count++;
    connection->list = list;
}

void front_list_remove(struct front *front, int descriptor) {
    struct connection *connection = &front->connections[descriptor];
    struct list *list = connection->list;
    if (connection->previous != NONE)
        front->connections[connection->previous].next = connection->next;
    else
        list->first = connection->next;
    if (connection->next != NONE)
        front->connections[connection->next].previous = connection->previous;
    else
        list->last = connection->previous;
    list->count--;
    connection->list = NULL;
}

static bool watch(const struct front *front, int descriptor, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    return epoll_ctl(front->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

struct front *front_new(const struct front_options *options) {
    struct front *front = calloc(1, sizeof *front);
    struct rlimit limit = {0};
    if (!front)
        return NULL;
    front->options = *options;
    getrlimit(RLIMIT_NOFILE, &limit);
    int most = limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
    front->capacity = most;
    front->limit = most - RESERVED_DESCRIPTORS < MAX_CONNECTIONS ? most - RESERVED_DESCRIPTORS : MAX_CONNECTIONS;
    if (front->limit < most / 2)
        front->limit = most / 2 < MAX_CONNECTIONS ? most / 2 : MAX_CONNECTIONS;
    front->connections = calloc((size_t)most, sizeof *front->connections);
    front->epoll = epoll_create1(EPOLL_CLOEXEC);
    front->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&front->mutex, NULL);
    if (front->connections && front->epoll >= 0 && front->wake >= 0 && watch(front, front->wake, EPOLLIN))
        return front;
    front_free(front);
    return NULL;
}

static void close_all(struct front *front, const struct list *list) {
    for (int left = list->count, descriptor = list->first; left > 0; left--) {
        int next = front->connections[descriptor].next;
        close(descriptor);
        descriptor = next;
    }
}

void front_free(struct front *front) {
    if (!front)
        return;
    close_all(front, &front->waiting);
    close_all(front, &front->ready);
    if (front->epoll >= 0)
        close(front->epoll);
    if (front->wake >= 0)
        close(front->wake);
    pthread_mutex_destroy(&front->mutex);
    for (int i = 0; front->connections && i < front->capacity; i++)
        bytes_release(front->connections[i].held);
    free(front->connections);
    free(front);
}

static void wake_up(const struct front *front) {
    uint64_t one = 1;
    ssize_t written = write(front->wake, &one, sizeof one);
    (void)written; /* fails only when it is full, and then it wakes just as well */
}

void front_refuse(struct front *front) {
    pthread_mutex_lock(&front->mutex);
    front->refusing = true;
    pthread_mutex_unlock(&front->mutex);
    wake_up(front);
}

enum front_state front_state(struct front *front) {
    pthread_mutex_lock(&front->mutex);
    enum front_state state = FRONT_IDLE;
    if (front->ready.count || front->begun_count)
        state = FRONT_ASKED;
    else if (front->refused && front->waiting.count == 0 && atomic_load(&front->busy) == 0)
        state = FRONT_EMPTY;
    pthread_mutex_unlock(&front->mutex);
    return state;
}

/* A reader gets an end of what it reads, and can still answer. */
void front_cut_off(struct front *front, int descriptor) {
    struct connection *connection = &front->connections[descriptor];
    connection->cut = true;
    shutdown(descriptor, connection->writing ? SHUT_RDWR : SHUT_RD);
}

void front_end(struct front *front) {
    pthread_mutex_lock(&front->mutex);
    atomic_store(&front->ending, true);
    for (int left = front->stalled.count, descriptor = front->stalled.first; left > 0; left--) {
        front_cut_off(front, descriptor);
        descriptor = front->connections[descriptor].next;
    }
    pthread_mutex_unlock(&front->mutex);
    wake_up(front);
}

enum front_look front_judge(const struct front *front, int descriptor, const char *data, size_t length, size_t read,
                            size_t *whole) {
    size_t header = 0;
    uint64_t body = 0;
    *whole = 0;
    switch (wire_measure(data, length, &header, &body)) {
    case WIRE_PART:
        *whole = length == FRONT_PEEK_BYTES ? length : 0;
        return *whole ? FRONT_WHOLE : FRONT_PART;
    case WIRE_BROKEN:
        *whole = 1; /* civetweb refuses what does not come whole */
        return FRONT_WHOLE;
    case WIRE_HEADER:
        break;
    }
    if (body > front->options.max_body_bytes) {
        *whole = header;
        return FRONT_WHOLE;
    }
    *whole = header + (size_t)body;
    int available = 0;
    bool complete = length >= *whole || body > WAITED_BODY_BYTES ||
                    (ioctl(descriptor, FIONREAD, &available) == 0 && read + (size_t)available >= *whole);
    return complete ? FRONT_WHOLE : FRONT_PART;
}

/* At what there is, without taking it off the connection. */
static enum front_look peek(struct front *front, int descriptor, size_t *whole) {
    const struct bytes *held = front->connections[descriptor].held;
    size_t read = held ? held->length : 0;
    if (read)
        memcpy(front->peeked, held->data, read);
    ssize_t count =
        recvfrom(descriptor, front->peeked + read, FRONT_PEEK_BYTES - read, MSG_PEEK | MSG_DONTWAIT, NULL, NULL);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        return FRONT_ENDED;
    size_t length = read + (count > 0 ? (size_t)count : 0);
    if (length == 0)
        return count == 0 ? FRONT_ENDED : FRONT_NOTHING;
    return front_judge(front, descriptor, front->peeked, length, read, whole);
}

static void stop_waiting(struct front *front, int descriptor) {
    const struct connection *connection = &front->connections[descriptor];
    front_list_remove(front, descriptor);
    front->begun_count -= connection->begun;
    if (connection->body_waited)
        atomic_fetch_sub(front->options.requests, 1);
}

/* Ends a connection that nobody serves. */
static void end(struct front *front, int descriptor) {
    struct connection *connection = &front->connections[descriptor];
    bytes_release(connection->held);
    connection->held = NULL;
    close(descriptor);
}

static void drop(struct front *front, int descriptor) {
    stop_waiting(front, descriptor);
    end(front, descriptor);
}

static void make_ready(struct front *front, int descriptor, int64_t now) {
    stop_waiting(front, descriptor);
    epoll_ctl(front->epoll, EPOLL_CTL_DEL, descriptor, NULL);
    if (front->connections[descriptor].body_waited) {
        int any = 1;
        setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any);
    }
    front->connections[descriptor].since_ms = now;
    front_list_add(front, &front->ready, descriptor);
    atomic_store(&front->ready_count, front->ready.count);
}

/* The kernel makes room for so many bytes, and does not wake us before they are there. */
static void wait_for_body(struct front *front, int descriptor, size_t whole, int64_t now) {
    struct connection *connection = &front->connections[descriptor];
    if (connection->body_waited)
        return;
    int least = (int)(whole - (connection->held ? connection->held->length : 0));
    setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
    connection->body_waited = true;
    atomic_fetch_add(front->options.requests, 1);
    connection->deadline_ms = now + front->options.request_timeout_ms;
}

/* Something may have come for a waiting connection. True when it still waits. */
static bool look(struct front *front, int descriptor, bool ended, int64_t now) {
    struct connection *connection = &front->connections[descriptor];
    size_t whole = 0;
    enum front_look seen = peek(front, descriptor, &whole);
    if (seen == FRONT_ENDED || (seen == FRONT_NOTHING && ended)) {
        drop(front, descriptor);
        return false;
    }
    if (seen == FRONT_NOTHING)
        return true;
    if (seen == FRONT_PART && !ended) {
        front->begun_count += !connection->begun;
        connection->begun = true;
        if (whole)
            wait_for_body(front, descriptor, whole, now);
        return true;
    }
    connection->whole = whole;
    make_ready(front, descriptor, now);
    return false;
}

static void begin_waiting(struct front *front, int descriptor, struct bytes *held, int64_t deadline_ms) {
    bytes_release(front->connections[descriptor].held); /* of an earlier connection that civetweb never served */
    front->connections[descriptor] =
        (struct connection){.deadline_ms = deadline_ms, .held = held, .begun = held != NULL};
    front->begun_count += held != NULL;
    front_list_add(front, &front->waiting, descriptor);
}

void front_wait_for_request(struct front *front, int descriptor, struct bytes *held, int64_t deadline_ms) {
    pthread_mutex_lock(&front->mutex);
    if (descriptor < front->capacity && watch(front, descriptor, EPOLLIN | EPOLLRDHUP | EPOLLET)) {
        begin_waiting(front, descriptor, held, deadline_ms);
        if (held) /* nothing more may come that would make us look */
            look(front, descriptor, false, clock_monotonic_ms());
    } else {
        bytes_release(held);
        close(descriptor);
    }
    pthread_mutex_unlock(&front->mutex);
}

/* Room for one more: whoever has waited longest for a request goes. */
static void make_room(struct front *front) {
    int count = front->waiting.count + front->ready.count + atomic_load(&front->busy);
    if (count >= front->limit && front->waiting.count)
        drop(front, front->waiting.first);
}

/* True when there may be more. */
static bool accept_some(struct front *front, int listener, int64_t now) {
    for (int i = 0; i < EVENTS; i++) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0) {
            bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (exhausted && front->waiting.count) {
                drop(front, front->waiting.first);
                continue;
            }
            if (errno != EAGAIN) { /* nothing that asking again at once would change */
                struct timespec pause = {0, 5 * 1000000};
                nanosleep(&pause, NULL);
            }
            return false;
        }
        if (descriptor >= front->capacity) {
            close(descriptor);
            continue;
        }
        make_room(front);
        begin_waiting(front, descriptor, NULL, now + FRONT_HEADER_TIMEOUT_MS);
        if (look(front, descriptor, false, now) && !watch(front, descriptor, EPOLLIN | EPOLLRDHUP | EPOLLET))
            drop(front, descriptor);
    }
    return true;
}

/* Those who are connected but not accepted yet would be reset. The shutdown makes the kernel refuse at once. */
static void refuse(struct front *front, int64_t now) {
    for (int i = 0; i < front->listener_count; i++) {
        while (accept_some(front, front->listeners[i], now))
            ;
        epoll_ctl(front->epoll, EPOLL_CTL_DEL, front->listeners[i], NULL);
        shutdown(front->listeners[i], SHUT_RD);
    }
    front->refused = true;
}

static void sweep(struct front *front, int64_t now) {
    while (front->ready.count && now - front->connections[front->ready.first].since_ms > READY_TIMEOUT_MS) {
        int descriptor = front->ready.first;
        front->options.overloaded(front->options.context, descriptor);
        front_list_remove(front, descriptor);
        end(front, descriptor);
        atomic_store(&front->ready_count, front->ready.count);
    }
    if (now - front->swept_ms < SWEEP_MS)
        return;
    front->swept_ms = now;
    for (int left = front->waiting.count, descriptor = front->waiting.first; left > 0; left--) {
        struct connection *connection = &front->connections[descriptor];
        int next = connection->next;
        char byte;
        if (now >= connection->deadline_ms) {
            if (connection->held || recvfrom(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL, NULL) == 1) {
                connection->expired = true;
                make_ready(front, descriptor, now); /* to be told */
            } else {
                drop(front, descriptor);
            }
        }
        descriptor = next;
    }
}

static bool is_listener(const struct front *front, int descriptor) {
    for (int i = 0; i < front->listener_count; i++)
        if (front->listeners[i] == descriptor)
            return true;
    return false;
}

static void take_events(struct front *front, const struct epoll_event *events, int count, int64_t now) {
    for (int i = 0; i < count; i++) {
        int descriptor = events[i].data.fd;
        uint64_t ignored;
        if (descriptor == front->wake) {
            ssize_t taken = read(front->wake, &ignored, sizeof ignored);
            (void)taken;
        } else if (is_listener(front, descriptor)) {
            accept_some(front, descriptor, now);
        } else {
            /* A connection of this round of events may have been dropped, its number taken by the next one: then it is
               only looked at in vain. */
            if (front->connections[descriptor].list == &front->waiting)
                look(front, descriptor, events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR), now);
        }
    }
}

static void take_listeners(struct front *front, const struct pollfd *descriptors, nfds_t count) {
    for (nfds_t i = 0; i < count && front->listener_count < FRONT_LISTENERS; i++) {
        front->listeners[front->listener_count++] = descriptors[i].fd;
        fcntl(descriptors[i].fd, F_SETFL, fcntl(descriptors[i].fd, F_GETFL) | O_NONBLOCK);
        watch(front, descriptors[i].fd, EPOLLIN);
    }
}

static bool can_serve(const struct front *front) {
    return front->ready.count && atomic_load(&front->busy) < front->options.threads;
}

bool front_await(struct front *front, const struct pollfd *descriptors, nfds_t count, int timeout_ms) {
    int64_t now = clock_monotonic_ms(), until = now + timeout_ms;
    struct epoll_event events[EVENTS];
    pthread_mutex_lock(&front->mutex);
    if (!front->listener_count)
        take_listeners(front, descriptors, count);
    while (!can_serve(front)) {
        if (front->refusing && !front->refused)
            refuse(front, now);
        int64_t wait = until - now < SWEEP_MS ? until - now : SWEEP_MS;
        if (atomic_load(&front->ending) && wait > ENDING_POLL_MS)
            wait = ENDING_POLL_MS;
        pthread_mutex_unlock(&front->mutex);
        int happened = epoll_wait(front->epoll, events, EVENTS, wait > 0 ? (int)wait : 0);
        now = clock_monotonic_ms();
        pthread_mutex_lock(&front->mutex);
        take_events(front, events, happened, now);
        sweep(front, now);
        if (now >= until || atomic_load(&front->ending))
            break;
    }
    bool serve = can_serve(front);
    pthread_mutex_unlock(&front->mutex);
    return serve;
}

int front_take(struct front *front) {
    int descriptor = -1;
    pthread_mutex_lock(&front->mutex);
    if (can_serve(front)) {
        descriptor = front->ready.first;
        front_list_remove(front, descriptor);
        atomic_store(&front->ready_count, front->ready.count);
        atomic_fetch_add(&front->busy, 1);
    }
    pthread_mutex_unlock(&front->mutex);
    return descriptor;
}

void front_release(struct front *front) {
    atomic_fetch_sub(&front->busy, 1);
    if (atomic_load(&front->ready_count))
        wake_up(front);
}
