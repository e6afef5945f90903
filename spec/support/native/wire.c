/* `require "native.wire"`: host/wire.h. */
#include <lauxlib.h>
#include <string.h>

#include "wire.h"

enum { MOST_HEADERS = 64 };

int luaopen_native_wire(lua_State *L);

/* check(bytes) -> content length, length of the head; or nil, status, error */
static int f_check(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    char *copy = lua_newuserdatauv(L, length ? length : 1, 0); /* of exactly its length, for the sanitizer */
    memcpy(copy, text, length);
    struct wire_head head;
    struct wire_refusal refusal;
    if (wire_check((struct span){copy, length}, &head, &refusal)) {
        lua_pushinteger(L, (lua_Integer)head.content_length);
        lua_pushinteger(L, (lua_Integer)head.length);
        return 2;
    }
    lua_pushnil(L);
    lua_pushinteger(L, refusal.status);
    lua_pushstring(L, refusal.error);
    return 3;
}

/* decode_path(target [, size]) -> path; nil when it is refused */
static int f_decode_path(lua_State *L) {
    const char *target = luaL_checkstring(L, 1);
    size_t size = (size_t)luaL_optinteger(L, 2, 8192);
    char *out = lua_newuserdatauv(L, size, 0);
    if (!wire_decode_path(target, out, size))
        return 0;
    lua_pushstring(L, out);
    return 1;
}

static int f_has_option(lua_State *L) {
    lua_pushboolean(L, wire_has_option(luaL_checkstring(L, 1), luaL_checkstring(L, 2)));
    return 1;
}

static int f_request_id(lua_State *L) {
    char out[REQUEST_ID_BYTES + 1];
    wire_request_id(luaL_optstring(L, 1, NULL), out);
    lua_pushstring(L, out);
    return 1;
}

static int f_traceparent(lua_State *L) {
    char out[TRACEPARENT_BYTES];
    wire_traceparent(luaL_optstring(L, 1, NULL), out);
    lua_pushstring(L, out);
    return 1;
}

/* trace{ { name, value }, … } → traceparent, tracestate */
static int f_trace(lua_State *L) {
    struct header headers[MOST_HEADERS];
    size_t count = lua_rawlen(L, 1);
    struct call_context call = {0};
    luaL_checkstack(L, MOST_HEADERS * 3, NULL);
    luaL_argcheck(L, count <= MOST_HEADERS, 1, "too many");
    for (size_t i = 0; i < count; i++) { /* the strings stay on the stack */
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        headers[i] = (struct header){lua_tostring(L, -2), lua_tostring(L, -1)};
    }
    wire_trace(headers, count, &call);
    lua_pushstring(L, call.traceparent);
    lua_pushstring(L, call.tracestate);
    return 2;
}

static const luaL_Reg functions[] = {
    {"check", f_check},
    {"decode_path", f_decode_path},
    {"has_option", f_has_option},
    {"request_id", f_request_id},
    {"trace", f_trace},
    {"traceparent", f_traceparent},
    {NULL, NULL},
};

int luaopen_native_wire(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
