#include "decision_log.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json.h"
#include "log.h"
#include "runtime.h"
#include "trace.h"

enum {
    MAX_TEXT_BYTES = 1024, /* of a field but `given`, which is never cut: half of it decides nothing again */
    MAX_LINE_BYTES = 256 * 1024,
};

/* In this order, so that lines read alike. */
static const char *const fields[] = {"policy",   "action",  "caller",  "cluster", "verdict", "reason",
                                     "clusters", "allowed", "reasons", "plan",    "given",   NULL};

static int f_wanted(lua_State *L) {
    struct trace *trace;
    const struct call_context *call = runtime_traced_call(L, &trace);
    bool allowed_view = lua_toboolean(L, 1);
    lua_pushboolean(L, (allowed_view && call && call->view_wanted) || decision_log_wanted(allowed_view));
    return 1;
}

static void append_text(struct buffer *members, const char *name, const char *text) {
    buffer_format(members, ",\"%s\":", name);
    log_append_text(members, text, strlen(text), MAX_TEXT_BYTES);
}

static void append_json(lua_State *L, struct buffer *members, const char *name) {
    size_t length;
    bind_json_encode(L, -1);
    const char *text = lua_tolstring(L, -1, &length);
    bool arguments = strcmp(name, "given") == 0 && length && text[length - 1] == ']';
    buffer_format(members, ",\"%s\":", name);
    buffer_append(members, text, length - arguments);
    if (arguments)
        buffer_append(members, (const char[]){DECISION_TIME, ']'}, 2);
}

/* append_fields(decision, members). Raises where JSON has no form for a value. */
static int append_fields(lua_State *L) {
    struct buffer *members = lua_touserdata(L, 2);
    for (size_t i = 0; fields[i]; i++) {
        int type = lua_getfield(L, 1, fields[i]);
        if (type == LUA_TSTRING)
            append_text(members, fields[i], lua_tostring(L, -1));
        else if (type != LUA_TNIL)
            append_json(L, members, fields[i]);
        lua_settop(L, 2);
    }
    return 0;
}

static int f_write(lua_State *L) {
    struct trace *trace;
    struct call_context *call = runtime_traced_call(L, &trace);
    struct buffer members = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (!call)
        return luaL_error(L, "a decision is logged while a request is served");
    lua_pushcfunction(L, append_fields);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, &members);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK && members.length <= MAX_LINE_BYTES && !members.failed) {
        const struct span span = {members.data, members.length};
        decision_log_write(call, span);
        if (call->view_wanted)
            trace_decision(trace, span);
    } else {
        decision_log_drop();
        trace_decisions_lost(trace);
    }
    buffer_free(&members);
    return 0;
}

static const luaL_Reg functions[] = {{"wanted", f_wanted}, {"write", f_write}, {NULL, NULL}};

int luaopen_bind_decisions(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
