/* One Lua state: open it on a bundle, let it answer requests, close it. Used by one thread at a time. */
#ifndef HOST_RUNTIME_H
#define HOST_RUNTIME_H

#include <lua.h>

#include "bundle.h"
#include "host.h"
#include "message.h"
#include "sandbox.h"

struct trace;

/* What differs between the service and the simulator, which the same host runs. */
struct profile {
    const char *entry; /* module that returns the handler: "scripts.app" */
    struct sandbox_limits limits;
    int max_states; /* of one generation; 1: the handler keeps its state from request to request */
    bool simulator; /* streaming answers, a clock, dkjson */
};

struct runtime;

/* NULL and a message (with file and line where there is one) when the bundle's entry does not load; NULL alone when
   memory is exhausted. */
struct runtime *runtime_open(struct host *host, struct bundle *bundle, const struct profile *profile,
                             struct buffer *error);
void runtime_close(struct runtime *runtime);

/* Calls the handler. Never fails: an error of the script, or a limit, becomes 500 policy_error and is logged.
   Returns false when the state must be thrown away (a limit was hit). trace is told what the run reads; NULL when
   nobody asks. */
bool runtime_serve(struct runtime *runtime, const struct request *request, struct response *response,
                   struct trace *trace);

/* The stream function of the answer just served, 0 when it does not stream; it lives until runtime_stream_drop. */
int runtime_stream_take(struct runtime *runtime);
enum stream_step runtime_stream_step(struct runtime *runtime, int stream, struct buffer *chunk);
void runtime_stream_drop(struct runtime *runtime, int stream);

/* Runs function under the limits, with argument as its light userdata: for commands that look into a bundle.
   False and a message when it raises. Inside, runtime_require pushes a module's value. */
bool runtime_run(struct runtime *runtime, lua_CFunction function, void *argument, struct buffer *error);
void runtime_require(lua_State *L, const char *module);
/* Defines the globals that scripts have beyond the sandbox's. */
void runtime_open_globals(lua_State *L);

/* For bindings (host/bind/context.c): the services, and the request that this state is answering (NULL while a bundle
   loads, when nothing outside may be called). Works from any coroutine of the state. */
struct host *runtime_host(lua_State *L);
struct call_context *runtime_call(lua_State *L);
/* The same for a binding that tells the trace what it reads. Whoever asks for the call without does something that an
   answer cannot be remembered over, so runtime_call refuses the trace. */
struct call_context *runtime_traced_call(lua_State *L, struct trace **trace);

#endif
