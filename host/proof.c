#include "proof.h"

#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "globals.h"
#include "purity.h"
#include "state_metrics.h"

extern const char embedded_proof[]; /* host/proof.lua */

enum {
    MAX_FINDINGS = 50, /* a broken bundle need not be explained to its last line */
    MAX_FINDING_BYTES = 500,
};

struct proof {
    const struct bundle *bundle;
    const struct proof_options *options;
    struct buffer *findings;
    size_t count;
    const struct bundle_file *current; /* being looked at */
    /* Here, and not in the functions that use them, so that a Lua error loses nothing. */
    struct buffer code;
    struct global_uses globals;
};

/* ---- findings ---- */

/* The length of a "policies/x.lua:12:" at the start of text; 0 when there is none. */
static size_t location_length(const struct bundle *bundle, const char *text) {
    for (size_t i = 0; i < bundle->file_count; i++) {
        size_t length = strlen(bundle->files[i].path);
        if (strncmp(text, bundle->files[i].path, length) != 0 || text[length] != ':')
            continue;
        size_t digits = strspn(text + length + 1, "0123456789");
        if (digits && text[length + 1 + digits] == ':')
            return length + 1 + digits + 1;
    }
    return 0;
}

static const char *next_traceback_line(const char *text) {
    const char *line = strstr(text, "\n\t");
    return line ? line + 2 : NULL;
}

/* Where the text's own location is missing, the innermost of its traceback that lies in the bundle must do. */
static void append_location(struct buffer *out, const struct proof *proof, const char *text) {
    if (location_length(proof->bundle, text))
        return;
    for (const char *line = next_traceback_line(text); line; line = next_traceback_line(line)) {
        size_t length = location_length(proof->bundle, line);
        if (length) {
            buffer_append(out, line, length);
            buffer_text(out, " ");
            return;
        }
    }
    if (proof->current)
        buffer_format(out, "%s:1: ", proof->current->path);
}

/* One line, whatever a script had to say. */
static void add_finding(struct proof *proof, const char *text) {
    struct buffer *out = proof->findings;
    if (++proof->count > MAX_FINDINGS) {
        if (proof->count == MAX_FINDINGS + 1)
            buffer_text(out, "\nand more");
        return;
    }
    if (out->length)
        buffer_text(out, "\n");
    append_location(out, proof, text);
    const char *traceback = next_traceback_line(text);
    size_t length = traceback ? (size_t)(traceback - text) - 2 : strlen(text);
    for (size_t i = 0; i < length && i < MAX_FINDING_BYTES; i++)
        buffer_append(out, iscntrl((unsigned char)text[i]) ? " " : text + i, 1);
    if (length > MAX_FINDING_BYTES)
        buffer_text(out, "…");
}

static const char *message_of(lua_State *L) {
    return lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "fails with an error that is no text";
}

/* ---- what the text alone tells ---- */

static int write_code(lua_State *L, const void *data, size_t length, void *context) {
    struct buffer *code = context;
    (void)L;
    buffer_append(code, data, length);
    return code->failed;
}

static int f_get_global(lua_State *L) {
    lua_pushglobaltable(L);
    lua_pushvalue(L, 1);
    lua_gettable(L, -2);
    return 1;
}

static bool is_defined(lua_State *L, const struct global_use *use) {
    lua_pushcfunction(L, f_get_global);
    lua_pushlstring(L, use->name, use->length);
    bool defined = lua_pcall(L, 1, 1, 0) == LUA_OK; /* the sandbox raises for what it does not know */
    lua_pop(L, 1);
    return defined;
}

static void check_global(lua_State *L, struct proof *proof, const struct global_use *use) {
    if (!use->assigned && is_defined(L, use))
        return;
    struct buffer text = {0};
    buffer_format(&text, "%s:%d: %s global '%.*s'", proof->current->path, use->line,
                  use->assigned ? "assigns to" : "undefined", use->length < 100 ? (int)use->length : 100, use->name);
    if (!text.failed)
        add_finding(proof, text.data);
    buffer_free(&text);
}

/* With the chunk on top. */
static void check_globals(lua_State *L, struct proof *proof) {
    buffer_clear(&proof->code);
    lua_dump(L, write_code, &proof->code, 0);
    if (proof->code.failed || !globals_find(proof->code.data, proof->code.length, &proof->globals)) {
        add_finding(proof, "cannot be searched for globals");
        return;
    }
    for (size_t i = 0; i < proof->globals.count; i++)
        check_global(L, proof, &proof->globals.uses[i]);
    free(proof->globals.uses);
    proof->globals = (struct global_uses){0};
}

static int check_texts(lua_State *L) {
    struct proof *proof = lua_touserdata(L, 1);
    runtime_open_globals(L);
    for (size_t i = 0; i < proof->bundle->file_count; i++) {
        const struct bundle_file *file = proof->current = &proof->bundle->files[i];
        const char *chunk = lua_pushfstring(L, "@%s", file->path);
        if (sandbox_load(sandbox_of(L), file->source->data, file->source->length, chunk) == LUA_OK)
            check_globals(L, proof);
        else
            add_finding(proof, message_of(L));
        lua_settop(L, 1);
        sandbox_check(L);
    }
    return 0;
}

/* In a state without modules: nothing of the bundle runs. */
static bool prove_texts(struct proof *proof, const struct profile *profile) {
    struct sandbox *sandbox = sandbox_open(&profile->limits);
    if (!sandbox)
        return false;
    lua_State *L = sandbox_state(sandbox);
    lua_pushcfunction(L, check_texts);
    lua_pushlightuserdata(L, proof);
    if (sandbox_call(sandbox, 1, 0, "the proof") != LUA_OK)
        add_finding(proof, message_of(L));
    state_metrics_limit(sandbox);
    sandbox_close(sandbox);
    buffer_free(&proof->code);
    free(proof->globals.uses);
    return proof->count == 0;
}

/* ---- what running it tells ---- */

static int require_protected(lua_State *L) {
    runtime_require(L, lua_tostring(L, 1));
    return 1;
}

/* Pushes the module's value; false with a finding when it does not load. */
static bool load_module(lua_State *L, struct proof *proof) {
    lua_pushcfunction(L, require_protected);
    lua_pushstring(L, proof->current->module);
    int status = lua_pcall(L, 1, 1, 0);
    if (status == LUA_OK)
        return true;
    sandbox_check(L);
    if (status == LUA_ERRMEM)
        lua_error(L);
    add_finding(proof, message_of(L));
    lua_pop(L, 1);
    return false;
}

/* Calls a function of host/proof.lua with the arguments on top and adds what it returns: a list of strings. */
static void ask(lua_State *L, struct proof *proof, int module, const char *function, int arguments) {
    lua_getfield(L, module, function);
    lua_insert(L, -1 - arguments);
    lua_call(L, arguments, 1);
    lua_Integer count = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_geti(L, -1, i);
        add_finding(proof, luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

static int f_restore(lua_State *L) {
    purity_restore(L);
    return 0;
}

/* Replaces a module's value by what host/proof.lua knows of a module. */
static void wrap_module(lua_State *L, const struct bundle_file *file) {
    sandbox_thaw(L);
    lua_createtable(L, 0, 5);
    lua_insert(L, -2);
    lua_setfield(L, -2, "value");
    purity_push_examples(L, file->module);
    lua_setfield(L, -2, "examples");
    lua_pushstring(L, file->module);
    lua_setfield(L, -2, "module");
    lua_pushstring(L, file->path);
    lua_setfield(L, -2, "path");
    lua_pushlstring(L, file->source->data, file->source->length);
    lua_setfield(L, -2, "source");
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

static int prove_modules(lua_State *L) {
    struct proof *proof = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, embedded_proof, strlen(embedded_proof), "@host/proof.lua", "t") != LUA_OK)
        lua_error(L);
    lua_call(L, 0, 1);
    int module = lua_gettop(L);
    lua_newtable(L);
    int policies = lua_gettop(L);
    lua_pushnil(L);
    int routes = lua_gettop(L);
    for (size_t i = 0; i < proof->bundle->file_count; i++) {
        const struct bundle_file *file = proof->current = &proof->bundle->files[i];
        if (!load_module(L, proof))
            continue;
        wrap_module(L, file);
        if (strcmp(file->module, "scripts.routes") == 0)
            lua_replace(L, routes);
        else if (purity_applies(file->module))
            lua_seti(L, policies, luaL_len(L, policies) + 1);
        else
            lua_pop(L, 1);
    }
    proof->current = NULL;
    if (proof->count)
        return 0;       /* the rest would only say it again */
    purity_remember(L); /* those too that no endpoint asks yet */
    lua_pushvalue(L, policies);
    push_options(L, proof);
    ask(L, proof, module, "policies", 2);
    if (!lua_isnil(L, routes)) {
        lua_pushvalue(L, routes);
        lua_pushvalue(L, policies);
        ask(L, proof, module, "routes", 2);
    }
    return 0;
}

bool proof_run(struct host *host, struct bundle *bundle, const struct profile *profile,
               const struct proof_options *options, struct buffer *findings) {
    struct proof proof = {.bundle = bundle, .options = options, .findings = findings};
    if (!prove_texts(&proof, profile))
        return false;
    struct buffer error = {0};
    struct runtime *runtime = runtime_open(host, bundle, profile, &error);
    proof.current = bundle_find(bundle, profile->entry);
    bool proven = runtime && runtime_run(runtime, prove_modules, &proof, &error);
    runtime_close(runtime);
    if (!proven && error.length)
        add_finding(&proof, error.data);
    buffer_free(&error);
    return proven && proof.count == 0 && !findings->failed;
}
