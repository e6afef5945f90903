/* `require "native.json_span"`: host/json_span.h over Lua strings. Texts are copied to blocks of exactly their length,
   so that a sanitizer sees a read past the end. */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "json_span.h"

int luaopen_native_json_span(lua_State *L);

static struct span exact_copy(lua_State *L, int index) {
    size_t length;
    const char *text = luaL_checklstring(L, index, &length);
    char *copy = lua_newuserdatauv(L, length ? length : 1, 0);
    memcpy(copy, text, length);
    lua_replace(L, index);
    return (struct span){copy, length};
}

/* valid(text, max_depth, unique_keys) -> true | false, offset, message */
static int f_valid(lua_State *L) {
    struct span text = exact_copy(L, 1);
    struct json_error error = {0};
    unsigned depth = (unsigned)luaL_optinteger(L, 2, JSON_MAX_DEPTH);
    if (json_valid(text, depth, lua_toboolean(L, 3), &error)) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_pushinteger(L, (lua_Integer)error.offset);
    lua_pushstring(L, error.message);
    return 3;
}

static int push_span(lua_State *L, struct span span) {
    if (span.length)
        lua_pushlstring(L, span.data, span.length);
    else
        lua_pushnil(L);
    return 1;
}

/* path(text, key, …) -> span | nil */
static int f_path(lua_State *L) {
    const char *keys[16] = {NULL};
    int count = lua_gettop(L) - 1;
    luaL_argcheck(L, count < 16, 16, "too many keys");
    struct span text = exact_copy(L, 1);
    for (int i = 0; i < count; i++)
        keys[i] = luaL_checkstring(L, i + 2);
    return push_span(L, json_path(text, keys));
}

/* items(text) -> { {key, value}, … } with the spans' text */
static int f_items(lua_State *L) {
    struct span text = exact_copy(L, 1), key, value;
    size_t cursor = 0;
    lua_newtable(L);
    while (json_next(text, &cursor, &key, &value)) {
        lua_newtable(L);
        push_span(L, key);
        lua_setfield(L, -2, "key");
        push_span(L, value);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    return 1;
}

static int f_string(lua_State *L) {
    struct span text = exact_copy(L, 1);
    size_t length = json_string(text, NULL, 0);
    if (length == SIZE_MAX)
        return 0;
    char *out = lua_newuserdatauv(L, length + 1, 0);
    json_string(text, out, length + 1);
    lua_pushlstring(L, out, length);
    return 1;
}

static int f_integer(lua_State *L) {
    int64_t number;
    if (!json_integer(exact_copy(L, 1), &number))
        return 0;
    lua_pushinteger(L, number);
    return 1;
}

static int f_type(lua_State *L) {
    static const char *const names[] = {"none", "object", "array", "string", "number", "true", "false", "null"};
    lua_pushstring(L, names[json_type(exact_copy(L, 1))]);
    return 1;
}

static const luaL_Reg functions[] = {{"valid", f_valid},     {"path", f_path}, {"items", f_items}, {"string", f_string},
                                     {"integer", f_integer}, {"type", f_type}, {NULL, NULL}};

int luaopen_native_json_span(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
