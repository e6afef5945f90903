#include "bind/bind.h"
#include "runtime.h"
#include "trace.h"

static const char context_key; /* its address is the registry's key */

void bind_context_set(lua_State *L, struct bind_context *context) {
    lua_pushlightuserdata(L, context);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &context_key);
}

static struct bind_context *context_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &context_key);
    struct bind_context *context = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return context;
}

struct host *runtime_host(lua_State *L) {
    struct bind_context *context = context_of(L);
    return context ? context->host : NULL;
}

struct call_context *runtime_call(lua_State *L) {
    struct bind_context *context = context_of(L);
    if (!context)
        return NULL;
    trace_refuse(context->trace);
    return context->call;
}

struct call_context *runtime_traced_call(lua_State *L, struct trace **trace) {
    struct bind_context *context = context_of(L);
    *trace = context ? context->trace : NULL;
    return context ? context->call : NULL;
}
