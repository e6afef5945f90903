#include "bind/kube.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json.h"
#include "config.h"
#include "host.h"
#include "kube_cache.h"
#include "runtime.h"
#include "trace.h"

static const char RESOURCE[] = "kube.resource", RESULT[] = "kube.result"; /* metatables */

static const char DEFAULT_FIELD_MANAGER[] = "rayclusterscaler";
static const char LABEL_VALUE[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

/* ---- Results: what a call brings, owned by a userdata that is there before the call ---- */

struct result {
    struct kube_object *object;
    struct kube_list list;
    size_t *counts;
    struct kube_failure failure;
};

static void clear_result(struct result *result) {
    kube_object_release(result->object);
    kube_list_free(&result->list);
    free(result->counts);
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

struct watched {
    struct kube_resource *resource;
    struct kube_cache *cache; /* NULL: reads go to the API server */
    char *index_label;        /* of the cache, or NULL */
};

static struct watched *check_watched(lua_State *L) {
    return luaL_checkudata(L, 1, RESOURCE);
}

/* The copy to read from, or NULL. */
static struct kube_store *store_of(const struct watched *watched, bool fresh) {
    return watched->cache && !fresh ? kube_cache_store(watched->cache) : NULL;
}

static struct kube_caller check_traced_caller(lua_State *L, struct trace **trace) {
    struct call_context *call = runtime_traced_call(L, trace);
    if (!call)
        luaL_error(L, "the API server is there for requests, not while a bundle loads");
    if (!runtime_host(L)->kube)
        luaL_error(L, "no API server is configured");
    return (struct kube_caller){.kube = runtime_host(L)->kube, .context = call, .retries = KUBE_DEFAULT_RETRIES};
}

/* The same for what is no mere read. */
static struct kube_caller check_caller(lua_State *L) {
    struct trace *trace;
    struct kube_caller caller = check_traced_caller(L, &trace);
    trace_refuse(trace);
    return caller;
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

static void set_not_found(struct kube_failure *failure, const struct kube_resource *resource, const char *name) {
    char message[sizeof failure->message];
    snprintf(message, sizeof message, "%s%s%s \"%s\" not found", resource->plural, *resource->group ? "." : "",
             resource->group, name);
    kube_failure_set(failure, KUBE_NOT_FOUND, message);
    failure->status = 404;
    snprintf(failure->reason, sizeof failure->reason, "NotFound");
}

static int f_get(lua_State *L) {
    const struct watched *watched = check_watched(L);
    const char *name = check_name(L);
    struct kube_store *store = store_of(watched, flag(L, 3, "fresh"));
    struct trace *trace;
    struct kube_caller caller = check_traced_caller(L, &trace);
    struct result *result = push_result(L);
    if (store) {
        kube_store_get(store, name, watched->resource->namespace, &result->object);
        if (result->object) {
            trace_object(trace, watched->cache, result->object);
        } else {
            trace_refuse(trace);
            set_not_found(&result->failure, watched->resource, name);
        }
        return return_object(L, result, result->object != NULL);
    }
    trace_refuse(trace);
    bool done = kube_get(&caller, watched->resource, name, &result->object, &result->failure);
    if (done && watched->cache)
        kube_cache_answered(watched->cache, result->object);
    return return_object(L, result, done);
}

/* Whether the selectors ask for one value of the indexed label, or for everything (*value NULL). */
static bool is_indexed(const struct watched *watched, const char *labels, const char *fields, const char **value) {
    *value = NULL;
    if (*fields)
        return false;
    if (!*labels)
        return true;
    size_t length = watched->index_label ? strlen(watched->index_label) : 0;
    if (!length || strncmp(labels, watched->index_label, length) != 0 || labels[length] != '=')
        return false;
    *value = labels + length + 1;
    return **value && strspn(*value, LABEL_VALUE) == strlen(*value);
}

/* Of the objects in the table at index: what stands for them in the index. Lives in a userdata on top of the stack. */
static struct span *check_like(lua_State *L, int index, const struct watched *watched, size_t *count) {
    luaL_argcheck(L, watched->index_label, index, "'like' is for a resource with an index");
    luaL_checktype(L, -1, LUA_TTABLE);
    *count = lua_rawlen(L, -1);
    struct span *values = lua_newuserdatauv(L, (*count + 1) * sizeof *values, 0);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        struct kube_object *object = bind_kube_object(L, -1);
        luaL_argcheck(L, object, index, "'like' must be a list of objects");
        values[i] = kube_object_label(object, watched->index_label);
        lua_pop(L, 1); /* the request holds the object */
    }
    return values;
}

static int return_list(lua_State *L, struct result *result) {
    lua_createtable(L, (int)result->list.count, 0);
    for (size_t i = 0; i < result->list.count; i++) {
        bind_kube_push_object(L, &result->list.objects[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    clear_result(result);
    return 1;
}

/* Leaves in list what has one of the values. */
static void keep_like(struct kube_list *list, const char *label, const struct span *values, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct span own = kube_object_label(list->objects[i], label);
        bool wanted = false;
        for (size_t j = 0; j < count && !wanted; j++)
            wanted =
                own.length == values[j].length && (!own.length || memcmp(own.data, values[j].data, own.length) == 0);
        if (wanted)
            list->objects[kept++] = list->objects[i];
        else
            kube_object_release(list->objects[i]);
    }
    list->count = kept;
}

static int f_list(lua_State *L) {
    const struct watched *watched = check_watched(L);
    const char *labels = option(L, 2, "label_selector", ""), *fields = option(L, 2, "field_selector", ""), *value;
    struct kube_store *store = store_of(watched, flag(L, 2, "fresh"));
    lua_settop(L, 2);
    size_t count = 0;
    bool has_like = lua_istable(L, 2) && lua_getfield(L, 2, "like") != LUA_TNIL;
    struct span *like = has_like ? check_like(L, 2, watched, &count) : NULL, one;
    luaL_argcheck(L, !like || (!*labels && !*fields), 2, "'like' goes without selectors");
    struct trace *trace;
    struct kube_caller caller = check_traced_caller(L, &trace);
    struct result *result = push_result(L);
    bool copied = store && is_indexed(watched, labels, fields, &value);
    if (copied) {
        if (value)
            one = (struct span){value, strlen(value)};
        trace_list(trace, watched->cache, kube_store_changes(store));
        if (!kube_store_list(store, value ? &one : like, value ? 1 : count, &result->list))
            return luaL_error(L, "out of memory");
    } else {
        trace_refuse(trace);
        if (!kube_list(&caller, watched->resource, labels, fields, false, NULL, &result->list, &result->failure))
            return return_failure(L, result);
        if (like)
            keep_like(&result->list, watched->index_label, like, count);
    }
    return return_list(L, result);
}

static int f_samples(lua_State *L) {
    const struct watched *watched = check_watched(L);
    luaL_argcheck(L, watched->index_label || !watched->cache, 1, "the resource has no index");
    struct kube_store *store = store_of(watched, false);
    struct trace *trace;
    check_traced_caller(L, &trace);
    struct result *result = push_result(L);
    if (!store)
        return trace_refuse(trace), lua_pushnil(L), 1;
    trace_list(trace, watched->cache, kube_store_changes(store));
    if (!kube_store_samples(store, &result->list, lua_toboolean(L, 2) ? &result->counts : NULL))
        return luaL_error(L, "out of memory");
    if (!result->counts)
        return return_list(L, result);
    lua_createtable(L, (int)result->list.count, 0);
    for (size_t i = 0; i < result->list.count; i++) {
        lua_pushinteger(L, (lua_Integer)result->counts[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return_list(L, result);
    lua_insert(L, -2);
    return 2;
}

/* A write whose fate is not known may have been carried out. */
static bool is_unknown(const struct kube_failure *failure) {
    return failure->sent &&
           (failure->code == KUBE_TIMEOUT || failure->code == KUBE_UNAVAILABLE || failure->code == KUBE_BAD_ANSWER);
}

/* Before a write, so that one that takes the run's last time is known of, too. */
static void begin_change(const struct kube_caller *caller, const char *name) {
    snprintf(caller->context->changed, sizeof caller->context->changed, "%s", name);
}

static void end_change(const struct kube_caller *caller, bool done, const struct kube_failure *failure) {
    if (!done && !is_unknown(failure))
        caller->context->changed[0] = '\0';
}

static int f_merge_patch(lua_State *L) {
    const struct watched *watched = check_watched(L);
    const char *name = check_name(L);
    luaL_checktype(L, 3, LUA_TTABLE);
    const char *manager = option(L, 4, "field_manager", DEFAULT_FIELD_MANAGER);
    bool dry_run = flag(L, 4, "dry_run");
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    bind_json_encode(L, 3);
    struct span patch;
    patch.data = lua_tolstring(L, -1, &patch.length);
    if (!dry_run)
        begin_change(&caller, name);
    bool done =
        kube_merge_patch(&caller, watched->resource, name, patch, manager, dry_run, &result->object, &result->failure);
    end_change(&caller, done, &result->failure);
    if (watched->cache && !dry_run) {
        if (done ? !kube_cache_answered(watched->cache, result->object) : is_unknown(&result->failure))
            kube_cache_doubt(watched->cache);
    }
    return return_object(L, result, done);
}

static int f_delete(lua_State *L) {
    const struct watched *watched = check_watched(L);
    const char *name = check_name(L);
    const char *uid = option(L, 3, "uid", NULL), *version = option(L, 3, "resource_version", NULL);
    struct kube_caller caller = check_caller(L);
    struct result *result = push_result(L);
    begin_change(&caller, name);
    bool done = kube_delete(&caller, watched->resource, name, uid, version, &result->failure);
    end_change(&caller, done, &result->failure);
    if (watched->cache && (done || is_unknown(&result->failure)))
        kube_cache_doubt(watched->cache);
    if (!done)
        return return_failure(L, result);
    lua_pushboolean(L, 1);
    return 1;
}

static int f_resource_gc(lua_State *L) {
    struct watched *watched = lua_touserdata(L, 1);
    kube_cache_close(watched->cache);
    kube_resource_free(watched->resource);
    free(watched->index_label);
    *watched = (struct watched){0};
    return 0;
}

static void watch(lua_State *L, struct watched *watched, const char *index_label) {
    struct kube_caches *caches = runtime_host(L)->kube_caches;
    if (runtime_call(L))
        luaL_error(L, "a watched resource is declared while the bundle loads");
    if (!caches)
        return; /* rules are only being checked */
    watched->index_label = index_label ? strdup(index_label) : NULL;
    if (watched->index_label || !index_label)
        watched->cache = kube_cache_open(caches, watched->resource, index_label);
    if (!watched->cache)
        luaL_error(L, "out of memory");
}

static int f_resource(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *group = option(L, 1, "group", NULL), *version = option(L, 1, "version", NULL);
    const char *plural = option(L, 1, "plural", NULL), *index_label = option(L, 1, "index", NULL), *wrong;
    const char *namespace = option(L, 1, "namespace", runtime_host(L)->config->compute_namespace);
    luaL_argcheck(L, group && version && plural, 1, "group, version and plural must be given");
    struct watched *watched = lua_newuserdatauv(L, sizeof *watched, 0);
    *watched = (struct watched){0};
    luaL_setmetatable(L, RESOURCE);
    watched->resource = kube_resource_new(group, version, plural, namespace, &wrong);
    if (!watched->resource)
        return luaL_error(L, "%s", wrong ? wrong : "out of memory");
    if (flag(L, 1, "watch"))
        watch(L, watched, index_label);
    return 1;
}

/* ---- The module ---- */

static const luaL_Reg methods[] = {{"get", f_get},         {"list", f_list},
                                   {"samples", f_samples}, {"merge_patch", f_merge_patch},
                                   {"delete", f_delete},   {NULL, NULL}};
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
