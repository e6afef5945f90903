#include "request.h"

#include <lauxlib.h>
#include <string.h>

#include "trace.h"

#define REQUEST "request"

struct box {
    const struct request *request; /* NULL between requests */
    struct trace *trace;
};

static const struct box *check_box(lua_State *L) {
    const struct box *box = luaL_checkudata(L, 1, REQUEST);
    if (!box->request)
        luaL_error(L, "the request has ended");
    return box;
}

static int f_header(lua_State *L) {
    const struct box *box = check_box(L);
    const char *name = luaL_checkstring(L, 2);
    trace_header(box->trace, name);
    lua_pushstring(L, request_header(box->request, name));
    return 1;
}

/* The upvalue is f_header. */
static int f_index(lua_State *L) {
    const struct box *box = check_box(L);
    const struct request *request = box->request;
    const char *key = luaL_checkstring(L, 2);
    if (strcmp(key, "header") == 0)
        lua_pushvalue(L, lua_upvalueindex(1));
    else if (strcmp(key, "method") == 0)
        lua_pushstring(L, request->method);
    else if (strcmp(key, "path") == 0)
        lua_pushstring(L, request->path);
    else if (strcmp(key, "query") == 0)
        lua_pushstring(L, request->query);
    else if (strcmp(key, "body") == 0)
        lua_pushlstring(L, request->body.data, request->body.length);
    else if (strcmp(key, "id") == 0) {
        trace_refuse(box->trace); /* no other request has it */
        lua_pushstring(L, request->call->request_id);
    } else
        return luaL_error(L, "a request has no field '%s'", key);
    return 1;
}

static int f_newindex(lua_State *L) {
    return luaL_error(L, "a request is read-only");
}

void bind_request_new(lua_State *L) {
    struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct box){0};
    if (luaL_newmetatable(L, REQUEST)) {
        lua_pushcfunction(L, f_header);
        lua_pushcclosure(L, f_index, 1);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, f_newindex);
        lua_setfield(L, -2, "__newindex");
        lua_pushliteral(L, REQUEST);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

void bind_request_set(lua_State *L, int index, const struct request *request, struct trace *trace) {
    struct box *box = lua_touserdata(L, index);
    *box = (struct box){request, trace};
}
