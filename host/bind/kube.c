#include "bind/kube.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json.h"
#include "config.h"
#include "kube_resource.h"
#include "runtime.h"

static const char RESOURCE[] = "kube.resource", RESULT[] = "kube.result"; /* metatables */

static const char DEFAULT_FIELD_MANAGER[] = "rayclusterscaler";

/* ---- Results: what a call brings, owned by a userdata that is there before the call ---- */

struct result {
    struct kube_object *object;
    struct kube_list list;
    struct kube_failure failure;
};

static void clear_result(struct result *result) {
    kube_object_release(result->object);
    kube_list_free(&result->list);
    kube_failure_free(&result->failure);
    *result = (struct result){0};
}

static int f_clear_result(lua_State *L) {
    clear_result(lua_touserdata(L, 1));
    return 0;
}

static struct result *push_result(lua_State *L) {
    struct result *result = lua_newuserdatauv(L, sizeof *result, 0);
    *result = (struct result){0};
    luaL_setmetatable(L, RESULT);
    return result;
}

static int return_failure(lua_State *L, struct result *result) {
    lua_pushnil(L);
    bind_kube_push_failure(L, &result->failure);
    clear_result(result);
    return 2;
}

static int return_object(lua_State *L, struct result *result, bool done) {
    if (!done)
        return return_failure(L, result);
    bind_kube_push_object(L, &result->object);
    return 1;
}

/* ---- Resources ---- */

static const struct kube_resource *check_resource(lua_State *L) {
    return *(struct kube_resource **)luaL_checkudata(L, 1, RESOURCE);
}

static struct kube_caller check_caller(lua_State *L) {
    struct call_context *call = runtime_call(L);
    if (!call)
        luaL_error(L, "the API server is there for requests, not while a bundle loads");
    if (!runtime_host(L)->kube)
        luaL_error(L, "no API server is configured");
    return (struct kube_caller){.kube = runtime_host(L)->kube, .context = call, .retries = KUBE_DEFAULT_RETRIES};
}

static const char *check_name(lua_State *L) {
    size_t length;
    const char *name = luaL_checklstring(L, 2, &length);
    luaL_argcheck(L, kube_name_valid(name, length), 2, "is no Kubernetes name");
    return name;
}

/* A string field of the options at index, or fallback; the options keep the string alive. */
static const char *option(lua_State *L, int index, const char *name, const char *fallback) {
    if (lua_isnoneornil(L, index))
        return fallback;
    luaL_checktype(L, index, LUA_TTABLE);
    int type = lua_getfield(L, index, name);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(L, "the option '%s' must be a string", name);
    const char *value = type == LUA_TNIL ? fallback : lua_tostring(L, -1);
    if (type == LUA_TSTRING && strlen(value) != lua_rawlen(L, -1))
        luaL_error(L, "the option '%s' holds a NUL", name);
    lua_pop(L, 1);
    return value;
}

static bool flag(lua_State *L, int index, const char *name) {
    if (lua_isnoneornil(L, index))
        return false;
    luaL_checktype(L, index, LUA_TTABLE);
    lua_getfield(L, index, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static int f_get(lua_State *L) {
    const struct kube_resource *resource = check_resource(L);
    const char *name = check_name(L);
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    return return_object(L, result, kube_get(&caller, resource, name, &result->object, &result->failure));
}

static int f_list(lua_State *L) {
    const struct kube_resource *resource = check_resource(L);
    const char *labels = option(L, 2, "label_selector", ""), *fields = option(L, 2, "field_selector", "");
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    if (!kube_list(&caller, resource, labels, fields, false, &result->list, &result->failure))
        return return_failure(L, result);
    lua_createtable(L, (int)result->list.count, 0);
    for (size_t i = 0; i < result->list.count; i++) {
        bind_kube_push_object(L, &result->list.objects[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    clear_result(result);
    return 1;
}

static int f_merge_patch(lua_State *L) {
    const struct kube_resource *resource = check_resource(L);
    const char *name = check_name(L);
    luaL_checktype(L, 3, LUA_TTABLE);
    const char *manager = option(L, 4, "field_manager", DEFAULT_FIELD_MANAGER);
    bool dry_run = flag(L, 4, "dry_run");
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    bind_json_encode(L, 3);
    struct span patch;
    patch.data = lua_tolstring(L, -1, &patch.length);
    return return_object(
        L, result,
        kube_merge_patch(&caller, resource, name, patch, manager, dry_run, &result->object, &result->failure));
}

static int f_delete(lua_State *L) {
    const struct kube_resource *resource = check_resource(L);
    const char *name = check_name(L);
    const char *uid = option(L, 3, "uid", NULL), *version = option(L, 3, "resource_version", NULL);
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    if (!kube_delete(&caller, resource, name, uid, version, &result->failure))
        return return_failure(L, result);
    lua_pushboolean(L, 1);
    return 1;
}

static int f_resource_gc(lua_State *L) {
    struct kube_resource **slot = lua_touserdata(L, 1);
    kube_resource_free(*slot);
    *slot = NULL;
    return 0;
}

static int f_resource(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *group = option(L, 1, "group", NULL), *version = option(L, 1, "version", NULL);
    const char *plural = option(L, 1, "plural", NULL), *wrong;
    const char *namespace = option(L, 1, "namespace", runtime_host(L)->config->compute_namespace);
    luaL_argcheck(L, group && version && plural, 1, "group, version and plural must be given");
    struct kube_resource **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, RESOURCE);
    *slot = kube_resource_new(group, version, plural, namespace, &wrong);
    if (!*slot)
        return luaL_error(L, "%s", wrong ? wrong : "out of memory");
    return 1;
}

/* ---- The module ---- */

static const luaL_Reg methods[] = {
    {"get", f_get}, {"list", f_list}, {"merge_patch", f_merge_patch}, {"delete", f_delete}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"resource", f_resource}, {NULL, NULL}};

int luaopen_bind_kube(lua_State *L) {
    bind_json_prepare(L);
    bind_kube_open_objects(L);

    luaL_newmetatable(L, RESULT);
    lua_pushcfunction(L, f_clear_result);
    lua_setfield(L, -2, "__gc");

    luaL_newmetatable(L, RESOURCE);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, f_resource_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");

    luaL_newlib(L, functions);
    return 1;
}
