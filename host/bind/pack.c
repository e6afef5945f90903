#include "bind/pack.h"

#include <lauxlib.h>
#include <stdint.h>
#include <string.h>

#include "bind/json.h"

enum tag { NIL, FALSE, TRUE, INTEGER, FLOAT, STRING, TABLE, ARRAY, JSON_NIL };

static void append_tag(struct buffer *out, enum tag tag) {
    char byte = (char)tag;
    buffer_append(out, &byte, 1);
}

static const char *pack(lua_State *L, int index, struct buffer *out, int depth);

static bool is_position(lua_State *L, int index, lua_Unsigned length) {
    return lua_isinteger(L, index) && (lua_Unsigned)lua_tointeger(L, index) - 1 < length;
}

/* Tag, how many positions and how many other fields, the positions' values, the other fields. */
static const char *pack_table(lua_State *L, int index, struct buffer *out, int depth) {
    uint32_t counts[2] = {0, 0};
    lua_Unsigned length = lua_rawlen(L, index);
    const char *wrong = NULL;
    if (depth == PACK_MAX_DEPTH)
        return "a table is nested too deep, or holds itself";
    if (length > PACK_MAX_BYTES)
        return "it is too large";
    append_tag(out, bind_json_is_array(L, index) ? ARRAY : TABLE);
    size_t counts_at = out->length;
    buffer_append(out, counts, sizeof counts);
    for (lua_Unsigned i = 1; i <= length && !wrong; i++) {
        lua_rawgeti(L, index, (lua_Integer)i);
        wrong = pack(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    lua_pushnil(L);
    while (!wrong && lua_next(L, index)) {
        if (!is_position(L, -2, length)) {
            wrong = pack(L, lua_gettop(L) - 1, out, depth + 1);
            if (!wrong)
                wrong = pack(L, lua_gettop(L), out, depth + 1);
            counts[1]++;
        }
        lua_pop(L, 1);
    }
    if (wrong)
        return wrong;
    counts[0] = (uint32_t)length;
    if (!out->failed)
        memcpy(out->data + counts_at, counts, sizeof counts);
    return NULL;
}

static const char *pack(lua_State *L, int index, struct buffer *out, int depth) {
    if (!lua_checkstack(L, 8))
        return "out of stack";
    if (out->length > PACK_MAX_BYTES)
        return "it is too large";
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        append_tag(out, NIL);
        return NULL;
    case LUA_TBOOLEAN:
        append_tag(out, lua_toboolean(L, index) ? TRUE : FALSE);
        return NULL;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            lua_Integer number = lua_tointeger(L, index);
            append_tag(out, INTEGER);
            buffer_append(out, &number, sizeof number);
        } else {
            lua_Number number = lua_tonumber(L, index);
            append_tag(out, FLOAT);
            buffer_append(out, &number, sizeof number);
        }
        return NULL;
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        if (length > PACK_MAX_BYTES)
            return "it is too large";
        uint32_t size = (uint32_t)length;
        append_tag(out, STRING);
        buffer_append(out, &size, sizeof size);
        buffer_append(out, text, length);
        return NULL;
    }
    case LUA_TTABLE:
        return pack_table(L, index, out, depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index))
            break;
        append_tag(out, JSON_NIL);
        return NULL;
    default:
        break;
    }
    return "it holds something other than booleans, numbers, strings and tables";
}

const char *bind_pack(lua_State *L, int index, struct buffer *out) {
    const char *wrong = pack(L, lua_absindex(L, index), out, 0);
    return !wrong && out->failed ? "out of memory" : wrong;
}

static void take(const char **at, void *out, size_t size) {
    memcpy(out, *at, size);
    *at += size;
}

static void unpack(lua_State *L, const char **at) {
    uint32_t counts[2];
    enum tag tag = (enum tag)(unsigned char)*(*at)++;
    switch (tag) {
    case NIL:
        lua_pushnil(L);
        break;
    case FALSE:
    case TRUE:
        lua_pushboolean(L, tag == TRUE);
        break;
    case INTEGER: {
        lua_Integer number;
        take(at, &number, sizeof number);
        lua_pushinteger(L, number);
        break;
    }
    case FLOAT: {
        lua_Number number;
        take(at, &number, sizeof number);
        lua_pushnumber(L, number);
        break;
    }
    case STRING:
        take(at, counts, sizeof counts[0]);
        lua_pushlstring(L, *at, counts[0]);
        *at += counts[0];
        break;
    case TABLE:
    case ARRAY:
        take(at, counts, sizeof counts);
        luaL_checkstack(L, 4, "cache");
        lua_createtable(L, (int)counts[0], (int)counts[1]);
        for (uint32_t i = 1; i <= counts[0]; i++) {
            unpack(L, at);
            lua_rawseti(L, -2, i);
        }
        for (uint32_t i = 0; i < counts[1]; i++) {
            unpack(L, at);
            unpack(L, at);
            lua_rawset(L, -3);
        }
        if (tag == ARRAY)
            bind_json_mark_array(L, -1);
        break;
    case JSON_NIL:
        lua_pushlightuserdata(L, NULL);
        break;
    }
}

void bind_unpack(lua_State *L, struct span packed) {
    const char *at = packed.data;
    unpack(L, &at);
}
