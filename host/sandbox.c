#include "sandbox.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_state.h"

const char sandbox_time_over[] = "cpu time limit exceeded";

struct sandbox *sandbox_of(lua_State *L) {
    void *context;
    lua_getallocf(L, &context);
    return context;
}

/* ---- time ---- */

/* level 0 is the running function: the script's when a hook raises, the C function's otherwise. */
static void raise_time_over(lua_State *L, int level) {
    luaL_where(L, level);
    lua_pushstring(L, sandbox_time_over);
    lua_concat(L, 2);
    lua_error(L);
}

void sandbox_hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    raise_time_over(L, 0);
}

void sandbox_check(lua_State *L) {
    if (sandbox_over(sandbox_of(L)))
        raise_time_over(L, 1);
}

void sandbox_pass_on(lua_State *L, int status) {
    if (status == LUA_ERRMEM)
        lua_error(L);
    if (!sandbox_over(sandbox_of(L)))
        return;
    if (lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), sandbox_time_over))
        lua_error(L); /* says where */
    raise_time_over(L, 1);
}

static void enter(struct sandbox *sandbox, const char *label) {
    if (sandbox->depth++ > 0)
        return;
    sandbox->stack_start = __builtin_frame_address(0);
    watch_enter(&sandbox->watch, label);
}

static void leave(struct sandbox *sandbox, int status) {
    if (--sandbox->depth == 0)
        watch_leave(&sandbox->watch);
    if (status == LUA_ERRMEM || sandbox_over(sandbox))
        sandbox->spent = true;
}

/* ---- runs ---- */

/* What ended a run where nobody has said it yet, or said it of something else. */
static void explain(struct sandbox *sandbox, int status) {
    bool unknown_memory = status == LUA_ERRMEM && !sandbox->refused;
    if ((status == LUA_OK || unknown_memory) && sandbox_over(sandbox))
        sandbox_note(sandbox, sandbox_time_over); /* found over just as it ended */
    else if (status == LUA_OK)
        sandbox_note(sandbox, "memory limit exceeded"); /* in a nested run */
    else if (unknown_memory)
        sandbox_note(sandbox, "not enough memory"); /* the machine's, or a script's own words */
    else if (sandbox->message_length == 0)
        sandbox_note(sandbox, "error in error handling");
}

int sandbox_call(struct sandbox *sandbox, int arguments, int results, const char *label) {
    lua_State *L = sandbox->L;
    int function = lua_gettop(L) - arguments;
    int status;
    sandbox->message_length = 0;
    sandbox->refused = sandbox->torn = false;
    if (sandbox->spent || !lua_checkstack(L, 4)) {
        sandbox_note(sandbox, sandbox->spent ? "the state is spent" : "stack overflow");
        status = LUA_ERRRUN;
    } else {
        lua_pushcfunction(L, sandbox_on_error);
        lua_insert(L, function);
        enter(sandbox, label);
        status = lua_pcall(L, arguments, results, function);
        leave(sandbox, status);
        if (status == LUA_OK && !sandbox->spent) {
            lua_remove(L, function);
            return LUA_OK;
        }
        if (!sandbox->torn)
            explain(sandbox, status);
    }
    lua_settop(L, function - 1);
    sandbox_push_message(sandbox, L);
    return status == LUA_OK ? LUA_ERRRUN : status;
}

struct source {
    struct sandbox *sandbox;
    const char *text;
    size_t left;
};

/* The compiler cannot be interrupted, and some valid texts take it seconds, so it gets them in small pieces. */
static const char *read_piece(lua_State *L, void *context, size_t *size) {
    enum { PIECE_BYTES = 512 };
    struct source *source = context;
    sandbox_check(L);
    *size = source->left < PIECE_BYTES ? source->left : PIECE_BYTES;
    const char *piece = source->text;
    source->text += *size;
    source->left -= *size;
    return *size ? piece : NULL;
}

int sandbox_load(struct sandbox *sandbox, const char *source, size_t length, const char *chunkname) {
    lua_State *L = sandbox->frame->L;
    struct source pieces = {.sandbox = sandbox, .text = source, .left = length};
    enter(sandbox, chunkname);
    int status = lua_load(L, read_piece, &pieces, chunkname, "t");
    leave(sandbox, status);
    if (status != LUA_OK) { /* the message quotes the text near the error: it may be as long as the source */
        const char *message = lua_tostring(L, -1);
        sandbox_note(sandbox, message ? message : "not compiled");
        lua_pop(L, 1);
        sandbox_push_message(sandbox, L);
        sandbox->message_length = 0;
    }
    return status;
}

/* ---- life ---- */

static int f_open_libraries(lua_State *L) {
    sandbox_open_libraries(L);
    return 0;
}

struct sandbox *sandbox_open(const struct sandbox_limits *limits) {
    struct sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (!sandbox)
        return NULL;
    sandbox->watch.soft_ms = limits->cpu_soft_ms;
    sandbox->watch.hard_ms = limits->cpu_hard_ms;
    sandbox->watch.interrupt = sandbox_interrupt;
    sandbox->memory_limit = limits->memory_bytes;
    sandbox->string_limit = limits->memory_bytes / 4;
    lua_State *L = lua_newstate(sandbox_allocate, sandbox);
    if (!L) {
        free(sandbox);
        return NULL;
    }
    sandbox->L = sandbox->main_frame.L = L;
    sandbox->frame = &sandbox->main_frame;
    watch_add(&sandbox->watch);
    lua_pushcfunction(L, f_open_libraries);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        sandbox_close(sandbox);
        return NULL;
    }
    return sandbox;
}

void sandbox_close(struct sandbox *sandbox) {
    if (!sandbox)
        return;
    watch_remove(&sandbox->watch);
    lua_close(sandbox->L);
    sandbox_free_large(sandbox); /* left by a run that was torn out of Lua */
    free(sandbox);
}

lua_State *sandbox_state(struct sandbox *sandbox) {
    return sandbox->L;
}

size_t sandbox_memory(const struct sandbox *sandbox) {
    return atomic_load_explicit(&sandbox->memory, memory_order_relaxed);
}

bool sandbox_spent(const struct sandbox *sandbox) {
    return sandbox->spent;
}

const char *sandbox_limit(const struct sandbox *sandbox) {
    return !sandbox->spent ? NULL : sandbox_over(sandbox) ? "cpu" : "memory";
}

bool sandbox_start(void) {
    sandbox_find_lua();
    return watchdog_start();
}

void sandbox_stop(void) {
    watchdog_stop();
}

bool sandbox_stuck(void) {
    return watchdog_stuck();
}
