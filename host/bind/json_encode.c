#include "bind/json_encode.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_span.h"

struct writer {
    lua_State *L;
    int array_metatable;
    struct buffer *out;
};

static const char *write_value(struct writer *writer, int index, unsigned depth);

static const char *write_float(struct writer *writer, double number) {
    if (!isfinite(number))
        return "a number is not finite";
    if (number == floor(number) && fabs(number) < 0x1p63) {
        buffer_format(writer->out, "%lld", (long long)number);
        return NULL;
    }
    char text[32];
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back the same */
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buffer_text(writer->out, text);
    return NULL;
}

static const char *write_array(struct writer *writer, int index, lua_Unsigned length, unsigned depth) {
    lua_State *L = writer->L;
    buffer_append(writer->out, "[", 1);
    for (lua_Unsigned i = 1; i <= length; i++) {
        if (i > 1)
            buffer_append(writer->out, ",", 1);
        lua_rawgeti(L, index, (lua_Integer)i);
        const char *wrong = write_value(writer, lua_gettop(L), depth);
        lua_pop(L, 1);
        if (wrong)
            return wrong;
    }
    buffer_append(writer->out, "]", 1);
    return NULL;
}

static const char *write_object(struct writer *writer, int index, unsigned depth) {
    lua_State *L = writer->L;
    buffer_append(writer->out, "{", 1);
    bool first = true;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (!first)
            buffer_append(writer->out, ",", 1);
        first = false;
        size_t length;
        const char *key = lua_tolstring(L, -2, &length); /* a string: the caller has seen to it */
        buffer_json_string(writer->out, key, length);
        buffer_append(writer->out, ":", 1);
        const char *wrong = write_value(writer, lua_gettop(L), depth);
        lua_pop(L, 1);
        if (wrong) {
            lua_pop(L, 1);
            return wrong;
        }
    }
    buffer_append(writer->out, "}", 1);
    return NULL;
}

static bool is_marked(struct writer *writer, int index) {
    if (!lua_getmetatable(writer->L, index))
        return false;
    bool marked = lua_rawequal(writer->L, -1, writer->array_metatable);
    lua_pop(writer->L, 1);
    return marked;
}

static const char *write_table(struct writer *writer, int index, unsigned depth) {
    lua_State *L = writer->L;
    if (depth == JSON_MAX_DEPTH)
        return "a table is nested too deep, or holds itself";
    lua_Unsigned integers = 0, strings = 0, length = lua_rawlen(L, index);
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        if (lua_type(L, -1) == LUA_TSTRING) {
            strings++;
            continue;
        }
        /* With as many keys of 1 … length as the length says, there are no holes. */
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || (lua_Unsigned)lua_tointeger(L, -1) > length) {
            lua_pop(L, 1);
            return "a key is neither a string nor a position in an array without holes";
        }
        integers++;
    }
    if (integers != length)
        return "an array has holes";
    bool array = integers > 0 || is_marked(writer, index);
    if (array && strings)
        return "a table is both an array and an object";
    return array ? write_array(writer, index, length, depth + 1) : write_object(writer, index, depth + 1);
}

static const char *write_value(struct writer *writer, int index, unsigned depth) {
    lua_State *L = writer->L;
    size_t length;
    const char *text;
    if (!lua_checkstack(L, 6))
        return "out of stack";
    if (writer->out->length > JSON_MAX_BYTES)
        return "the text is too large";
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        buffer_text(writer->out, lua_toboolean(L, index) ? "true" : "false");
        return NULL;
    case LUA_TNUMBER:
        if (!lua_isinteger(L, index))
            return write_float(writer, lua_tonumber(L, index));
        buffer_format(writer->out, "%lld", (long long)lua_tointeger(L, index));
        return NULL;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &length);
        if (length > JSON_MAX_BYTES)
            return "the text is too large";
        buffer_json_string(writer->out, text, length);
        return NULL;
    case LUA_TTABLE:
        return write_table(writer, index, depth);
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, index))
            return "a value has no JSON form";
        buffer_text(writer->out, "null");
        return NULL;
    default:
        return "a value has no JSON form";
    }
}

const char *json_encode(lua_State *L, int index, int array_metatable, struct buffer *out) {
    struct writer writer = {L, array_metatable, out};
    const char *wrong = write_value(&writer, index, 0);
    return !wrong && out->failed ? "out of memory" : wrong;
}
