#include "bind/json_decode.h"

#include <lauxlib.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "json_span.h"

/* 2^53: beyond, whoever wrote the number may have rounded it. */
static const double EXACT = 9007199254740992.0;

struct reader {
    lua_State *L;
    const char *at, *end;
};

static bool read_value(struct reader *reader);

static char next_char(struct reader *reader) {
    while (reader->at < reader->end && strchr(" \t\r\n", *reader->at) && *reader->at)
        reader->at++;
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool read_string(struct reader *reader) {
    const char *start = reader->at++;
    bool escaped = false;
    while (reader->at < reader->end && *reader->at != '"') {
        escaped |= *reader->at == '\\';
        reader->at += *reader->at == '\\' ? 2 : 1;
    }
    if (reader->at >= reader->end)
        return false;
    reader->at++;
    struct span raw = {start, (size_t)(reader->at - start)};
    if (!escaped) {
        lua_pushlstring(reader->L, raw.data + 1, raw.length - 2);
        return true;
    }
    luaL_Buffer text;
    size_t length = json_string(raw, luaL_buffinitsize(reader->L, &text, raw.length), raw.length);
    luaL_pushresultsize(&text, length < raw.length ? length : 0);
    return true;
}

static bool read_number(struct reader *reader) {
    lua_State *L = reader->L;
    const char *start = reader->at;
    while (reader->at < reader->end && strchr("+-.0123456789Ee", *reader->at) && *reader->at)
        reader->at++;
    struct span text = {start, (size_t)(reader->at - start)};
    int64_t integer;
    if (text.length < 16 && json_integer(text, &integer)) { /* below 10^15 */
        lua_pushinteger(L, integer);
        return true;
    }
    lua_pushlstring(L, text.data, text.length);
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (text.length == 0 || isinf(number))
        return false;
    if (number > -EXACT && number < EXACT && number == floor(number))
        lua_pushinteger(L, (lua_Integer)number);
    else
        lua_pushnumber(L, number);
    return true;
}

static bool read_array(struct reader *reader) {
    lua_newtable(reader->L);
    reader->at++;
    for (lua_Integer i = 1; next_char(reader) != ']'; i++) {
        if (!read_value(reader))
            return false;
        lua_rawseti(reader->L, -2, i);
        if (next_char(reader) == ',')
            reader->at++;
    }
    reader->at++;
    return true;
}

static bool read_object(struct reader *reader) {
    lua_newtable(reader->L);
    reader->at++;
    for (char first; (first = next_char(reader)) != '}';) {
        if (first != '"' || !read_string(reader) || next_char(reader) != ':')
            return false;
        reader->at++;
        if (!read_value(reader))
            return false;
        lua_rawset(reader->L, -3);
        if (next_char(reader) == ',')
            reader->at++;
    }
    reader->at++;
    return true;
}

/* Recursion is as deep as json_valid allows. */
static bool read_value(struct reader *reader) {
    luaL_checkstack(reader->L, 6, "json");
    switch (next_char(reader)) {
    case '\0':
        return false;
    case '{':
        return read_object(reader);
    case '[':
        return read_array(reader);
    case '"':
        return read_string(reader);
    case 't':
        lua_pushboolean(reader->L, 1);
        reader->at += 4;
        return true;
    case 'f':
        lua_pushboolean(reader->L, 0);
        reader->at += 5;
        return true;
    case 'n':
        lua_pushlightuserdata(reader->L, NULL);
        reader->at += 4;
        return true;
    default:
        return read_number(reader);
    }
}

bool json_decode(lua_State *L, struct span text) {
    struct reader reader = {L, text.data, text.data + text.length};
    int top = lua_gettop(L);
    bool done = read_value(&reader);
    if (!done)
        lua_settop(L, top);
    return done;
}
