/* The sandbox: which libraries and functions a script sees (a list of what is allowed), and limits on memory, CPU
   time and the cost of library calls that no hook can interrupt. */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox_limits {
    size_t memory_bytes; /* of one state */
    int64_t cpu_soft_ms; /* logged */
    int64_t cpu_hard_ms; /* the run ends with an error that nothing in Lua can swallow; the state is thrown away */
};

struct sandbox; /* one Lua state's limits */

/* A fresh state with the allowed libraries and nothing else; no modules yet. NULL when memory is exhausted. */
struct sandbox *sandbox_open(const struct sandbox_limits *limits);
void sandbox_close(struct sandbox *sandbox); /* bounded even when finalizers misbehave */
lua_State *sandbox_state(struct sandbox *sandbox);
size_t sandbox_memory(const struct sandbox *sandbox);

/* lua_pcall under the limits, with a traceback. Returns LUA_OK, or pushes a string that names what went wrong:
   message and traceback, whatever the error object was. Nested calls share the outer one's budget.
   label names the run in logs ("scripts.app"). */
int sandbox_call(struct sandbox *sandbox, int arguments, int results, const char *label);
/* True once a limit ended a run: the state may only be closed. */
bool sandbox_spent(const struct sandbox *sandbox);
/* Time that a binding spends waiting for the outside does not count as CPU time by nature; nothing to call. */

/* Process-wide: the watchdog thread that enforces CPU time. Start before the first state runs. */
bool sandbox_start(void);
void sandbox_stop(void);

#endif
