/* `require "native.config"`: host/config.h with a Lua table for the environment. */
#include <lauxlib.h>

#include "config.h"

int luaopen_native_config(lua_State *L);

static lua_State *environment; /* its argument 1 is the table; lookup has no context of its own */

static const char *lookup(const char *name) {
    lua_getfield(environment, 1, name);
    const char *value = lua_tostring(environment, -1); /* the table keeps it alive */
    lua_pop(environment, 1);
    return value;
}

/* read(environment) -> the values in force as a JSON object; or nil, message */
static int f_read(lua_State *L) {
    struct config config;
    char error[512];
    luaL_checktype(L, 1, LUA_TTABLE);
    environment = L;
    if (!config_read(&config, lookup, error, sizeof error)) {
        lua_pushnil(L);
        lua_pushstring(L, error);
        return 2;
    }
    struct buffer fields = {0};
    buffer_text(&fields, "{");
    config_describe(&config, &fields);
    buffer_text(&fields, "}");
    lua_pushlstring(L, fields.data, fields.length);
    buffer_free(&fields);
    return 1;
}

static int f_settings(lua_State *L) {
    lua_newtable(L);
    for (lua_Integer i = 1; config_settings[i - 1].name; i++) {
        const struct setting *setting = &config_settings[i - 1];
        lua_createtable(L, 0, 3);
        lua_pushstring(L, setting->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, setting->fallback);
        lua_setfield(L, -2, "fallback");
        lua_pushstring(L, setting->meaning);
        lua_setfield(L, -2, "meaning");
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static const luaL_Reg functions[] = {{"read", f_read}, {"settings", f_settings}, {NULL, NULL}};

int luaopen_native_config(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
