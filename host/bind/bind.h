/* The Lua modules of the host, one file each, and what they know of the state that they run in. */
#ifndef HOST_BIND_BIND_H
#define HOST_BIND_BIND_H

#include <lua.h>

struct call_context;
struct host;
struct trace;

/* Behind runtime_host and runtime_call of runtime.h. The owner of a state keeps it, and changes call as requests come
   and go. */
struct bind_context {
    struct host *host;
    struct call_context *call; /* NULL while a bundle loads */
    struct trace *trace;       /* what this request's run reads; NULL when nobody asks */
};

/* context must live as long as the state. Without one, both functions return NULL. */
void bind_context_set(lua_State *L, struct bind_context *context);

int luaopen_bind_cache(lua_State *L);
int luaopen_bind_clock(lua_State *L);
int luaopen_bind_config(lua_State *L);
int luaopen_bind_decisions(lua_State *L);
int luaopen_bind_http(lua_State *L);
int luaopen_bind_json(lua_State *L);
int luaopen_bind_kube(lua_State *L);
int luaopen_bind_log(lua_State *L);
int luaopen_bind_metrics(lua_State *L);

#endif
