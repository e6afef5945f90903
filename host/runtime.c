#include "runtime.h"

#include <lauxlib.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/kube.h"
#include "bind/request.h"
#include "bind/response.h"
#include "log.h"
#include "purity.h"
#include "state_metrics.h"

struct runtime {
    struct sandbox *sandbox;
    struct bundle *bundle;
    const struct profile *profile;
    struct counted_state counted;
    struct bind_context context; /* its call is NULL while the bundle loads */
    int handler;                 /* registry reference */
    int request;                 /* registry reference: the one request object of this state */
    int stream;                  /* of the answer just served */
    uintptr_t run;               /* number of the call into the state, from 1 */
};

static const char runtime_key; /* registry: the state's runtime */
static const char loaded_key;  /* registry: module name → value */

struct host_module {
    const char *name;
    lua_CFunction open;
};

static const struct host_module host_modules[] = {
    {"cache", luaopen_bind_cache},         {"clock", luaopen_bind_clock}, {"config", luaopen_bind_config},
    {"decisions", luaopen_bind_decisions}, {"http", luaopen_bind_http},   {"json", luaopen_bind_json},
    {"kube", luaopen_bind_kube},           {"log", luaopen_bind_log},     {"metrics", luaopen_bind_metrics},
};

static struct runtime *runtime_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &runtime_key);
    struct runtime *runtime = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return runtime;
}

/* Debian's dkjson, which the simulator needs for exact integers and empty arrays. */
static void load_dkjson(lua_State *L) {
    if (luaL_loadfilex(L, DKJSON_PATH, "t") != LUA_OK)
        lua_error(L);
}

static const struct host_module *find_host_module(const char *name) {
    for (size_t i = 0; i < sizeof host_modules / sizeof *host_modules; i++)
        if (strcmp(host_modules[i].name, name) == 0)
            return &host_modules[i];
    return NULL;
}

/* What a module returns is all requests', so none may change it. Rules see to themselves (purity.h); the simulator is
   one world that changes. */
static bool is_shared(const struct runtime *runtime, const char *name) {
    return find_host_module(name) || (!runtime->profile->simulator && !purity_applies(name));
}

/* Pushes the chunk or opener of a module; raises when there is none. */
static void find_module(lua_State *L, const struct runtime *runtime, const char *name) {
    const struct host_module *module = find_host_module(name);
    if (module) {
        lua_pushcfunction(L, module->open);
        return;
    }
    if (runtime->profile->simulator && strcmp(name, "dkjson") == 0) {
        load_dkjson(L);
        return;
    }
    const struct bundle_file *file = bundle_find(runtime->bundle, name);
    if (!file)
        luaL_error(L, "module '%s' not found: it is neither in the bundle nor one of the host's", name);
    const char *chunk = lua_pushfstring(L, "@%s", file->path);
    if (sandbox_load(sandbox_of(L), file->source->data, file->source->length, chunk) != LUA_OK)
        lua_error(L);
    lua_remove(L, -2);
    if (purity_applies(name))
        purity_confine(L);
}

/* A module that is being loaded has the number of the run for a value. One of an earlier run failed then. */
void runtime_require(lua_State *L, const char *name) {
    struct runtime *runtime = runtime_of(L);
    luaL_checkstack(L, 8, "too many modules at once");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    int type = lua_getfield(L, -1, name);
    void *run = lua_touserdata(L, -1);
    if (type == LUA_TLIGHTUSERDATA && run == (void *)runtime->run)
        luaL_error(L, "module '%s' requires itself, by itself or by another", name);
    if (type != LUA_TNIL && (type != LUA_TLIGHTUSERDATA || !run)) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    lua_pushlightuserdata(L, (void *)runtime->run);
    lua_setfield(L, -2, name);
    find_module(L, runtime, name);
    lua_pushstring(L, name);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    if (purity_applies(name))
        purity_loaded(L, name);
    else if (lua_istable(L, -1) && is_shared(runtime, name))
        sandbox_freeze_module(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name);
    lua_remove(L, -2);
}

static int f_require(lua_State *L) {
    runtime_require(L, luaL_checkstring(L, 1));
    return 1;
}

/* Of policies. */
static int f_require_policy(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    if (!purity_applies(name))
        return luaL_error(L, "a rule may require only other rules (policies.*), not '%s'", name);
    runtime_require(L, name);
    return 1;
}

void runtime_open_globals(lua_State *L) {
    lua_pushcfunction(L, f_require);
    sandbox_define(L, "require");
}

static int open_protected(lua_State *L) {
    struct runtime *runtime = lua_touserdata(L, 1);
    lua_pushlightuserdata(L, runtime);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &runtime_key);
    bind_context_set(L, &runtime->context);
    runtime_open_globals(L);
    lua_newtable(L);
    purity_open(L, f_require_policy);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    runtime_require(L, runtime->profile->entry);
    if (!lua_isfunction(L, -1))
        return luaL_error(L, "%s must return a function that takes a request and returns a response",
                          runtime->profile->entry);
    runtime->handler = luaL_ref(L, LUA_REGISTRYINDEX);
    bind_request_new(L);
    runtime->request = luaL_ref(L, LUA_REGISTRYINDEX);
    purity_remember(L);
    return 0;
}

static void note_limit(const struct runtime *runtime) {
    if (!runtime->profile->simulator)
        state_metrics_limit(runtime->sandbox);
}

bool runtime_run(struct runtime *runtime, lua_CFunction function, void *argument, struct buffer *error) {
    lua_State *L = sandbox_state(runtime->sandbox);
    runtime->run++;
    lua_pushcfunction(L, function);
    lua_pushlightuserdata(L, argument);
    bool done = sandbox_call(runtime->sandbox, 1, 0, runtime->profile->entry) == LUA_OK;
    if (!done)
        buffer_text(error, lua_tostring(L, -1) ? lua_tostring(L, -1) : "unknown error");
    note_limit(runtime);
    lua_settop(L, 0);
    return done;
}

struct runtime *runtime_open(struct host *host, struct bundle *bundle, const struct profile *profile,
                             struct buffer *error) {
    struct runtime *runtime = calloc(1, sizeof *runtime);
    if (runtime)
        runtime->sandbox = sandbox_open(&profile->limits);
    if (!runtime || !runtime->sandbox) {
        free(runtime);
        return NULL;
    }
    runtime->context.host = host;
    runtime->bundle = bundle_reference(bundle);
    runtime->profile = profile;
    if (!profile->simulator)
        state_metrics_add(&runtime->counted, runtime->sandbox);
    if (!runtime_run(runtime, open_protected, runtime, error)) {
        runtime_close(runtime);
        return NULL;
    }
    return runtime;
}

/* What a state that serves on may hold between requests. */
static size_t usual_bytes(const struct runtime *runtime) {
    return runtime->profile->limits.memory_bytes / 4;
}

void runtime_close(struct runtime *runtime) {
    if (!runtime)
        return;
    state_metrics_remove(&runtime->counted);
    bool large = sandbox_spent(runtime->sandbox) || sandbox_memory(runtime->sandbox) > usual_bytes(runtime);
    sandbox_close(runtime->sandbox);
    if (large)
        malloc_trim(0); /* or each thread's arena would keep what the worst request on it took */
    bundle_release(runtime->bundle);
    free(runtime);
}

struct serve_arguments {
    struct runtime *runtime;
    const struct request *request;
    struct response *response;
};

static int serve_protected(lua_State *L) {
    struct serve_arguments *arguments = lua_touserdata(L, 1);
    struct runtime *runtime = arguments->runtime;
    lua_rawgeti(L, LUA_REGISTRYINDEX, runtime->handler);
    lua_rawgeti(L, LUA_REGISTRYINDEX, runtime->request);
    lua_call(L, 1, 1);
    bind_response_read(L, -1, arguments->response, runtime->profile->simulator);
    if (runtime->profile->simulator && lua_getfield(L, -1, "stream") == LUA_TFUNCTION)
        runtime->stream = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, 0);
    purity_restore(L);
    return 0;
}

static int restore_protected(lua_State *L) {
    purity_restore(L);
    return 0;
}

static void log_failure(const struct runtime *runtime, const struct request *request, const char *message) {
    struct buffer fields = {0};
    buffer_text(&fields, "\"error\":\"policy_error\",\"request_id\":");
    buffer_json_string(&fields, request->call->request_id, strlen(request->call->request_id));
    buffer_format(&fields, ",\"revision\":\"%s\",\"detail\":", runtime->bundle->revision);
    buffer_json_string(&fields, message, strlen(message));
    if (!fields.failed)
        log_event(LOG_ERROR, "a script failed; the request was denied", fields.data);
    buffer_free(&fields);
}

/* No change is without an audit line, also when the script ended before it wrote one. */
static void log_change(const struct request *request, const struct response *response) {
    const struct call_context *call = request->call;
    struct buffer fields = {0};
    buffer_text(&fields, "\"request_id\":");
    buffer_json_string(&fields, call->request_id, strlen(call->request_id));
    buffer_text(&fields, ",\"cluster\":");
    buffer_json_string(&fields, call->changed, strlen(call->changed));
    buffer_text(&fields, ",\"caller\":");
    buffer_json_string(&fields, response->caller, strlen(response->caller));
    buffer_text(&fields, ",\"result\":");
    const char *result = response->error[0] ? response->error : "changed";
    buffer_json_string(&fields, result, strlen(result));
    if (!fields.failed)
        log_event(LOG_AUDIT, "audit", fields.data);
    buffer_free(&fields);
}

static int collect_protected(lua_State *L) {
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

/* A rule's table stays as large as a request made it, also when it is as empty again as it was: the next request would
   miss that memory. */
static bool is_roomy(const struct runtime *runtime) {
    lua_State *L = sandbox_state(runtime->sandbox);
    if (runtime->profile->simulator || sandbox_memory(runtime->sandbox) <= usual_bytes(runtime))
        return true;
    lua_settop(L, 0);
    lua_pushcfunction(L, collect_protected);
    return sandbox_call(runtime->sandbox, 0, 0, "collection") == LUA_OK &&
           sandbox_memory(runtime->sandbox) <= usual_bytes(runtime);
}

bool runtime_serve(struct runtime *runtime, const struct request *request, struct response *response,
                   struct trace *trace) {
    lua_State *L = sandbox_state(runtime->sandbox);
    struct serve_arguments arguments = {runtime, request, response};
    runtime->context.call = request->call;
    runtime->run++;
    runtime->context.trace = trace;
    runtime->stream = 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, runtime->request);
    bind_request_set(L, -1, request, trace);
    lua_settop(L, 0);
    lua_pushcfunction(L, serve_protected);
    lua_pushlightuserdata(L, &arguments);
    bool served = sandbox_call(runtime->sandbox, 1, 0, runtime->profile->entry) == LUA_OK;
    if (!served) {
        const char *message = lua_tostring(L, -1);
        log_failure(runtime, request, message ? message : "unknown error");
        response_problem(
            response, 500, "policy_error",
            request->call->changed[0]
                ? "A rule of this service failed when the cluster may have been changed. The administrators' log says "
                  "why."
                : "A rule of this service failed, so the request was denied. The administrators' log says why.",
            request->call->request_id);
    }
    if (request->call->changed[0])
        log_change(request, response);
    bool reusable = !sandbox_spent(runtime->sandbox);
    note_limit(runtime);
    if (reusable && !served) { /* what the failed request left behind */
        lua_settop(L, 0);
        lua_pushcfunction(L, restore_protected);
        reusable = sandbox_call(runtime->sandbox, 0, 0, "purity") == LUA_OK;
    }
    if (reusable) {
        bind_kube_forget(L);
        lua_settop(L, 0);
        lua_rawgeti(L, LUA_REGISTRYINDEX, runtime->request);
        bind_request_set(L, -1, NULL, NULL);
        lua_settop(L, 0);
        reusable = is_roomy(runtime);
    }
    runtime->context.call = NULL;
    runtime->context.trace = NULL;
    return reusable;
}

int runtime_stream_take(struct runtime *runtime) {
    int stream = runtime->stream;
    runtime->stream = 0;
    return stream;
}

struct step_arguments {
    int stream;
    struct buffer *chunk;
    enum stream_step step;
};

static int step_protected(lua_State *L) {
    struct step_arguments *arguments = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, arguments->stream);
    lua_call(L, 0, 2);
    if (lua_type(L, -2) == LUA_TSTRING) {
        size_t length;
        const char *text = lua_tolstring(L, -2, &length);
        buffer_append(arguments->chunk, text, length);
        arguments->step = STREAM_DATA;
    } else if (lua_isnil(L, -2)) {
        arguments->step = lua_isnil(L, -1) ? STREAM_END : STREAM_ABORT;
    } else {
        arguments->step = STREAM_WAIT;
    }
    return 0;
}

enum stream_step runtime_stream_step(struct runtime *runtime, int stream, struct buffer *chunk) {
    struct step_arguments arguments = {stream, chunk, STREAM_ABORT};
    struct buffer error = {0};
    if (!runtime_run(runtime, step_protected, &arguments, &error)) {
        log_line(LOG_ERROR, "a stream failed: %s", error.length ? error.data : "");
        arguments.step = STREAM_ABORT;
    }
    buffer_free(&error);
    return arguments.step;
}

void runtime_stream_drop(struct runtime *runtime, int stream) {
    luaL_unref(sandbox_state(runtime->sandbox), LUA_REGISTRYINDEX, stream);
}
