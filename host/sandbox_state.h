/* What the files of the sandbox share; nobody else includes this. */
#ifndef HOST_SANDBOX_STATE_H
#define HOST_SANDBOX_STATE_H

#include "sandbox.h"
#include "watchdog.h"

enum {
    SANDBOX_ERROR_BYTES = 4096,    /* of an error message; the rest is cut */
    SANDBOX_TRACEBACK_LEVELS = 20, /* and as many bytes of traceback, at most about 3 KiB */
    SANDBOX_MESSAGE_BYTES = 8192,
    /* C stack that may be in use when a coroutine is entered. Lua bounds nesting inside a coroutine (200 C calls) but
       not across coroutine.close, so the sandbox does; both together stay below a thread's 1 MiB. */
    SANDBOX_COROUTINE_STACK_BYTES = 256 * 1024,
    /* CPU time beyond the hard limit after which a run is torn out of Lua's own code. */
    SANDBOX_BREAK_MS = 100,
    SANDBOX_LARGE_BYTES = 64 * 1024 /* blocks from this size on are known one by one */
};

/* In front of a large block. */
struct large {
    _Alignas(max_align_t) struct large *next;
    struct large *previous;
};

/* A coroutine that runs, or waits for the one it resumed: what the watchdog's interrupt must reach. */
struct frame {
    lua_State *L;
    struct frame *outer;
};

struct sandbox {
    struct watch watch;
    lua_State *L;
    size_t memory_limit;
    size_t string_limit;
    atomic_size_t memory; /* written by the state's user alone, read by anyone */
    struct large *large;
    bool refused;   /* an allocation in this run; message says where */
    bool torn;      /* this run, out of Lua's own code; message says where */
    bool unlimited; /* while the host itself says what happened, or closes a broken state */
    bool spent;
    int depth; /* of nested runs */
    struct frame main_frame;
    struct frame *volatile frame; /* the running coroutine */
    const char *stack_start;      /* where the outermost run began */
    size_t message_length;
    char message[SANDBOX_MESSAGE_BYTES]; /* kept outside of Lua, so that a full state can still say what happened */
};

/* True when the run's time is up. */
static inline bool sandbox_over(const struct sandbox *sandbox) {
    return watch_expired(&sandbox->watch);
}

void *sandbox_allocate(void *context, void *block, size_t old_size, size_t new_size);
/* Frees the large blocks that are left when the state is closed. */
void sandbox_free_large(struct sandbox *sandbox);

extern const char sandbox_time_over[];
/* Sets the message. */
void sandbox_note(struct sandbox *sandbox, const char *text);
/* Appends the calls that L is in, from this level on. */
void sandbox_say_traceback(struct sandbox *sandbox, lua_State *L, int level);
/* The message handler of a run: sets the message to the error's text and a traceback. Raises nothing but memory
   errors, which Lua does not hand to a message handler. */
int sandbox_on_error(lua_State *L);
/* Pushes the message. Even without memory there is a string: Lua's own, made in advance. */
void sandbox_push_message(struct sandbox *sandbox, lua_State *L);

/* Passes on what no script may catch: the error on top of the stack with this status. */
void sandbox_pass_on(lua_State *L, int status);
/* Pushes what tostring shows: never an address. */
void sandbox_tostring(lua_State *L, int index);

/* Learns where Lua's code lies; before the first run. */
void sandbox_find_lua(void);
/* Ends the run: watch.interrupt. */
void sandbox_interrupt(struct watch *watch, int64_t over_ms, const void *machine);
/* Raises the run's end at an instruction of a script. */
void sandbox_hook(lua_State *L, lua_Debug *activation);

/* Opens the allowed libraries in a fresh state. Raises when memory is exhausted. */
void sandbox_open_libraries(lua_State *L);

/* Replacements of library functions. */
int sandbox_string_find(lua_State *L);
int sandbox_string_format(lua_State *L);
int sandbox_string_match(lua_State *L);
int sandbox_string_gmatch(lua_State *L);
int sandbox_string_gsub(lua_State *L);
int sandbox_string_rep(lua_State *L);
int sandbox_table_concat(lua_State *L);
int sandbox_table_insert(lua_State *L);
int sandbox_table_move(lua_State *L);
int sandbox_table_remove(lua_State *L);
int sandbox_table_sort(lua_State *L);
int sandbox_table_unpack(lua_State *L);
int sandbox_coroutine_close(lua_State *L);
int sandbox_coroutine_resume(lua_State *L);
int sandbox_coroutine_wrap(lua_State *L);

#endif
