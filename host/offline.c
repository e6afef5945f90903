#include "offline.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "purity.h"
#include "serve.h"

extern const char embedded_decide[]; /* host/decide.lua */

static const char functions_key; /* registry: what it returned */

struct offline {
    struct config config;
    struct host host;
    struct bundle *bundle;
    struct runtime *runtime;
};

/* ---- where an answer was returned ---- */

static int f_trace(lua_State *L);

static char returned_at[160]; /* of the decision that is traced: commands have one thread */

/* Remembers the line of the return to f_trace: the frame above is decide, or what it ended in by a tail call. */
static void on_return(lua_State *L, lua_Debug *event) {
    lua_Debug caller;
    if (!lua_getstack(L, 1, &caller))
        return;
    lua_getinfo(L, "f", &caller);
    bool last = lua_tocfunction(L, -1) == f_trace;
    lua_pop(L, 1);
    if (!last)
        return;
    lua_getinfo(L, "Sl", event);
    if (event->currentline > 0)
        snprintf(returned_at, sizeof returned_at, "%s:%d", event->short_src, event->currentline);
}

/* trace(decide, …) -> "policies/x.lua:7" or nil, what decide returns. The hook gives way to the sandbox's own, which
   ends a run, and is not taken away then. */
static int f_trace(lua_State *L) {
    returned_at[0] = '\0';
    lua_sethook(L, on_return, LUA_MASKRET, 0);
    int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    if (lua_gethook(L) == on_return)
        lua_sethook(L, NULL, 0, 0);
    if (status != LUA_OK)
        return lua_error(L);
    if (returned_at[0])
        lua_pushstring(L, returned_at);
    else
        lua_pushnil(L);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int f_restore(lua_State *L) {
    purity_restore(L);
    return 0;
}

/* ---- opening ---- */

static int load_protected(lua_State *L) {
    const struct offline *offline = lua_touserdata(L, 1);
    for (size_t i = 0; i < offline->bundle->file_count; i++) {
        if (!purity_applies(offline->bundle->files[i].module))
            continue;
        runtime_require(L, offline->bundle->files[i].module);
        lua_pop(L, 1);
    }
    purity_remember(L);
    if (luaL_loadbufferx(L, embedded_decide, strlen(embedded_decide), "@host/decide.lua", "t") != LUA_OK)
        return lua_error(L);
    lua_pushcfunction(L, f_trace);
    lua_pushcfunction(L, f_restore);
    lua_call(L, 2, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &functions_key);
    return 0;
}

/* A state of its own, also in place of one that a limit has spent. */
static bool open_runtime(struct offline *offline, struct buffer *error) {
    runtime_close(offline->runtime);
    offline->runtime = runtime_open(&offline->host, offline->bundle, &serve_profile, error);
    return offline->runtime && runtime_run(offline->runtime, load_protected, offline, error);
}

struct offline *offline_open(const char *policies, struct buffer *error) {
    struct offline *offline = calloc(1, sizeof *offline);
    if (!offline) {
        buffer_text(error, "out of memory");
        return NULL;
    }
    offline->host.config = &offline->config;
    if (program_start(&offline->config, lookup_environment, error)) {
        log_stop(); /* the answer says what a limit ended */
        if (policies)
            offline->config.policies_dir = policies;
        offline->bundle = serve_bundle(&offline->config, error);
    }
    if (offline->bundle && open_runtime(offline, error))
        return offline;
    offline_close(offline);
    return NULL;
}

void offline_close(struct offline *offline) {
    if (!offline)
        return;
    runtime_close(offline->runtime);
    bundle_release(offline->bundle);
    program_stop();
    free(offline);
}

/* ---- calling ---- */

struct call {
    const char *function;
    const struct span *arguments;
    size_t count;
    struct buffer *results[2];
};

static int call_protected(lua_State *L) {
    const struct call *call = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &functions_key);
    lua_getfield(L, -1, call->function);
    for (size_t i = 0; i < call->count; i++)
        lua_pushlstring(L, call->arguments[i].data, call->arguments[i].length);
    lua_call(L, (int)call->count, 2);
    for (int i = 0; i < 2; i++) {
        size_t length;
        const char *text = lua_tolstring(L, i - 2, &length);
        if (text)
            buffer_append(call->results[i], text, length);
    }
    return 0;
}

bool offline_call(struct offline *offline, const char *function, const struct span *arguments, size_t count,
                  struct buffer *first, struct buffer *second) {
    struct call call = {function, arguments, count, {first, second}};
    struct buffer error = {0};
    if (!offline->runtime && !open_runtime(offline, second))
        return false;
    if (runtime_run(offline->runtime, call_protected, &call, &error))
        return true;
    buffer_clear(second);
    buffer_append(second, error.data, strcspn(error.data, "\n")); /* without the traceback */
    buffer_clear(&error);
    if (!open_runtime(offline, &error)) {
        runtime_close(offline->runtime);
        offline->runtime = NULL;
    }
    buffer_free(&error);
    return false;
}
