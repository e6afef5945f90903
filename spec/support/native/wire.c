/* `require "native.wire"`: host/wire.h, fed with what civetweb makes of a request's head. */
#include <lauxlib.h>
#include <string.h>

#include "wire.h"

enum { MOST_HEADERS = 64 }; /* civetweb's own bound */

int luaopen_native_wire(lua_State *L);

static bool is_name_byte(char c) {
    return c > ' ' && c != 0x7f && c != ':';
}

/* Ends the word at *cursor where civetweb does, and goes on to the next one. */
static char *cut_word(char **cursor) {
    char *word = *cursor;
    *cursor += strcspn(word, " \t\r\n\v\f");
    while (**cursor && strchr(" \t\r\n\v\f", **cursor))
        *(*cursor)++ = '\0';
    return word;
}

/* One header line; false where civetweb stops to look for more, which it does without a word. */
static bool cut_header(char **cursor, struct header *header) {
    char *c = *cursor;
    header->name = c;
    while (is_name_byte(*c))
        c++;
    if (c == *cursor)
        return false;
    while (*c == ' ')
        *c++ = '\0';
    if (*c != ':')
        return false;
    *c++ = '\0';
    header->value = c += strspn(c, " \t");
    c += strcspn(c, "\r\n");
    if (*c == '\r') {
        *c++ = '\0';
        if (*c != '\n')
            return false;
    }
    if (*c)
        *c++ = '\0';
    *cursor = c;
    return true;
}

static void cut(char *head, size_t length, struct wire_request *request, struct header *headers) {
    head[length - 1] = '\0';
    char *cursor = head + strspn(head, " \t\r\n\v\f");
    request->start = head;
    request->method = cut_word(&cursor);
    char *target = cut_word(&cursor);
    char *version = cut_word(&cursor);
    request->version = version + strlen("HTTP/");
    request->target = target;
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    request->query = query;
    request->headers = headers;
    while (request->header_count < MOST_HEADERS && cut_header(&cursor, &headers[request->header_count])) {
        request->header_count++;
        if (*cursor == '\r' || *cursor == '\n' || *cursor == '\0')
            break;
    }
}

/* check(head) -> content length; or nil, status, error. head ends with its blank line. */
static int f_check(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    char *head = lua_newuserdatauv(L, length + 1, 0);
    memcpy(head, text, length + 1);
    struct header headers[MOST_HEADERS];
    struct wire_request request = {0};
    cut(head, length, &request, headers);
    uint64_t content_length;
    struct wire_refusal refusal;
    if (wire_check(&request, &content_length, &refusal)) {
        lua_pushinteger(L, (lua_Integer)content_length);
        return 1;
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
