#include "proof.h"

#include <lauxlib.h>
#include <string.h>

#include "purity.h"

extern const char embedded_proof[]; /* host/proof.lua */

struct proof {
    const struct bundle *bundle;
    const struct proof_options *options;
    struct buffer *findings;
};

static void add_finding(struct buffer *findings, const char *text) {
    if (findings->length)
        buffer_text(findings, "\n");
    buffer_text(findings, text);
}

static int require_protected(lua_State *L) {
    runtime_require(L, lua_tostring(L, 1));
    return 1;
}

/* Pushes the module's value; false with a finding when it does not load. */
static bool load_module(lua_State *L, const struct proof *proof, const struct bundle_file *file) {
    lua_pushcfunction(L, require_protected);
    lua_pushstring(L, file->module);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        return true;
    struct buffer text = {0};
    buffer_format(&text, "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "does not load");
    if (!strstr(text.data, file->path)) {
        buffer_clear(&text);
        buffer_format(&text, "%s: %s", file->path, lua_tostring(L, -1) ? lua_tostring(L, -1) : "does not load");
    }
    add_finding(proof->findings, text.data);
    buffer_free(&text);
    lua_pop(L, 1);
    return false;
}

/* Calls a function of host/proof.lua with the arguments on top and adds what it returns: a list of strings. */
static void ask(lua_State *L, const struct proof *proof, int module, const char *function, int arguments) {
    lua_getfield(L, module, function);
    lua_insert(L, -1 - arguments);
    lua_call(L, arguments, 1);
    lua_Integer count = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_geti(L, -1, i);
        add_finding(proof->findings, luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static int f_restore(lua_State *L) {
    purity_restore(L);
    return 0;
}

/* The bundle itself says what it holds a policy to, in scripts/rules.lua. */
static void push_options(lua_State *L, const struct proof *proof) {
    lua_createtable(L, 0, 3);
    lua_pushboolean(L, proof->options->examples_optional);
    lua_setfield(L, -2, "examples_optional");
    lua_pushcfunction(L, f_restore);
    lua_setfield(L, -2, "restore");
    if (bundle_find(proof->bundle, "scripts.rules")) {
        runtime_require(L, "scripts.rules");
        if (lua_istable(L, -1)) {
            lua_getfield(L, -1, "contracts");
            lua_setfield(L, -3, "contracts");
        }
        lua_pop(L, 1);
    }
}

static int prove(lua_State *L) {
    const struct proof *proof = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, embedded_proof, strlen(embedded_proof), "@host/proof.lua", "t") != LUA_OK)
        lua_error(L);
    lua_call(L, 0, 1);
    int module = lua_gettop(L);
    lua_newtable(L);
    int policies = lua_gettop(L);
    for (size_t i = 0; i < proof->bundle->file_count; i++) {
        const struct bundle_file *file = &proof->bundle->files[i];
        if (!load_module(L, proof, file))
            continue;
        if (strcmp(file->module, "scripts.routes") == 0) {
            ask(L, proof, module, "routes", 1);
        } else if (purity_applies(file->module)) {
            lua_createtable(L, 0, 3);
            lua_insert(L, -2);
            lua_setfield(L, -2, "value");
            purity_push_examples(L, file->module);
            lua_setfield(L, -2, "examples");
            lua_pushstring(L, file->module);
            lua_setfield(L, -2, "module");
            lua_seti(L, policies, luaL_len(L, policies) + 1);
        } else {
            lua_pop(L, 1);
        }
    }
    purity_remember(L); /* those too that no endpoint asks yet */
    lua_pushvalue(L, policies);
    push_options(L, proof);
    ask(L, proof, module, "policies", 2);
    return 0;
}

bool proof_run(struct host *host, struct bundle *bundle, const struct profile *profile,
               const struct proof_options *options, struct buffer *findings) {
    struct buffer error = {0};
    struct proof proof = {bundle, options, findings};
    struct runtime *runtime = runtime_open(host, bundle, profile, &error);
    if (!runtime || !runtime_run(runtime, prove, &proof, &error))
        add_finding(findings, error.length ? error.data : "out of memory");
    runtime_close(runtime);
    buffer_free(&error);
    return findings->length == 0 && !findings->failed;
}
