#include "bind/json.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json_encode.h"
#include "json_span.h"

int luaopen_cjson_safe(lua_State *L); /* lua-cjson installs no header for it */

static const double EXACT = 9007199254740992.0; /* 2^53: beyond, lua-cjson's numbers may be somebody else's */

/* Keys of the registry, by address. */
static const char cjson_decode, array_metatable, scratch;

/* ---- decode ---- */

/* What lua-cjson gave: integral floats become integers. False for a number that no float holds. */
static bool settle_numbers(lua_State *L, int index) {
    luaL_checkstack(L, 4, "json");
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -1) == LUA_TTABLE && !settle_numbers(L, lua_gettop(L)))
            return false;
        if (lua_type(L, -1) == LUA_TNUMBER && !lua_isinteger(L, -1)) {
            double number = lua_tonumber(L, -1);
            if (isinf(number))
                return false;
            if (number > -EXACT && number < EXACT && number == floor(number)) {
                lua_pushvalue(L, -2);
                lua_pushinteger(L, (lua_Integer)number);
                lua_rawset(L, index); /* an existing field: lua_next allows it */
            }
        }
        lua_pop(L, 1);
    }
    return true;
}

int bind_json_decode(lua_State *L, struct span text) {
    int base = lua_gettop(L);
    lua_createtable(L, 1, 0); /* around the value, so that a bare number is settled like any other */
    lua_rawgetp(L, LUA_REGISTRYINDEX, &cjson_decode);
    lua_pushlstring(L, text.data, text.length);
    lua_call(L, 1, 2);
    if (lua_isnil(L, -2))
        return 2;
    lua_pop(L, 1);
    lua_rawseti(L, base + 1, 1);
    if (!settle_numbers(L, base + 1)) {
        lua_settop(L, base);
        lua_pushnil(L);
        lua_pushliteral(L, "a number is out of range");
        return 2;
    }
    lua_rawgeti(L, base + 1, 1);
    return 1;
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

/* Pushes cjson.decode with a configuration that is this state's own. */
static void push_cjson_decode(lua_State *L) {
    lua_pushcfunction(L, luaopen_cjson_safe);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "decode_max_depth");
    lua_pushinteger(L, JSON_MAX_DEPTH);
    lua_call(L, 1, 0);
    lua_getfield(L, -1, "decode_invalid_numbers");
    lua_pushboolean(L, 0);
    lua_call(L, 1, 0);
    lua_getfield(L, -1, "decode");
    lua_replace(L, -2);
}

static const luaL_Reg functions[] = {{"decode", f_decode}, {"encode", f_encode}, {"array", f_array}, {NULL, NULL}};

void bind_json_prepare(lua_State *L) {
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &cjson_decode) != LUA_TNIL) {
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

    push_cjson_decode(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &cjson_decode);
}

int luaopen_bind_json(lua_State *L) {
    bind_json_prepare(L);
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
