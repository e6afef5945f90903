/* The sandbox: which libraries and functions a script sees (a list of what is allowed), and limits on memory, CPU
   time and the cost of library calls that no hook can interrupt. */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sandbox_limits {
    size_t memory_bytes; /* of one state; one string may take a quarter of it */
    int64_t cpu_soft_ms; /* logged; 0: never */
    int64_t cpu_hard_ms; /* the run ends with an error that nothing in Lua can swallow; 0: no limit */
};

struct sandbox; /* one Lua state's limits */

/* A fresh state with the allowed libraries and nothing else; no modules yet. NULL when memory is exhausted. */
struct sandbox *sandbox_open(const struct sandbox_limits *limits);
/* Bounded: scripts can set no finalizer, so only those of bindings run. NULL is fine. */
void sandbox_close(struct sandbox *sandbox);
lua_State *sandbox_state(struct sandbox *sandbox);
size_t sandbox_memory(const struct sandbox *sandbox);
/* The sandbox of a state or of any of its coroutines. */
struct sandbox *sandbox_of(lua_State *L);

/* lua_pcall under the limits, with a traceback. Returns LUA_OK, or pushes a string that names what went wrong:
   message and traceback, whatever the error object was. Nested calls share the outer one's budget.
   label names the run in logs ("scripts.app"). */
int sandbox_call(struct sandbox *sandbox, int arguments, int results, const char *label);
/* Compiles text (never a binary chunk) and pushes the function, or an error message, on the running coroutine: from
   within a C function its own L. Counts as part of the run, or as one of its own outside of a run. */
int sandbox_load(struct sandbox *sandbox, const char *source, size_t length, const char *chunkname);
/* True once a limit ended a run: the state may only be closed. */
bool sandbox_spent(const struct sandbox *sandbox);
/* That limit's name, "memory" or "cpu"; NULL when none was hit. */
const char *sandbox_limit(const struct sandbox *sandbox);
/* Time that a binding spends waiting for the outside does not count as CPU time by nature; nothing to call. */

/* For the host. Scripts see globals and libraries read-only, so lua_setglobal raises; these two define.
   Pops a value and makes it the global of that name. */
void sandbox_define(lua_State *L, const char *name);
/* Replaces the table on top by a view of it that scripts can read by key but neither change nor enumerate. */
void sandbox_freeze(lua_State *L);
/* The same for what a module returned, which can also be enumerated: by pairs and by its length. */
void sandbox_freeze_module(lua_State *L);
/* Replaces such a view on top by its table. */
void sandbox_thaw(lua_State *L);
/* Raises once the run's time is over: for loops in C that run long or call back into Lua. */
void sandbox_check(lua_State *L);

/* Process-wide: the watchdog thread that enforces CPU time. Start before the first state runs. */
bool sandbox_start(void);
void sandbox_stop(void);
/* True once a run went on for two seconds of CPU time beyond its hard limit in spite of all: fail liveness. The
   process then ends itself a second later, unless watchdog_on_stuck (watchdog.h) says otherwise. */
bool sandbox_stuck(void);

#endif
