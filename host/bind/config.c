#include "config.h"

#include <lauxlib.h>

#include "bind/bind.h"
#include "host.h"
#include "runtime.h"

static int f_newindex(lua_State *L) {
    return luaL_error(L, "settings are read-only");
}

/* An empty table in front of the values, so that no script changes what the next request sees. */
int luaopen_bind_config(lua_State *L) {
    const struct host *host = runtime_host(L);
    if (!host)
        return luaL_error(L, "the host has no settings");
    lua_newtable(L);
    lua_createtable(L, 0, 3); /* its metatable */
    lua_createtable(L, 0, 3);
    lua_pushstring(L, host->config->domino_nucleus_uri);
    lua_setfield(L, -2, "domino_nucleus_uri");
    lua_pushstring(L, host->config->compute_namespace);
    lua_setfield(L, -2, "compute_namespace");
    lua_pushinteger(L, host->config->identity_ttl_seconds);
    lua_setfield(L, -2, "identity_ttl_seconds");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, f_newindex);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    return 1;
}
