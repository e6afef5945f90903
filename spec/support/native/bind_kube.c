/* `require "native.bind_kube"`: the Lua module kube against a scripted API server. */
#include <stdio.h>

#include "bind/bind.h"
#include "bind/kube.h"
#include "clock.h"
#include "config.h"
#include "host.h"
#include "kube_client.h"
#include "kube_object.h"
#include "message.h"
#include "scripted_server.h"

int luaopen_native_bind_kube(lua_State *L);

static struct scripted_server server;
static struct call_context call;
static struct config config = {.compute_namespace = "domino-compute"};
static struct host host = {.config = &config};
static struct bind_context context = {.host = &host, .call = &call};

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

/* open(): starts the server and gives the module kube for a request */
static int f_open(lua_State *L) {
    char path[] = "/tmp/kubeconfig-XXXXXX", error[256] = "";
    if (!scripted_start(&server) || !scripted_kubeconfig(&server, path))
        return luaL_error(L, "no server");
    host.http = http_client_new();
    host.kube = kube_open(host.http, path, no_environment, error, sizeof error);
    unlink(path);
    if (!host.kube)
        return luaL_error(L, "%s", error);
    context.call = &call;
    call = (struct call_context){.deadline_ms = clock_monotonic_ms() + 10000};
    bind_context_set(L, &context);
    return luaopen_bind_kube(L);
}

static int f_close(lua_State *L) {
    (void)L;
    scripted_stop(&server);
    kube_close(host.kube);
    http_client_free(host.http);
    host.kube = NULL;
    host.http = NULL;
    return 0;
}

static int f_say(lua_State *L) {
    scripted_say(L, &server, 1);
    return 0;
}

static int f_asked(lua_State *L) {
    scripted_asked(L, &server);
    return 1;
}

static int f_deadline(lua_State *L) {
    call.deadline_ms = clock_monotonic_ms() + luaL_checkinteger(L, 1);
    return 0;
}

static int f_loading(lua_State *L) {
    context.call = lua_toboolean(L, 1) ? NULL : &call;
    return 0;
}

static int f_calls(lua_State *L) {
    lua_pushinteger(L, call.upstream_calls);
    return 1;
}

static int f_open_module(lua_State *L) {
    return luaopen_bind_kube(L);
}

static int f_forget(lua_State *L) {
    bind_kube_forget(L);
    return 0;
}

static int f_json(lua_State *L) {
    return luaopen_bind_json(L);
}

/* piece(object) -> text, whether it is the object's whole owner */
static int f_piece(lua_State *L) {
    const struct kube_object *object = bind_kube_object(L, 1);
    if (!object)
        return 0;
    lua_pushlstring(L, object->text.data, object->text.length);
    lua_pushboolean(L, object->text.length == object->owner->length);
    return 2;
}

static const luaL_Reg functions[] = {{"open", f_open},       {"open_module", f_open_module},
                                     {"close", f_close},     {"say", f_say},
                                     {"asked", f_asked},     {"deadline", f_deadline},
                                     {"loading", f_loading}, {"calls", f_calls},
                                     {"forget", f_forget},   {"json", f_json},
                                     {"piece", f_piece},     {NULL, NULL}};

int luaopen_native_bind_kube(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
