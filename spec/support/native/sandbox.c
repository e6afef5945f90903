/* `require "native.sandbox"`: opens sandboxes and runs text in them. */
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "log.h"
#include "sandbox.h"
#include "watchdog.h"

int luaopen_native_sandbox(lua_State *L);

static const char type_name[] = "native.sandbox";

static struct sandbox *check(lua_State *L) {
    struct sandbox **box = luaL_checkudata(L, 1, type_name);
    luaL_argcheck(L, *box, 1, "closed");
    return *box;
}

static int64_t cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- what the host gives to scripts ---- */

/* burn(ms): C code that nothing can interrupt. */
static int f_burn(lua_State *L) {
    int64_t until = cpu_us() + luaL_checkinteger(L, 1) * 1000;
    while (cpu_us() < until) {
    }
    return 0;
}

/* wait(ms): an upstream call. */
static int f_wait(lua_State *L) {
    int64_t until = clock_monotonic_ms() + luaL_checkinteger(L, 1);
    for (int64_t left; (left = until - clock_monotonic_ms()) > 0;) {
        struct timespec pause = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int f_host_gc(lua_State *L) {
    (void)L;
    return 0;
}

/* handle(): a binding's userdata, with a finalizer. */
static int f_handle(lua_State *L) {
    static const luaL_Reg methods[] = {{"__gc", f_host_gc}, {NULL, NULL}};
    lua_newuserdatauv(L, 1, 0);
    if (luaL_newmetatable(L, "handle"))
        luaL_setfuncs(L, methods, 0);
    lua_setmetatable(L, -2);
    return 1;
}

/* nested(f): runs f as the runtime would, inside of the run. */
static int f_nested(lua_State *L) {
    lua_settop(L, 1);
    int status = sandbox_call(sandbox_of(L), 0, 0, "nested");
    lua_pushinteger(L, status);
    return 1;
}

/* ---- one run ---- */

struct run {
    struct sandbox *sandbox;
    const char *source;
    size_t length;
    const char *name;
    int status;
    int64_t cpu_us;
    int64_t elapsed_us;
};

static void perform(struct run *run) {
    lua_State *S = sandbox_state(run->sandbox);
    int64_t cpu = cpu_us();
    int64_t started = clock_monotonic_us();
    run->status = sandbox_load(run->sandbox, run->source, run->length, run->name);
    if (run->status == LUA_OK)
        run->status = sandbox_call(run->sandbox, 0, 1, run->name);
    run->elapsed_us = clock_monotonic_us() - started;
    run->cpu_us = cpu_us() - cpu;
    if (run->status == LUA_OK && lua_type(S, -1) != LUA_TSTRING) {
        const char *text = lua_isboolean(S, -1) ? (lua_toboolean(S, -1) ? "true" : "false") : lua_tostring(S, -1);
        if (!text)
            text = lua_typename(S, lua_type(S, -1));
        lua_pushstring(S, text);
        lua_replace(S, -2);
    }
}

/* box:run(source [, name]) -> { ok, result | error, status, spent, cpu_ms, elapsed_ms, memory, top } */
static int f_run(lua_State *L) {
    struct run run = {.sandbox = check(L)};
    run.source = luaL_checklstring(L, 2, &run.length);
    run.name = luaL_optstring(L, 3, "=script");
    perform(&run);
    lua_State *S = sandbox_state(run.sandbox);
    size_t length;
    const char *text = lua_tolstring(S, -1, &length);
    lua_createtable(L, 0, 9);
    lua_pushlstring(L, text, length);
    lua_setfield(L, -2, run.status == LUA_OK ? "result" : "error");
    lua_pop(S, 1);
    lua_pushboolean(L, run.status == LUA_OK);
    lua_setfield(L, -2, "ok");
    lua_pushinteger(L, run.status);
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, sandbox_spent(run.sandbox));
    lua_setfield(L, -2, "spent");
    lua_pushnumber(L, (lua_Number)run.cpu_us / 1000);
    lua_setfield(L, -2, "cpu_ms");
    lua_pushnumber(L, (lua_Number)run.elapsed_us / 1000);
    lua_setfield(L, -2, "elapsed_ms");
    lua_pushinteger(L, (lua_Integer)sandbox_memory(run.sandbox));
    lua_setfield(L, -2, "memory");
    lua_pushinteger(L, lua_gettop(S));
    lua_setfield(L, -2, "top");
    return 1;
}

/* The same text on several sandboxes at once, each on a thread of its own, `times` times; how many runs ended well. */
static void *perform_many(void *context) {
    struct run *run = context;
    lua_State *S = sandbox_state(run->sandbox);
    lua_Integer good = 0;
    for (int64_t left = run->elapsed_us; left > 0; left--) {
        run->status = sandbox_load(run->sandbox, run->source, run->length, run->name);
        if (run->status == LUA_OK)
            run->status = sandbox_call(run->sandbox, 0, 0, run->name);
        good += run->status == LUA_OK;
        lua_settop(S, 0);
        if (sandbox_spent(run->sandbox))
            break;
    }
    run->cpu_us = good;
    return NULL;
}

static int f_crowd(lua_State *L) {
    enum { MOST = 16 };
    struct run runs[MOST] = {0};
    pthread_t threads[MOST];
    struct sandbox_limits limits = {.memory_bytes = 32u << 20, .cpu_soft_ms = 20, .cpu_hard_ms = 40};
    lua_Integer count = luaL_checkinteger(L, 1);
    luaL_argcheck(L, count > 0 && count <= MOST, 1, "out of range");
    lua_Integer times = luaL_checkinteger(L, 2);
    for (lua_Integer i = 0; i < count; i++) {
        runs[i].sandbox = sandbox_open(&limits);
        runs[i].source = luaL_checklstring(L, 3 + (int)i % (lua_gettop(L) - 2), &runs[i].length);
        runs[i].name = "=crowd";
        runs[i].elapsed_us = times;
        pthread_create(&threads[i], NULL, perform_many, &runs[i]);
    }
    lua_Integer good = 0;
    for (lua_Integer i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        sandbox_close(runs[i].sandbox);
        good += runs[i].cpu_us;
    }
    lua_pushinteger(L, good);
    return 1;
}

/* Nanoseconds of one sandbox_call of an empty function, over `times` of them. */
static int f_call_cost(lua_State *L) {
    struct sandbox *sandbox = check(L);
    lua_State *S = sandbox_state(sandbox);
    lua_Integer times = luaL_checkinteger(L, 2);
    if (sandbox_load(sandbox, "", 0, "=empty") != LUA_OK)
        return luaL_error(L, "load");
    int64_t started = clock_monotonic_us();
    for (lua_Integer i = 0; i < times; i++) {
        lua_pushvalue(S, -1);
        if (lua_toboolean(L, 3))
            lua_pcall(S, 0, 0, 0);
        else
            sandbox_call(sandbox, 0, 0, "empty");
    }
    lua_pushnumber(L, (lua_Number)(clock_monotonic_us() - started) * 1000 / (lua_Number)times);
    lua_pop(S, 1);
    return 1;
}

static int f_close(lua_State *L) {
    struct sandbox **box = luaL_checkudata(L, 1, type_name);
    int64_t started = clock_monotonic_us();
    sandbox_close(*box);
    *box = NULL;
    lua_pushnumber(L, (lua_Number)(clock_monotonic_us() - started) / 1000);
    return 1;
}

static int f_memory(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)sandbox_memory(check(L)));
    return 1;
}

/* ---- the module ---- */

/* open(memory_bytes, soft_ms, hard_ms) -> box | nil */
static int f_open(lua_State *L) {
    struct sandbox_limits limits = {
        .memory_bytes = (size_t)luaL_checkinteger(L, 1),
        .cpu_soft_ms = luaL_checkinteger(L, 2),
        .cpu_hard_ms = luaL_checkinteger(L, 3),
    };
    static const luaL_Reg host[] = {
        {"burn", f_burn}, {"wait", f_wait}, {"handle", f_handle}, {"nested", f_nested}, {NULL, NULL}};
    struct sandbox **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, type_name);
    *box = sandbox_open(&limits);
    if (!*box)
        return 0;
    for (const luaL_Reg *function = host; function->name; function++) {
        lua_pushcfunction(sandbox_state(*box), function->func);
        sandbox_define(sandbox_state(*box), function->name);
    }
    return 1;
}

static int f_start(lua_State *L) {
    lua_pushboolean(L, sandbox_start());
    return 1;
}

static int f_stop(lua_State *L) {
    (void)L;
    sandbox_stop();
    return 0;
}

static int f_stuck(lua_State *L) {
    lua_pushboolean(L, sandbox_stuck());
    return 1;
}

static void count_up(void *context) {
    atomic_fetch_add((atomic_int *)context, 1);
}

static atomic_int stuck_calls;

/* survive_stuck(whether): the process lives on when a run is stuck. */
static int f_survive_stuck(lua_State *L) {
    watchdog_on_stuck(lua_toboolean(L, 1) ? count_up : NULL, &stuck_calls);
    return 0;
}

static int f_stuck_calls(lua_State *L) {
    lua_pushinteger(L, atomic_load(&stuck_calls));
    return 1;
}

/* log_to(descriptor), log_stop(): where the watchdog's lines go. */
static int f_log_to(lua_State *L) {
    lua_pushboolean(L, log_start(LOG_INFO, (int)luaL_checkinteger(L, 1)));
    return 1;
}

static int f_log_stop(lua_State *L) {
    (void)L;
    log_stop();
    return 0;
}

static const luaL_Reg functions[] = {
    {"open", f_open},
    {"crowd", f_crowd},
    {"start", f_start},
    {"stop", f_stop},
    {"stuck", f_stuck},
    {"stuck_calls", f_stuck_calls},
    {"survive_stuck", f_survive_stuck},
    {"log_to", f_log_to},
    {"log_stop", f_log_stop},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {{"run", f_run},       {"close", f_close},
                                   {"memory", f_memory}, {"call_cost", f_call_cost},
                                   {"__gc", f_close},    {NULL, NULL}};

int luaopen_native_sandbox(lua_State *L) {
    luaL_newmetatable(L, type_name);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
