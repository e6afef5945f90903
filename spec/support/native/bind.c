/* `require "native.bind"`: bindings in the state of the specs, with a request that is made up. */
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bind/bind.h"
#include "config.h"
#include "decision_log.h"
#include "host.h"
#include "log.h"
#include "message.h"
#include "metrics.h"

int luaopen_native_bind(lua_State *L);

static struct call_context call;
static struct config config;
static struct host host = {.config = &config};
static struct bind_context context = {.host = &host};
static int log_file = -1;

/* serve(id): as while a request is served; serve(nil): as while a bundle loads */
static int f_serve(lua_State *L) {
    context.call = lua_isnoneornil(L, 1) ? NULL : &call;
    snprintf(call.request_id, sizeof call.request_id, "%s", luaL_optstring(L, 1, ""));
    snprintf(call.revision, sizeof call.revision, "%s", "0123456789ab");
    return 0;
}

static int f_open(lua_State *L) {
    static const struct {
        const char *name;
        lua_CFunction open;
    } modules[] = {
        {"config", luaopen_bind_config}, {"clock", luaopen_bind_clock}, {"decisions", luaopen_bind_decisions},
        {"json", luaopen_bind_json},     {"log", luaopen_bind_log},     {"metrics", luaopen_bind_metrics}};
    const char *name = luaL_checkstring(L, 1);
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (strcmp(modules[i].name, name) == 0)
            return modules[i].open(L);
    return luaL_error(L, "no module '%s'", name);
}

/* decisions_open(path, rate) -> true | false, message */
static int f_decisions_open(lua_State *L) {
    struct buffer error = {0};
    lua_pushboolean(L, decision_log_open(luaL_checkstring(L, 1), luaL_checknumber(L, 2), &error));
    lua_pushstring(L, error.data);
    buffer_free(&error);
    return 2;
}

static int f_decisions_close(lua_State *L) {
    (void)L;
    decision_log_close();
    return 0;
}

/* log_start(level, path) */
static int f_log_start(lua_State *L) {
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    int level = luaL_checkoption(L, 1, NULL, levels);
    log_file = open(luaL_checkstring(L, 2), O_WRONLY | O_TRUNC | O_CLOEXEC);
    lua_pushboolean(L, log_file >= 0 && log_start((enum log_level)level, log_file));
    return 1;
}

static int f_log_stop(lua_State *L) {
    (void)L;
    log_stop();
    close(log_file);
    return 0;
}

static int f_metrics_text(lua_State *L) {
    struct buffer text = {0};
    buffer_text(&text, "");
    metrics_text(&text);
    lua_pushlstring(L, text.data, text.length);
    buffer_free(&text);
    return 1;
}

/* As the host itself does; of one label, "x". */
static int f_declare_counter(lua_State *L) {
    lua_pushboolean(L, metric_family(METRIC_COUNTER, luaL_checkstring(L, 1), "Help.", "x") != NULL);
    return 1;
}

static const luaL_Reg functions[] = {
    {"serve", f_serve},
    {"open", f_open},
    {"decisions_open", f_decisions_open},
    {"decisions_close", f_decisions_close},
    {"log_start", f_log_start},
    {"log_stop", f_log_stop},
    {"metrics_text", f_metrics_text},
    {"declare_counter", f_declare_counter},
    {NULL, NULL},
};

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

int luaopen_native_bind(lua_State *L) {
    char error[256];
    if (!config_read(&config, no_environment, error, sizeof error))
        return luaL_error(L, "%s", error);
    bind_context_set(L, &context);
    luaL_newlib(L, functions);
    return 1;
}
