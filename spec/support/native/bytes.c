/* `require "native.bytes"`: the buffer of host/bytes.h. */
#include <lauxlib.h>

#include "bytes.h"

int luaopen_native_bytes(lua_State *L);

static int f_json_string(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    struct buffer buffer = {0};
    buffer_json_string(&buffer, text, length);
    lua_pushlstring(L, buffer.data, buffer.length);
    buffer_free(&buffer);
    return 1;
}

static int f_format(lua_State *L) {
    struct buffer buffer = {0};
    int times = (int)luaL_checkinteger(L, 1);
    for (int i = 1; i <= times; i++)
        buffer_format(&buffer, "%d,", i);
    lua_pushlstring(L, buffer.data, buffer.length);
    buffer_free(&buffer);
    return 1;
}

static const luaL_Reg functions[] = {{"json_string", f_json_string}, {"format", f_format}, {NULL, NULL}};

int luaopen_native_bytes(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
