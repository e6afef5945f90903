/* CPU time of runs. A run is what one thread does between watch_enter and watch_leave. Entering and leaving cost no
   system call; a thread of its own looks every few milliseconds at the runs that are under way, reads their threads'
   CPU clocks and interrupts those over their limit by a signal to that very thread. Knows nothing of Lua. */
#ifndef HOST_WATCHDOG_H
#define HOST_WATCHDOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    WATCHDOG_TICK_MS = 10,
    WATCHDOG_STUCK_MS = 2000, /* CPU time beyond the hard limit after which nothing will stop the run any more */
    WATCHDOG_GRACE_MS = 1000, /* from saying so to ending the process: for the log line and a failing probe */
    WATCHDOG_EXIT_CODE = 70   /* EX_SOFTWARE */
};

struct watch {
    int64_t soft_ms; /* logged; 0: never */
    int64_t hard_ms; /* interrupted; 0: never */
    /* Called in a signal handler on the run's own thread, every tick from the hard limit on until the run leaves.
       over_ms is the CPU time since that limit; machine is the handler's ucontext_t. */
    void (*interrupt)(struct watch *watch, int64_t over_ms, const void *machine);

    /* The run. */
    const char *label;
    pthread_t thread;
    uint64_t run;
    struct watch *outer; /* the run of the same thread in which this one began */
    atomic_uint phase;
    atomic_bool expired; /* the hard limit was reached; stays */
    atomic_llong over_ms;

    /* The watchdog's own notes. */
    uint64_t seen_run;
    int64_t start_ms;
    bool soft_logged;
    struct watch *next, *previous;
};

bool watchdog_start(void);
void watchdog_stop(void);
/* True from the moment a run was found stuck: nothing in this process can be trusted to end it. */
bool watchdog_stuck(void);
uint64_t watchdog_slow_runs(void); /* how many reached their soft limit since the process began */
/* What happens then, on the watchdog's thread, once. NULL restores the default: wait WATCHDOG_GRACE_MS, then end the
   process with WATCHDOG_EXIT_CODE. */
void watchdog_on_stuck(void (*act)(void *context), void *context);

void watch_add(struct watch *watch);
void watch_remove(struct watch *watch); /* between runs only */
/* label lives until watch_leave. */
void watch_enter(struct watch *watch, const char *label);
void watch_leave(struct watch *watch);

static inline bool watch_expired(const struct watch *watch) {
    return atomic_load_explicit(&watch->expired, memory_order_relaxed);
}

#endif
