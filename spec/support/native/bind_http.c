/* `require "native.bind_http"`: the Lua module http over a client of its own, for a request that is made up. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind/bind.h"
#include "clock.h"
#include "host.h"
#include "http_client.h"

int luaopen_native_bind_http(lua_State *L);

static struct call_context call;
static struct host host;
static struct bind_context services = {.host = &host, .call = &call};

/* request(id, timeout_ms): what is served from now on; request(nil): nothing, a bundle loads */
static int f_request(lua_State *L) {
    services.call = lua_isnoneornil(L, 1) ? NULL : &call;
    call = (struct call_context){.deadline_ms = clock_monotonic_ms() + luaL_optinteger(L, 2, 5000)};
    snprintf(call.request_id, sizeof call.request_id, "%s", luaL_optstring(L, 1, ""));
    return 0;
}

static int f_upstream_calls(lua_State *L) {
    lua_pushinteger(L, call.upstream_calls);
    return 1;
}

static int f_open(lua_State *L) {
    if (!host.http)
        host.http = http_client_new();
    bind_context_set(L, &services);
    return luaopen_bind_http(L);
}

static int f_close(lua_State *L) {
    (void)L;
    http_client_free(host.http);
    host.http = NULL;
    return 0;
}

struct budget {
    size_t left;
};

static void *allocate(void *context, void *block, size_t old_size, size_t new_size) {
    struct budget *budget = context;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    size_t growth = block && old_size < new_size ? new_size - old_size : block ? 0 : new_size;
    if (growth > budget->left)
        return NULL;
    void *grown = realloc(block, new_size);
    if (grown)
        budget->left -= growth;
    return grown;
}

/* starved(code, bytes): runs code in a state that has only so much memory left for it; gives the error, or nil */
static int f_starved(lua_State *L) {
    struct budget budget = {.left = SIZE_MAX};
    lua_State *starved = lua_newstate(allocate, &budget);
    bind_context_set(starved, &services);
    luaL_requiref(starved, "http", luaopen_bind_http, 1);
    lua_settop(starved, 0);
    int status = luaL_loadstring(starved, luaL_checkstring(L, 1));
    budget.left = (size_t)luaL_checkinteger(L, 2);
    if (status == LUA_OK)
        status = lua_pcall(starved, 0, 0, 0);
    if (status == LUA_OK)
        lua_pushnil(L);
    else
        lua_pushstring(L, lua_tostring(starved, -1));
    lua_close(starved);
    return 1;
}

static const luaL_Reg functions[] = {{"open", f_open},       {"close", f_close},
                                     {"request", f_request}, {"upstream_calls", f_upstream_calls},
                                     {"starved", f_starved}, {NULL, NULL}};

int luaopen_native_bind_http(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
