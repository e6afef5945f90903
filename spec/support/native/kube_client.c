/* `require "native.kube_client"`: host/kube_client.h. */
#include "kube_client.h"
#include "exchange.h"

int luaopen_native_kube_client(lua_State *L);

enum { MAX_VARIABLES = 8 };

/* The environment that kube_open sees; the strings belong to the table given to open. */
static struct header environment[MAX_VARIABLES];
static size_t environment_size;

static const char *lookup(const char *name) {
    for (size_t i = 0; i < environment_size; i++)
        if (strcmp(environment[i].name, name) == 0)
            return environment[i].value;
    return NULL;
}

struct native_kube {
    struct http_client *client;
    struct kube *kube;
};

static struct kube *check_kube(lua_State *L) {
    return ((struct native_kube *)luaL_checkudata(L, 1, "native.kube_client"))->kube;
}

/* open(kubeconfig, { NAME = value, … }) gives a client, or nil and the line. */
static int f_open(lua_State *L) {
    const char *kubeconfig = luaL_checkstring(L, 1);
    environment_size = 0;
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        if (environment_size < MAX_VARIABLES)
            environment[environment_size++] = (struct header){luaL_checkstring(L, -2), luaL_checkstring(L, -1)};
    struct native_kube *native = lua_newuserdata(L, sizeof *native);
    *native = (struct native_kube){0};
    luaL_setmetatable(L, "native.kube_client");
    char error[512] = "";
    native->client = http_client_new();
    native->kube = kube_open(native->client, kubeconfig, lookup, error, sizeof error);
    if (native->kube)
        return 1;
    lua_pushnil(L);
    lua_pushstring(L, error);
    return 2;
}

static int f_gc(lua_State *L) {
    struct native_kube *native = luaL_checkudata(L, 1, "native.kube_client");
    kube_close(native->kube);
    http_client_free(native->client);
    return 0;
}

static int f_describe(lua_State *L) {
    lua_pushstring(L, kube_describe(check_kube(L)));
    return 1;
}

static int f_namespace(lua_State *L) {
    lua_pushstring(L, kube_namespace(check_kube(L)));
    return 1;
}

/* kube:perform(path_and_query, exchange) */
static int f_perform(lua_State *L) {
    struct native_exchange native;
    exchange_read(L, 3, &native);
    kube_perform(check_kube(L), luaL_checkstring(L, 2), &native.exchange);
    exchange_push(L, &native);
    return 1;
}

static bool on_bytes(void *context, const char *data, size_t length) {
    buffer_append(context, data, length);
    return true;
}

/* kube:stream(path_and_query, exchange, idle_timeout_ms) */
static int f_stream(lua_State *L) {
    struct native_exchange native;
    struct buffer streamed = {0};
    atomic_bool cancel = false;
    exchange_read(L, 3, &native);
    kube_stream(check_kube(L), luaL_checkstring(L, 2), &native.exchange, luaL_checkinteger(L, 4), on_bytes, &streamed,
                &cancel);
    exchange_push(L, &native);
    lua_pushlstring(L, streamed.data ? streamed.data : "", streamed.length);
    lua_setfield(L, -2, "streamed");
    buffer_free(&streamed);
    return 1;
}

static const luaL_Reg methods[] = {{"describe", f_describe}, {"namespace", f_namespace},
                                   {"perform", f_perform},   {"stream", f_stream},
                                   {"__gc", f_gc},           {NULL, NULL}};
static const luaL_Reg functions[] = {{"open", f_open}, {NULL, NULL}};

int luaopen_native_kube_client(lua_State *L) {
    luaL_newmetatable(L, "native.kube_client");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
