#include "watchdog.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* A run's thread may end right after it left, so the watchdog touches a thread only while it holds the run, and a run
   that is held cannot leave. */
enum { IDLE, RUNNING, HELD };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct watch *first;
    pthread_t thread;
    bool started;
    bool stopping;
    void (*act)(void *context);
    void *act_context;
} watchdog = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int interrupt_signal; /* 0 before the start */
static atomic_bool stuck;
static _Atomic uint64_t slow_runs;

/* Initial-exec: the handler must not be the first to allocate a thread's copy. */
#define HANDLER_SAFE __attribute__((tls_model("initial-exec")))
static _Thread_local struct watch *volatile current HANDLER_SAFE;
static _Thread_local int unblocked_signal;

#if defined(__SANITIZE_THREAD__)
/* ThreadSanitizer holds a signal back until the thread's next call into its runtime, and a loop inside the Lua library
   makes none. Past its interceptor, and with a handler it does not look into, the signal arrives at once. */
int __sigaction(int number, const struct sigaction *action, struct sigaction *old);
#define install_handler __sigaction
#define NOT_INSTRUMENTED __attribute__((no_sanitize("thread")))
#else
#define install_handler sigaction
#define NOT_INSTRUMENTED
#endif

NOT_INSTRUMENTED static void on_signal(int number, siginfo_t *information, void *machine) {
    (void)number;
    (void)information;
    int saved = errno;
    for (struct watch *watch = current; watch; watch = watch->outer)
        if (atomic_load_explicit(&watch->expired, memory_order_relaxed))
            watch->interrupt(watch, atomic_load_explicit(&watch->over_ms, memory_order_relaxed), machine);
    errno = saved;
}

/* A real-time signal that nobody in this process handles. */
static int take_signal(void) {
    for (int number = SIGRTMAX; number > SIGRTMIN; number--) {
        struct sigaction present;
        if (sigaction(number, NULL, &present) != 0 || (present.sa_flags & SA_SIGINFO) || present.sa_handler != SIG_DFL)
            continue;
        /* SA_NODEFER: the handler may leave by longjmp, see sandbox.c. */
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER};
        sigemptyset(&action.sa_mask);
        if (install_handler(number, &action, NULL) == 0)
            return number;
    }
    return 0;
}

static void end_process(void *context) {
    (void)context;
    struct timespec grace = {.tv_sec = WATCHDOG_GRACE_MS / 1000, .tv_nsec = WATCHDOG_GRACE_MS % 1000 * 1000000L};
    nanosleep(&grace, NULL);
    _exit(WATCHDOG_EXIT_CODE);
}

/* -1 when the clock cannot be read. */
static int64_t thread_cpu_ms(pthread_t thread) {
    clockid_t clock;
    struct timespec now;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &now) != 0)
        return -1;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void report(enum log_level level, const char *message, const char *label, int64_t used_ms) {
    struct buffer fields = {0};
    buffer_text(&fields, "\"run\":");
    buffer_json_string(&fields, label, strlen(label));
    buffer_format(&fields, ",\"cpu_ms\":%lld", (long long)used_ms);
    if (!fields.failed)
        log_event(level, message, fields.data);
    buffer_free(&fields);
}

/* Looks at one run; true when it is stuck. */
static bool look(struct watch *watch) {
    unsigned phase = RUNNING;
    if (!atomic_compare_exchange_strong_explicit(&watch->phase, &phase, HELD, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    int64_t now = thread_cpu_ms(watch->thread);
    if (watch->seen_run != watch->run) {
        /* What it used before the first look, at most one tick, is given away: a clock read at every start would cost
           more than most runs. */
        watch->seen_run = watch->run;
        watch->start_ms = now;
        watch->soft_logged = false;
    }
    int64_t used = now - watch->start_ms;
    bool log_soft = watch->soft_ms > 0 && used >= watch->soft_ms && !watch->soft_logged;
    bool over = watch->hard_ms > 0 && used >= watch->hard_ms;
    bool log_hard = over && !watch_expired(watch);
    char label[128];
    if (log_soft || over)
        snprintf(label, sizeof label, "%s", watch->label ? watch->label : "");
    if (over) {
        atomic_store_explicit(&watch->over_ms, used - watch->hard_ms, memory_order_relaxed);
        atomic_store_explicit(&watch->expired, true, memory_order_relaxed);
        pthread_kill(watch->thread, atomic_load(&interrupt_signal));
    }
    atomic_store_explicit(&watch->phase, RUNNING, memory_order_release);

    if (log_soft) {
        watch->soft_logged = true;
        atomic_fetch_add_explicit(&slow_runs, 1, memory_order_relaxed);
        report(LOG_WARN, "cpu soft limit reached", label, used);
    }
    if (log_hard)
        report(LOG_WARN, "cpu hard limit reached", label, used);
    if (!over || used < watch->hard_ms + WATCHDOG_STUCK_MS)
        return false;
    if (!atomic_exchange(&stuck, true))
        report(LOG_ERROR, "run is stuck: nothing ends it", label, used);
    return true;
}

static void *watch_loop(void *context) {
    (void)context;
    pthread_mutex_lock(&watchdog.lock);
    bool acted = false;
    while (!watchdog.stopping) {
        bool found = false;
        for (struct watch *watch = watchdog.first; watch; watch = watch->next)
            found |= look(watch);
        if (found && !acted) {
            acted = true;
            void (*act)(void *) = watchdog.act ? watchdog.act : end_process;
            void *act_context = watchdog.act_context;
            pthread_mutex_unlock(&watchdog.lock);
            act(act_context);
            pthread_mutex_lock(&watchdog.lock);
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCHDOG_TICK_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        while (!watchdog.stopping && pthread_cond_timedwait(&watchdog.wake, &watchdog.lock, &until) == 0) {
        }
    }
    pthread_mutex_unlock(&watchdog.lock);
    return NULL;
}

bool watchdog_start(void) {
    int number = atomic_load(&interrupt_signal);
    if (number == 0)
        number = take_signal();
    if (number == 0)
        return false;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_store(&stuck, false);
    atomic_store(&interrupt_signal, number);
    watchdog.stopping = false;

    /* The process's own signals are for its other threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    watchdog.started = pthread_create(&watchdog.thread, NULL, watch_loop, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return watchdog.started;
}

void watchdog_stop(void) {
    if (!watchdog.started)
        return;
    pthread_mutex_lock(&watchdog.lock);
    watchdog.stopping = true;
    pthread_cond_signal(&watchdog.wake);
    pthread_mutex_unlock(&watchdog.lock);
    pthread_join(watchdog.thread, NULL);
    pthread_cond_destroy(&watchdog.wake);
    watchdog.started = false;
    /* The handler stays: a signal may still be on its way, and without a run it does nothing. */
}

bool watchdog_stuck(void) {
    return atomic_load(&stuck);
}

uint64_t watchdog_slow_runs(void) {
    return atomic_load_explicit(&slow_runs, memory_order_relaxed);
}

void watchdog_on_stuck(void (*act)(void *context), void *context) {
    pthread_mutex_lock(&watchdog.lock);
    watchdog.act = act;
    watchdog.act_context = context;
    pthread_mutex_unlock(&watchdog.lock);
}

void watch_add(struct watch *watch) {
    pthread_mutex_lock(&watchdog.lock);
    watch->previous = NULL;
    watch->next = watchdog.first;
    if (watchdog.first)
        watchdog.first->previous = watch;
    watchdog.first = watch;
    pthread_mutex_unlock(&watchdog.lock);
}

void watch_remove(struct watch *watch) {
    pthread_mutex_lock(&watchdog.lock);
    if (watch->previous)
        watch->previous->next = watch->next;
    else
        watchdog.first = watch->next;
    if (watch->next)
        watch->next->previous = watch->previous;
    pthread_mutex_unlock(&watchdog.lock);
}

static void unblock(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    unblocked_signal = number;
}

void watch_enter(struct watch *watch, const char *label) {
    int number = atomic_load_explicit(&interrupt_signal, memory_order_relaxed);
    if (unblocked_signal != number)
        unblock(number);
    watch->label = label;
    watch->thread = pthread_self();
    watch->run++;
    watch->outer = current;
    atomic_signal_fence(memory_order_release);
    current = watch;
    atomic_store_explicit(&watch->phase, RUNNING, memory_order_release);
}

void watch_leave(struct watch *watch) {
    unsigned phase = RUNNING;
    while (!atomic_compare_exchange_weak_explicit(&watch->phase, &phase, IDLE, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
        phase = RUNNING;
        sched_yield();
    }
    current = watch->outer;
    atomic_signal_fence(memory_order_release);
}
