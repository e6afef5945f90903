/* `require "native.directory_watch"`: host/directory_watch.h. */
#include <lauxlib.h>
#include <stdlib.h>

#include "directory_watch.h"

int luaopen_native_directory_watch(lua_State *L);

static const char type_name[] = "native.directory_watch";

static struct directory_watch **check(lua_State *L) {
    return luaL_checkudata(L, 1, type_name);
}

/* open(directory, …) */
static int f_open(lua_State *L) {
    const char *directories[4];
    int count = lua_gettop(L);
    luaL_argcheck(L, count <= 4, 5, "too many");
    for (int i = 0; i < count; i++)
        directories[i] = luaL_checkstring(L, i + 1);
    struct directory_watch **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, type_name);
    *box = directory_watch_open(directories, (size_t)count);
    return 1;
}

static int f_close(lua_State *L) {
    struct directory_watch **box = check(L);
    directory_watch_close(*box);
    *box = NULL;
    return 0;
}

/* watch:wait(timeout_ms) -> "changed" | "quiet" | "ended" */
static int f_wait(lua_State *L) {
    static const char *const names[] = {
        [DIRECTORY_CHANGED] = "changed", [DIRECTORY_QUIET] = "quiet", [DIRECTORY_ENDED] = "ended"};
    lua_pushstring(L, names[directory_watch_wait(*check(L), (int)luaL_checkinteger(L, 2))]);
    return 1;
}

static int f_finish(lua_State *L) {
    directory_watch_end(*check(L));
    return 0;
}

static const luaL_Reg functions[] = {{"open", f_open}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"wait", f_wait}, {"finish", f_finish}, {"close", f_close}, {"__gc", f_close}, {NULL, NULL}};

int luaopen_native_directory_watch(lua_State *L) {
    luaL_newmetatable(L, type_name);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
