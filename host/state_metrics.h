/* Figures of the service's Lua states, of all generations: how many there are, what they hold, which limits they hit.
 */
#ifndef HOST_STATE_METRICS_H
#define HOST_STATE_METRICS_H

#include <stdbool.h>

#include "sandbox.h"

/* One state's place among those that are counted; a part of its owner. */
struct counted_state {
    const struct sandbox *sandbox;
    struct counted_state *next, *previous;
};

/* Shows the figures from now on; false only when memory is exhausted. */
bool state_metrics_start(void);
void state_metrics_add(struct counted_state *state, const struct sandbox *sandbox);
void state_metrics_remove(struct counted_state *state); /* before the sandbox is closed; one never added is fine */
/* Counts the limit that ended the sandbox's run, if one did. */
void state_metrics_limit(const struct sandbox *sandbox);

#endif
