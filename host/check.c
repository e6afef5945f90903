/* `check` and `routes`: look into the scripts and policies of this directory, as the service would load them. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "proof.h"
#include "serve.h"

/* Everything but `kube`, which is not needed before a request. */
static struct bundle *open_bundle(struct config *config, struct host *host, struct buffer *error) {
    *host = (struct host){.config = config};
    return program_start(config, lookup_environment, error) ? serve_bundle(config, error) : NULL;
}

int command_check(void) {
    struct config config;
    struct host host;
    struct buffer findings = {0};
    struct bundle *bundle = open_bundle(&config, &host, &findings);
    const struct proof_options options = {.examples_optional = bundle && config.policy_examples_optional};
    bool valid = bundle && proof_run(&host, bundle, &serve_profile, &options, &findings);
    program_stop();
    if (valid)
        printf("%zu files, revision %s: everything is fine\n", bundle->file_count, bundle->revision);
    else
        printf("%s\n", findings.length ? findings.data : "out of memory");
    bundle_release(bundle);
    buffer_free(&findings);
    return valid ? 0 : 1;
}

static const char *text_field(lua_State *L, int field) {
    lua_geti(L, -1, field);
    const char *text = luaL_checkstring(L, -1);
    lua_pop(L, 1); /* still in the route */
    return text;
}

static int print_routes(lua_State *L) {
    runtime_require(L, "scripts.routes");
    lua_Integer count = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_geti(L, -1, i);
        const char *method = text_field(L, 1), *path = text_field(L, 2);
        lua_getfield(L, -1, "action");
        const char *action = luaL_checkstring(L, -1);
        lua_pop(L, 1);
        lua_Debug run = {0};
        if (lua_getfield(L, -1, "run") == LUA_TFUNCTION)
            lua_getinfo(L, ">S", &run);
        else
            lua_pop(L, 1);
        printf("%-6s %-28s %-8s %s\n", method, path, action, run.source ? run.source + 1 : "?");
        lua_pop(L, 1);
    }
    return 0;
}

int command_routes(void) {
    struct config config;
    struct host host;
    struct buffer error = {0};
    struct bundle *bundle = open_bundle(&config, &host, &error);
    struct runtime *runtime = bundle ? runtime_open(&host, bundle, &serve_profile, &error) : NULL;
    bool printed = runtime && runtime_run(runtime, print_routes, NULL, &error);
    runtime_close(runtime);
    bundle_release(bundle);
    program_stop();
    return printed ? 0 : program_fail(&error);
}
