#include "sandbox.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_state.h"

static const char time_over[] = "cpu time limit exceeded";

/* ---- what happened ---- */

static void say(struct sandbox *sandbox, const char *text, size_t length) {
    size_t room = sizeof sandbox->message - sandbox->message_length;
    if (length > room)
        length = room;
    memcpy(sandbox->message + sandbox->message_length, text, length);
    sandbox->message_length += length;
}

static void say_error(struct sandbox *sandbox, const char *text, size_t length) {
    static const char cut[] = "… (cut)";
    bool long_text = length > SANDBOX_ERROR_BYTES;
    say(sandbox, text, long_text ? SANDBOX_ERROR_BYTES : length);
    if (long_text)
        say(sandbox, cut, sizeof cut - 1);
}

/* The auxiliary library's traceback looks names up in every loaded module, however large; this one does not. */
static void say_traceback(struct sandbox *sandbox, lua_State *L, int level) {
    lua_Debug frame;
    for (int left = SANDBOX_TRACEBACK_LEVELS; lua_getstack(L, level, &frame); level++) {
        char line[160];
        if (left-- == 0) {
            say(sandbox, "\n\t...", 5);
            return;
        }
        lua_getinfo(L, "Sln", &frame);
        int length = frame.currentline > 0
                         ? snprintf(line, sizeof line, "\n\t%s:%d: in ", frame.short_src, frame.currentline)
                         : snprintf(line, sizeof line, "\n\t%s: in ", frame.short_src);
        if (*frame.namewhat != '\0')
            length += snprintf(line + length, sizeof line - (size_t)length, "%s '%.50s'", frame.namewhat, frame.name);
        else if (*frame.what == 'm')
            length += snprintf(line + length, sizeof line - (size_t)length, "main chunk");
        else
            length += snprintf(line + length, sizeof line - (size_t)length, "function");
        say(sandbox, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    }
}

static void note(struct sandbox *sandbox, const char *text) {
    sandbox->message_length = 0;
    say_error(sandbox, text, strlen(text));
}

/* ---- memory ---- */

static void *large_link(struct sandbox *sandbox, struct large *large) {
    if (!large)
        return NULL;
    large->previous = NULL;
    large->next = sandbox->large;
    if (large->next)
        large->next->previous = large;
    sandbox->large = large;
    return large + 1;
}

static struct large *large_unlink(struct sandbox *sandbox, void *block) {
    struct large *large = (struct large *)block - 1;
    if (large->previous)
        large->previous->next = large->next;
    else
        sandbox->large = large->next;
    if (large->next)
        large->next->previous = large->previous;
    return large;
}

static void *resize(struct sandbox *sandbox, void *block, size_t before, size_t after) {
    if (before < SANDBOX_LARGE_BYTES && after < SANDBOX_LARGE_BYTES)
        return realloc(block, after);
    if (before >= SANDBOX_LARGE_BYTES && after >= SANDBOX_LARGE_BYTES) {
        struct large *old = large_unlink(sandbox, block);
        struct large *new = realloc(old, sizeof *new + after);
        if (!new)
            large_link(sandbox, old);
        return large_link(sandbox, new);
    }
    void *result =
        after < SANDBOX_LARGE_BYTES ? malloc(after) : large_link(sandbox, malloc(sizeof(struct large) + after));
    if (result && block) {
        memcpy(result, block, before < after ? before : after);
        free(before < SANDBOX_LARGE_BYTES ? block : large_unlink(sandbox, block));
    }
    return result;
}

/* Fails an allocation, and keeps what a memory error cannot tell: where it happened. */
static void *refuse(struct sandbox *sandbox) {
    if (sandbox->message_length > 0 && !sandbox->refused)
        return NULL; /* the run is ending by another error, which is what counts */
    sandbox->refused = true;
    note(sandbox, "memory limit exceeded");
    if (sandbox->frame)
        say_traceback(sandbox, sandbox->frame->L, 0);
    return NULL;
}

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
    struct sandbox *sandbox = context;
    size_t before = block ? old_size : 0; /* for a new block, old_size is its kind */
    size_t memory = atomic_load_explicit(&sandbox->memory, memory_order_relaxed) - before;
    void *result = NULL;
    if (new_size == 0) {
        if (block)
            free(before < SANDBOX_LARGE_BYTES ? block : large_unlink(sandbox, block));
    } else {
        if (new_size > before && !sandbox->unlimited) {
            if (new_size > sandbox->memory_limit || memory > sandbox->memory_limit - new_size)
                return refuse(sandbox);
            /* Comparing strings or changing their case is one instruction: their size bounds it. */
            if (!block && old_size == LUA_TSTRING && new_size > sandbox->string_limit)
                return refuse(sandbox);
        }
        result = resize(sandbox, block, before, new_size);
        if (!result)
            return NULL;
    }
    atomic_store_explicit(&sandbox->memory, memory + new_size, memory_order_relaxed);
    return result;
}

struct sandbox *sandbox_of(lua_State *L) {
    void *context;
    lua_getallocf(L, &context);
    return context;
}

/* ---- time ---- */

/* level 0 is the running function: the script's when a hook raises, the C function's otherwise. */
static void raise_time_over(lua_State *L, int level) {
    luaL_where(L, level);
    lua_pushstring(L, time_over);
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
    if (lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), time_over))
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

/* ---- errors ---- */

static int f_describe(lua_State *L) {
    sandbox_tostring(L, 1);
    return 1;
}

/* The message handler: notes message and traceback in the sandbox. Raises nothing but memory errors, which Lua does
   not hand to a message handler. */
static int on_error(lua_State *L) {
    struct sandbox *sandbox = sandbox_of(L);
    sandbox->message_length = 0;
    sandbox->refused = false;
    size_t length;
    const char *text;
    switch (lua_type(L, 1)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
        break;
    default:
        if (luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
            /* A script's function, under the limits like any other. */
            lua_pushcfunction(L, f_describe);
            lua_pushvalue(L, 1);
            if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
                lua_replace(L, 1);
                break;
            }
            if (sandbox_over(sandbox)) {
                lua_pushstring(L, time_over);
                lua_replace(L, 1);
                break;
            }
        }
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    text = lua_tolstring(L, 1, &length);
    say_error(sandbox, text, length);
    say_traceback(sandbox, L, 1);
    lua_settop(L, 1);
    return 1;
}

static int f_push_message(lua_State *L) {
    struct sandbox *sandbox = lua_touserdata(L, 1);
    lua_pushlstring(L, sandbox->message, sandbox->message_length);
    return 1;
}

/* Pushes what on_error noted. Even without memory there is a string: Lua's own, made in advance. */
static void push_message(struct sandbox *sandbox, lua_State *L) {
    bool before = sandbox->unlimited;
    sandbox->unlimited = true;
    lua_pushcfunction(L, f_push_message);
    lua_pushlightuserdata(L, sandbox);
    lua_pcall(L, 1, 1, 0);
    sandbox->unlimited = before;
}

/* ---- runs ---- */

int sandbox_call(struct sandbox *sandbox, int arguments, int results, const char *label) {
    lua_State *L = sandbox->L;
    int function = lua_gettop(L) - arguments;
    int status;
    sandbox->message_length = 0;
    sandbox->refused = false;
    if (sandbox->spent || !lua_checkstack(L, 4)) {
        note(sandbox, sandbox->spent ? "the state is spent" : "stack overflow");
        status = LUA_ERRRUN;
    } else {
        lua_pushcfunction(L, on_error);
        lua_insert(L, function);
        enter(sandbox, label);
        status = lua_pcall(L, arguments, results, function);
        leave(sandbox, status);
        if (status == LUA_OK && !sandbox->spent) {
            lua_remove(L, function);
            return LUA_OK;
        }
        if (status == LUA_OK || (status == LUA_ERRMEM && sandbox_over(sandbox)))
            note(sandbox, time_over); /* found over just as it ended, or torn out of Lua itself */
        else if (status == LUA_ERRMEM && !sandbox->refused)
            note(sandbox, "not enough memory"); /* the machine's, or a script's own words */
        else if (sandbox->message_length == 0)
            note(sandbox, "error in error handling");
    }
    lua_settop(L, function - 1);
    push_message(sandbox, L);
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
        size_t message_length;
        const char *message = lua_tolstring(L, -1, &message_length);
        sandbox->message_length = 0;
        if (message)
            say_error(sandbox, message, message_length);
        lua_pop(L, 1);
        push_message(sandbox, L);
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
    lua_State *L = lua_newstate(allocate, sandbox);
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
    while (sandbox->large) { /* left by a run that was torn out of Lua */
        struct large *next = sandbox->large->next;
        free(sandbox->large);
        sandbox->large = next;
    }
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
