#include "state_metrics.h"

#include <pthread.h>

#include "metrics.h"
#include "watchdog.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct counted_state *first;

static struct metric *state_count, *memory_bytes, *limit_hits; /* NULL where nobody asks for figures */

static void collect(void *context) {
    (void)context;
    double states = 0, memory = 0;
    pthread_mutex_lock(&mutex);
    for (const struct counted_state *state = first; state; state = state->next) {
        states++;
        memory += (double)sandbox_memory(state->sandbox);
    }
    pthread_mutex_unlock(&mutex);
    metric_set(state_count, NULL, states);
    metric_set(memory_bytes, NULL, memory);
    metric_set(limit_hits, (const char *[]){"cpu_soft"}, (double)watchdog_slow_runs());
}

bool state_metrics_start(void) {
    state_count = metric_family(METRIC_GAUGE, "rayclusterscaler_lua_states", "Lua states, idle or busy.", "");
    memory_bytes =
        metric_family(METRIC_GAUGE, "rayclusterscaler_lua_memory_bytes", "Memory that all Lua states hold.", "");
    limit_hits =
        metric_family(METRIC_COUNTER, "rayclusterscaler_limit_hits_total",
                      "Runs of scripts, while serving or while a bundle was proven, that a limit ended; those that "
                      "passed cpu_soft went on.",
                      "limit");
    if (!state_count || !memory_bytes || !limit_hits)
        return false;
    metric_add(limit_hits, (const char *[]){"memory"}, 0);
    metric_add(limit_hits, (const char *[]){"cpu"}, 0);
    return metrics_on_collect(collect, NULL);
}

void state_metrics_add(struct counted_state *state, const struct sandbox *sandbox) {
    pthread_mutex_lock(&mutex);
    *state = (struct counted_state){.sandbox = sandbox, .next = first};
    if (first)
        first->previous = state;
    first = state;
    pthread_mutex_unlock(&mutex);
}

void state_metrics_remove(struct counted_state *state) {
    if (!state->sandbox)
        return;
    pthread_mutex_lock(&mutex);
    if (state->previous)
        state->previous->next = state->next;
    else
        first = state->next;
    if (state->next)
        state->next->previous = state->previous;
    pthread_mutex_unlock(&mutex);
}

void state_metrics_limit(const struct sandbox *sandbox) {
    const char *limit = sandbox_limit(sandbox);
    if (limit && limit_hits)
        metric_add(limit_hits, (const char *[]){limit}, 1);
}
