#include "bind/json.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json_decode.h"
#include "bind/json_encode.h"
#include "json_span.h"

/* Keys of the registry, by address. */
static const char array_metatable, scratch;

/* ---- decode ---- */

int bind_json_decode(lua_State *L, struct span text) {
    if (json_decode(L, text))
        return 1;
    lua_pushnil(L);
    lua_pushliteral(L, "a number is out of range");
    return 2;
}

static int f_decode(lua_State *L) {
    struct span text;
    struct json_error error;
    text.data = luaL_checklstring(L, 1, &text.length);
    if (json_valid(text, JSON_MAX_DEPTH, true, &error))
        return bind_json_decode(L, text);
    lua_pushnil(L);
    lua_pushfstring(L, "%s at byte %I", error.message, (LUAI_UACINT)error.offset + 1);
    return 2;
}

/* ---- encode ---- */

void bind_json_encode(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_metatable);
    /* The state's own buffer, so that an error on the way leaks nothing. */
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch);
    struct buffer *buffer = lua_touserdata(L, -1);
    if (!buffer)
        luaL_error(L, "json is not loaded");
    buffer_clear(buffer);
    const char *wrong = json_encode(L, index, lua_gettop(L) - 1, buffer);
    if (wrong)
        luaL_error(L, "json: %s", wrong);
    lua_pushlstring(L, buffer->data, buffer->length);
    if (buffer->capacity > 64 * 1024)
        buffer_free(buffer); /* a rare large text is no reason to keep so much in every state */
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static int f_encode(lua_State *L) {
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    bind_json_encode(L, 1);
    return 1;
}

bool bind_json_is_array(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_metatable);
    bool marked = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return marked;
}

void bind_json_mark_array(lua_State *L, int index) {
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &array_metatable);
    lua_setmetatable(L, index);
}

static int f_array(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        luaL_argcheck(L, bind_json_is_array(L, 1), 1, "has a metatable already");
        lua_settop(L, 1);
    }
    bind_json_mark_array(L, 1);
    return 1;
}

/* ---- the module ---- */

static int f_free_scratch(lua_State *L) {
    buffer_free(lua_touserdata(L, 1));
    return 0;
}

static const luaL_Reg functions[] = {{"decode", f_decode}, {"encode", f_encode}, {"array", f_array}, {NULL, NULL}};

void bind_json_prepare(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &scratch) != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 1);

    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "json.array");
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &array_metatable);

    struct buffer *buffer = lua_newuserdatauv(L, sizeof *buffer, 0);
    memset(buffer, 0, sizeof *buffer);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, f_free_scratch);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scratch);
}

int luaopen_bind_json(lua_State *L) {
    bind_json_prepare(L);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
