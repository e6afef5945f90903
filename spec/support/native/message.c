/* `require "native.message"`: host/message.h, a response as a userdata. */
#include <lauxlib.h>

#include "message.h"

static const char type_name[] = "message.response";

int luaopen_native_message(lua_State *L);

static struct response *check_response(lua_State *L) {
    return luaL_checkudata(L, 1, type_name);
}

static int f_response(lua_State *L) {
    struct response *response = lua_newuserdatauv(L, sizeof *response, 0);
    *response = (struct response){0};
    luaL_setmetatable(L, type_name);
    return 1;
}

static int f_free(lua_State *L) {
    response_free(check_response(L));
    return 0;
}

static int f_header(lua_State *L) {
    lua_pushboolean(L, response_header(check_response(L), luaL_checkstring(L, 2), luaL_checkstring(L, 3)));
    return 1;
}

static int f_has_header(lua_State *L) {
    lua_pushboolean(L, response_has_header(check_response(L), luaL_checkstring(L, 2)));
    return 1;
}

/* piece(bytes, from, length): that part of the bytes, which the response then owns */
static int f_piece(lua_State *L) {
    size_t length;
    struct response *response = check_response(L);
    const char *data = luaL_checklstring(L, 2, &length);
    size_t from = (size_t)luaL_optinteger(L, 3, 0);
    size_t part = (size_t)luaL_optinteger(L, 4, (lua_Integer)length);
    luaL_argcheck(L, from + part <= length, 4, "longer than the bytes");
    struct bytes *bytes = bytes_copy(data, length);
    if (!bytes)
        return luaL_error(L, "out of memory");
    response_piece(response, bytes, (struct span){bytes->data + from, part});
    return 0;
}

static int f_problem(lua_State *L) {
    response_problem(check_response(L), (int)luaL_checkinteger(L, 2), luaL_checkstring(L, 3), luaL_checkstring(L, 4),
                     luaL_checkstring(L, 5));
    return 0;
}

static int f_clear(lua_State *L) {
    response_clear(check_response(L));
    return 0;
}

/* show() -> status, headers, body, length as it will be announced, error */
static int f_show(lua_State *L) {
    struct response *response = check_response(L);
    lua_pushinteger(L, response->status);
    lua_pushlstring(L, response->headers.length ? response->headers.data : "", response->headers.length);
    luaL_Buffer body;
    luaL_buffinit(L, &body);
    for (size_t i = 0; i < response->piece_count; i++)
        luaL_addlstring(&body, response->pieces[i].span.data, response->pieces[i].span.length);
    luaL_pushresult(&body);
    lua_pushinteger(L, (lua_Integer)response->body_length);
    lua_pushstring(L, response->error);
    return 5;
}

/* request_header(name, {name, value, …}) -> value */
static int f_request_header(lua_State *L) {
    struct header headers[16];
    size_t count = 0;
    const char *name = luaL_checkstring(L, 1);
    lua_Integer length = luaL_len(L, 2) / 2;
    luaL_argcheck(L, length <= 16, 2, "too many");
    for (lua_Integer i = 0; i < length; i++) {
        lua_rawgeti(L, 2, 2 * i + 1);
        lua_rawgeti(L, 2, 2 * i + 2);
        headers[count++] = (struct header){lua_tostring(L, -2), lua_tostring(L, -1)};
        lua_pop(L, 2); /* the table keeps them */
    }
    struct request request = {.headers = headers, .header_count = count};
    lua_pushstring(L, request_header(&request, name));
    return 1;
}

static int f_status_phrase(lua_State *L) {
    lua_pushstring(L, status_phrase((int)luaL_checkinteger(L, 1)));
    return 1;
}

static const luaL_Reg methods[] = {
    {"header", f_header},   {"has_header", f_has_header}, {"piece", f_piece},
    {"problem", f_problem}, {"clear", f_clear},           {"show", f_show},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"response", f_response},
    {"request_header", f_request_header},
    {"status_phrase", f_status_phrase},
    {NULL, NULL},
};

int luaopen_native_message(lua_State *L) {
    luaL_newmetatable(L, type_name);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, f_free);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, functions);
    return 1;
}
