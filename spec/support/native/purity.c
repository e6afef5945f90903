/* `require "native.purity"`: bundles that are served and proven without a server. */
#include <lauxlib.h>
#include <string.h>

#include "bundle.h"
#include "clock.h"
#include "config.h"
#include "host.h"
#include "proof.h"
#include "purity.h"
#include "runtime.h"

int luaopen_native_purity(lua_State *L);

static const struct profile profile = {
    .entry = "scripts.app",
    .limits = {.memory_bytes = 32 * 1024 * 1024, .cpu_soft_ms = 50, .cpu_hard_ms = 250},
    .max_states = 1,
};
static struct config config;
static struct host host = {.config = &config};
static const char type_name[] = "native.purity";

/* Pushes nil and the message. */
static int fail(lua_State *L, struct buffer *error) {
    lua_pushnil(L);
    lua_pushlstring(L, error->data ? error->data : "", error->length);
    buffer_free(error);
    return 2;
}

static struct bundle *read_bundle(lua_State *L, struct buffer *error) {
    const struct bundle_source sources[] = {{"scripts", luaL_checkstring(L, 1)}, {"policies", luaL_checkstring(L, 2)}};
    return bundle_read(sources, 2, error);
}

/* open(scripts, policies) -> state; or nil, message */
static int f_open(lua_State *L) {
    struct buffer error = {0};
    struct bundle *bundle = read_bundle(L, &error);
    struct runtime *runtime = bundle ? runtime_open(&host, bundle, &profile, &error) : NULL;
    bundle_release(bundle);
    if (!runtime)
        return fail(L, &error);
    struct runtime **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = runtime;
    luaL_setmetatable(L, type_name);
    return 1;
}

/* prove(scripts, policies) -> true; or nil, findings */
static int f_prove(lua_State *L) {
    struct buffer findings = {0};
    struct bundle *bundle = read_bundle(L, &findings);
    bool valid = bundle && proof_run(&host, bundle, &profile, &(struct proof_options){false}, &findings);
    bundle_release(bundle);
    if (!valid)
        return fail(L, &findings);
    buffer_free(&findings);
    lua_pushboolean(L, 1);
    return 1;
}

/* state:serve([path]) -> body, status */
static int f_serve(lua_State *L) {
    struct runtime **box = luaL_checkudata(L, 1, type_name);
    struct call_context call = {.deadline_ms = clock_monotonic_ms() + 5000, .request_id = "id"};
    struct request request = {.method = "GET", .path = luaL_optstring(L, 2, "/"), .query = "", .call = &call};
    struct response response = {0};
    luaL_Buffer body;
    luaL_argcheck(L, *box, 1, "closed");
    bool reusable = runtime_serve(*box, &request, &response, NULL);
    luaL_buffinit(L, &body);
    for (size_t i = 0; i < response.piece_count; i++)
        luaL_addlstring(&body, response.pieces[i].span.data, response.pieces[i].span.length);
    luaL_pushresult(&body);
    lua_pushinteger(L, response.status);
    response_free(&response);
    if (!reusable) {
        runtime_close(*box);
        *box = NULL;
    }
    return 2;
}

static int f_close(lua_State *L) {
    struct runtime **box = luaL_checkudata(L, 1, type_name);
    runtime_close(*box);
    *box = NULL;
    return 0;
}

struct measurement {
    lua_Integer times;
    int64_t us;
};

static int restore_often(lua_State *L) {
    struct measurement *measurement = lua_touserdata(L, 1);
    int64_t start = clock_monotonic_us();
    for (lua_Integer i = 0; i < measurement->times; i++)
        purity_restore(L);
    measurement->us = clock_monotonic_us() - start;
    return 0;
}

/* state:measure(times) -> microseconds that so many restores took */
static int f_measure(lua_State *L) {
    struct runtime **box = luaL_checkudata(L, 1, type_name);
    struct measurement measurement = {.times = luaL_checkinteger(L, 2)};
    struct buffer error = {0};
    if (!runtime_run(*box, restore_often, &measurement, &error))
        return fail(L, &error);
    lua_pushinteger(L, measurement.us);
    return 1;
}

static const luaL_Reg functions[] = {{"open", f_open}, {"prove", f_prove}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"serve", f_serve}, {"measure", f_measure}, {"close", f_close}, {"__gc", f_close}, {NULL, NULL}};

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

int luaopen_native_purity(lua_State *L) {
    char error[256];
    if (!config_read(&config, no_environment, error, sizeof error))
        return luaL_error(L, "%s", error);
    luaL_newmetatable(L, type_name);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
