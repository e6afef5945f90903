/* `require "native.bind_cache"`: the Lua module cache over a cache of its own; open() gives { cache =, json = } for a
 * request. */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "bind/bind.h"
#include "cache.h"
#include "clock.h"
#include "host.h"
#include "message.h"

int luaopen_native_bind_cache(lua_State *L);

static struct call_context call;
static struct host host;
static struct bind_context services = {.host = &host, .call = &call};

static int f_deadline(lua_State *L) {
    call.deadline_ms = clock_monotonic_ms() + luaL_checkinteger(L, 1);
    return 0;
}

static int f_loading(lua_State *L) {
    services.call = lua_toboolean(L, 1) ? NULL : &call;
    return 0;
}

/* revision(of all, of the code): what bundle's request it is */
static int f_revision(lua_State *L) {
    snprintf(call.revision, sizeof call.revision, "%s", luaL_checkstring(L, 1));
    snprintf(call.code_revision, sizeof call.code_revision, "%s", luaL_checkstring(L, 2));
    return 0;
}

static int f_pause(lua_State *L) {
    int64_t ms = luaL_checkinteger(L, 1);
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
    return 0;
}

struct other {
    const char *code;
    char result[256];
};

/* Another state on another thread, as another request has it; it may use cache and pause. */
static void *run_other(void *context) {
    struct other *other = context;
    struct call_context its_call = {.deadline_ms = clock_monotonic_ms() + 5000};
    struct bind_context its_context = {.host = &host, .call = &its_call};
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    bind_context_set(L, &its_context);
    luaL_requiref(L, "json", luaopen_bind_json, 1);
    luaL_requiref(L, "cache", luaopen_bind_cache, 1);
    lua_register(L, "pause", f_pause);
    if (luaL_dostring(L, other->code) != LUA_OK || lua_isstring(L, -1))
        snprintf(other->result, sizeof other->result, "%s", lua_tostring(L, -1));
    lua_close(L);
    return NULL;
}

/* while_other(code, function): runs code in another state, function meanwhile; gives code's result or error as text */
static int f_while_other(lua_State *L) {
    struct other other = {.code = luaL_checkstring(L, 1)};
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_other, &other) != 0)
        return luaL_error(L, "no thread");
    lua_pushvalue(L, 2);
    int status = lua_pcall(L, 0, 0, 0);
    pthread_join(thread, NULL);
    if (status != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, other.result);
    return 1;
}

static int f_statistics(lua_State *L) {
    struct cache_statistics statistics = cache_statistics(host.cache);
    lua_pushinteger(L, (lua_Integer)statistics.loads);
    lua_pushinteger(L, (lua_Integer)statistics.waits);
    return 2;
}

static int f_close(lua_State *L) {
    (void)L;
    cache_free(host.cache);
    host.cache = NULL;
    return 0;
}

static int f_open(lua_State *L) {
    cache_free(host.cache);
    host.cache = cache_new(100, 100000);
    services.call = &call;
    call.deadline_ms = clock_monotonic_ms() + 5000;
    bind_context_set(L, &services);
    lua_newtable(L);
    luaopen_bind_json(L);
    lua_setfield(L, -2, "json");
    luaopen_bind_cache(L);
    lua_setfield(L, -2, "cache");
    return 1;
}

static const luaL_Reg functions[] = {{"open", f_open},
                                     {"close", f_close},
                                     {"deadline", f_deadline},
                                     {"revision", f_revision},
                                     {"loading", f_loading},
                                     {"pause", f_pause},
                                     {"statistics", f_statistics},
                                     {"while_other", f_while_other},
                                     {NULL, NULL}};

int luaopen_native_bind_cache(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
