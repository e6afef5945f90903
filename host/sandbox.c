#include "sandbox.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_state.h"

static const char time_over[] = "cpu time limit exceeded";

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
    struct sandbox *sandbox = context;
    size_t before = block ? old_size : 0; /* for a new block, old_size is its kind */
    size_t memory = atomic_load_explicit(&sandbox->memory, memory_order_relaxed) - before;
    if (new_size == 0) {
        free(block);
        atomic_store_explicit(&sandbox->memory, memory, memory_order_relaxed);
        return NULL;
    }
    if (new_size > before && !sandbox->unlimited) {
        if (new_size > sandbox->memory_limit || memory > sandbox->memory_limit - new_size)
            return NULL;
        /* Work on one string (comparing, changing case) is one instruction, so its size bounds that instruction. */
        if (!block && old_size == LUA_TSTRING && new_size > sandbox->string_limit)
            return NULL;
    }
    void *result = realloc(block, new_size);
    if (result)
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

static void hook(lua_State *L, lua_Debug *activation) {
    (void)activation;
    raise_time_over(L, 0);
}

void sandbox_check(lua_State *L) {
    if (sandbox_over(sandbox_of(L)))
        raise_time_over(L, 1);
}

void sandbox_pass_on(lua_State *L, int status) {
    struct sandbox *sandbox = sandbox_of(L);
    if (status == LUA_ERRMEM || sandbox_over(sandbox))
        lua_error(L);
}

/* In a signal handler. lua_sethook is made for this; the hook raises at every instruction, so what catches the error
   gets no further than its own next one. */
static void interrupt(struct watch *watch, int64_t over_ms, const void *machine) {
    (void)over_ms;
    (void)machine;
    struct sandbox *sandbox = (struct sandbox *)watch; /* its first member */
    for (struct frame *frame = sandbox->frame; frame; frame = frame->outer)
        lua_sethook(frame->L, hook, LUA_MASKCOUNT, 1);
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
static void say_traceback(struct sandbox *sandbox, lua_State *L) {
    lua_Debug frame;
    for (int level = 1; lua_getstack(L, level, &frame); level++) {
        char line[160];
        if (level > SANDBOX_TRACEBACK_LEVELS) {
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

static int f_describe(lua_State *L) {
    sandbox_tostring(L, 1);
    return 1;
}

/* The message handler: notes message and traceback in the sandbox. Raises nothing but memory errors, which Lua does
   not hand to a message handler. */
static int on_error(lua_State *L) {
    struct sandbox *sandbox = sandbox_of(L);
    sandbox->message_length = 0;
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
        }
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    text = lua_tolstring(L, 1, &length);
    say_error(sandbox, text, length);
    say_traceback(sandbox, L);
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

static void note(struct sandbox *sandbox, const char *text) {
    sandbox->message_length = 0;
    say_error(sandbox, text, strlen(text));
}

/* ---- runs ---- */

int sandbox_call(struct sandbox *sandbox, int arguments, int results, const char *label) {
    lua_State *L = sandbox->L;
    int function = lua_gettop(L) - arguments;
    int status;
    sandbox->message_length = 0;
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
        if (status == LUA_ERRMEM)
            note(sandbox, "memory limit exceeded");
        else if (status == LUA_OK)
            note(sandbox, time_over); /* found over just as it ended */
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
    sandbox->watch.interrupt = interrupt;
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
    return watchdog_start();
}

void sandbox_stop(void) {
    watchdog_stop();
}

bool sandbox_stuck(void) {
    return watchdog_stuck();
}
