#include "response.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "kube.h"
#include "kube_object.h"

/* Of all strings of a body: as much as a state's own memory. One string may stand there many times. */
enum { MAX_TEXT_BYTES = 32 * 1024 * 1024 };

/* Headers that only the server itself sets. */
static bool is_reserved(const char *name) {
    static const char *const reserved[] = {"Content-Length", "Transfer-Encoding", "Connection",
                                           "Date",           "X-Request-Id",      "X-Policy-Revision"};
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcasecmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static void read_headers(lua_State *L, int index, struct response *response, bool simulator) {
    int type = lua_getfield(L, index, "headers");
    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "a response's headers must be a table");
    if (type == LUA_TTABLE) {
        lua_pushnil(L);
        while (lua_next(L, -2)) {
            if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1))
                luaL_error(L, "a response header must be a string");
            const char *name = lua_tostring(L, -2);
            /* Numbers become strings in a copy: lua_next must not see a changed key. */
            lua_pushvalue(L, -1);
            size_t length;
            const char *value = lua_tolstring(L, -1, &length);
            if ((!simulator && is_reserved(name)) || strlen(value) != length || !response_header(response, name, value))
                luaL_error(L, "the response header '%s' cannot be sent", name);
            lua_pop(L, 2);
        }
    }
    lua_pop(L, 1);
}

static void body_error(lua_State *L) {
    luaL_error(L, "a response's body must be a string, a kube.object or an array of those");
}

/* All strings of a body stand in one allocation, objects are referenced: their bytes are never copied here. */
static void read_body_list(lua_State *L, int list, struct response *response) {
    lua_Integer count = luaL_len(L, list);
    size_t total = 0;
    for (lua_Integer i = 1; i <= count; i++) {
        size_t length;
        if (lua_rawgeti(L, list, i) == LUA_TSTRING) {
            lua_tolstring(L, -1, &length);
            total += length;
        } else if (!bind_kube_object(L, -1)) {
            body_error(L);
        }
        if (total > MAX_TEXT_BYTES)
            luaL_error(L, "a response's body is larger than %d bytes", MAX_TEXT_BYTES);
        lua_pop(L, 1);
    }
    struct bytes *text = bytes_new(total);
    if (!text) {
        response->failed = true;
        return;
    }
    size_t used = 0;
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_rawgeti(L, list, i) == LUA_TSTRING) {
            size_t length;
            const char *data = lua_tolstring(L, -1, &length);
            memcpy(text->data + used, data, length);
            response_piece(response, bytes_reference(text), (struct span){text->data + used, length});
            used += length;
        } else {
            const struct kube_object *object = bind_kube_object(L, -1);
            response_piece(response, bytes_reference(object->owner), object->text);
        }
        lua_pop(L, 1);
    }
    bytes_release(text);
}

static void read_body(lua_State *L, int index, struct response *response) {
    switch (lua_getfield(L, index, "body")) {
    case LUA_TNIL:
        break;
    case LUA_TSTRING: {
        size_t length;
        const char *data = lua_tolstring(L, -1, &length);
        struct bytes *text = bytes_copy(data, length);
        if (text)
            response_piece(response, text, (struct span){text->data, length});
        else
            response->failed = true;
        break;
    }
    case LUA_TTABLE:
        read_body_list(L, lua_gettop(L), response);
        break;
    default: {
        const struct kube_object *object = bind_kube_object(L, -1);
        if (!object)
            body_error(L);
        response_piece(response, bytes_reference(object->owner), object->text);
    }
    }
    lua_pop(L, 1);
}

static void read_text(lua_State *L, int index, const char *field, char *out, size_t size) {
    int type = lua_getfield(L, index, field);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(L, "a response's %s must be a string", field);
    snprintf(out, size, "%s", type == LUA_TSTRING ? lua_tostring(L, -1) : "");
    lua_pop(L, 1);
}

void bind_response_read(lua_State *L, int index, struct response *response, bool simulator) {
    index = lua_absindex(L, index);
    if (!lua_istable(L, index))
        luaL_error(L, "the handler must return a response table, not a %s", luaL_typename(L, index));
    luaL_checkstack(L, 8, "response");
    lua_getfield(L, index, "status");
    int exact;
    lua_Integer status = lua_tointegerx(L, -1, &exact);
    lua_pop(L, 1);
    if (!exact || status < 200 || status > 599)
        luaL_error(L, "a response's status must be an integer from 200 to 599");
    response->status = (int)status;
    read_text(L, index, "route", response->route, sizeof response->route);
    read_text(L, index, "caller", response->caller, sizeof response->caller);
    read_text(L, index, "error", response->error, sizeof response->error);
    read_headers(L, index, response, simulator);
    read_body(L, index, response);
    if (simulator) {
        lua_getfield(L, index, "delay_ms");
        response->delay_ms = lua_tointeger(L, -1);
        lua_getfield(L, index, "raw");
        response->raw = lua_toboolean(L, -1);
        lua_pop(L, 2);
    }
}
