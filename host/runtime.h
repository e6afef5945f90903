/* One Lua state: open it on a bundle, let it answer requests, close it. Used by one thread at a time. */
#ifndef HOST_RUNTIME_H
#define HOST_RUNTIME_H

#include <lua.h>

#include "bundle.h"
#include "host.h"
#include "message.h"
#include "sandbox.h"

/* What differs between the service and the simulator, which the same host runs. */
struct profile {
    const char *entry; /* module that returns the handler: "scripts.app" */
    struct sandbox_limits limits;
    bool simulator; /* streaming answers, a clock, dkjson */
};

struct runtime;

/* NULL and a message (with file and line where there is one) when the bundle's entry does not load. */
struct runtime *runtime_open(struct host *host, struct bundle *bundle, const struct profile *profile,
                             struct buffer *error);
void runtime_close(struct runtime *runtime);
lua_State *runtime_state(struct runtime *runtime);

/* Calls the handler. Never fails: an error of the script, or a limit, becomes 500 policy_error and is logged.
   Returns false when the state must be thrown away (a limit was hit). */
bool runtime_serve(struct runtime *runtime, const struct request *request, struct response *response);

/* For bindings: the services, and the request that this state is answering (its call context is NULL while a bundle
   loads, when nothing outside may be called). Works from any coroutine of the state. */
struct host *runtime_host(lua_State *L);
struct call_context *runtime_call(lua_State *L);

#endif
