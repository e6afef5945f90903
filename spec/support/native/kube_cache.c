/* `require "native.kube_cache"`: host/kube_cache.h over a scripted API server, in a hurry. */
#include "kube_cache.h"

#include "clock.h"
#include "kube_client.h"
#include "scripted_server.h"

int luaopen_native_kube_cache(lua_State *L);

static struct scripted_server server;
static struct http_client *client;
static struct kube *kube;
static struct kube_caches *caches;
static struct kube_resource *resource;
static struct kube_cache *cache;

static const char *no_environment(const char *name) {
    (void)name;
    return NULL;
}

/* open(max_stale_ms, idle_ms, first_pause_ms): a copy of group g's things in namespace ns, by label owner */
static int f_open(lua_State *L) {
    char path[] = "/tmp/kubeconfig-XXXXXX", error[256] = "";
    const char *wrong;
    const struct kube_watch_timing timing = {.first_pause_ms = luaL_optinteger(L, 3, 20),
                                             .longest_pause_ms = 200,
                                             .forgive_ms = 2000,
                                             .idle_ms = luaL_optinteger(L, 2, 3000),
                                             .page_idle_ms = 1000,
                                             .least_stream_s = 300,
                                             .longest_stream_s = 600};
    if (!scripted_start(&server) || !scripted_kubeconfig(&server, path))
        return luaL_error(L, "no server");
    client = http_client_new();
    kube = kube_open(client, path, no_environment, error, sizeof error);
    unlink(path);
    if (!kube)
        return luaL_error(L, "%s", error);
    caches = kube_caches_new(kube, luaL_checkinteger(L, 1), &timing);
    resource = kube_resource_new("g.io", "v1", "things", "ns", &wrong);
    return 0;
}

static int f_start(lua_State *L) {
    cache = kube_cache_open(caches, resource, "owner");
    return cache ? 0 : luaL_error(L, "no cache");
}

/* What another Lua state does: the same copy. */
static int f_open_again(lua_State *L) {
    struct kube_cache *other = kube_cache_open(caches, resource, "owner");
    lua_pushboolean(L, other == cache);
    kube_cache_close(other);
    return 1;
}

/* close() -> milliseconds that took */
static int f_close(lua_State *L) {
    int64_t began = clock_monotonic_ms();
    kube_cache_close(cache);
    cache = NULL;
    kube_caches_free(caches);
    lua_pushinteger(L, clock_monotonic_ms() - began);
    kube_resource_free(resource);
    kube_close(kube);
    http_client_free(client);
    scripted_stop(&server);
    return 1;
}

static int f_say(lua_State *L) {
    scripted_say(L, &server, 1);
    return 0;
}

static int f_more(lua_State *L) {
    scripted_more(L, &server, 1, false);
    return 0;
}

static int f_drop(lua_State *L) {
    scripted_more(L, &server, 1, true);
    return 0;
}

static int f_asked(lua_State *L) {
    scripted_asked(L, &server);
    return 1;
}

/* longest_pause(troubles) of the service, in ms */
static int f_longest_pause(lua_State *L) {
    lua_pushinteger(L, kube_watch_longest_pause_ms(&kube_watch_defaults, (unsigned)luaL_checkinteger(L, 1)));
    return 1;
}

static int f_pause(lua_State *L) {
    clock_sleep_ms(luaL_checkinteger(L, 1));
    return 0;
}

/* get(name) -> text | nil | false when the copy may not be read */
static int f_get(lua_State *L) {
    struct kube_store *store = kube_cache_store(cache);
    struct kube_object *object;
    if (!store) {
        lua_pushboolean(L, 0);
        return 1;
    }
    kube_store_get(store, luaL_checkstring(L, 1), "ns", &object);
    if (object)
        lua_pushlstring(L, object->text.data, object->text.length);
    else
        lua_pushnil(L);
    kube_object_release(object);
    return 1;
}

static int f_doubt(lua_State *L) {
    (void)L;
    kube_cache_doubt(cache);
    return 0;
}

/* answered(text): as after our own patch */
static int f_answered(lua_State *L) {
    struct span all;
    struct kube_object_text text;
    all.data = luaL_checklstring(L, 1, &all.length);
    struct kube_object *object = kube_object_read_all(all, &text) ? kube_object_copy(&text) : NULL;
    lua_pushboolean(L, kube_cache_answered(cache, object));
    kube_object_release(object);
    return 1;
}

/* state() -> document, reasons */
static int f_state(lua_State *L) {
    struct buffer document = {0}, reasons = {0};
    kube_caches_document(caches, &document);
    buffer_text(&reasons, "");
    kube_caches_reasons(caches, &reasons);
    lua_pushlstring(L, document.data, document.length);
    lua_pushlstring(L, reasons.data, reasons.length);
    buffer_free(&document);
    buffer_free(&reasons);
    return 2;
}

static const luaL_Reg functions[] = {{"open", f_open},
                                     {"start", f_start},
                                     {"open_again", f_open_again},
                                     {"close", f_close},
                                     {"say", f_say},
                                     {"more", f_more},
                                     {"drop", f_drop},
                                     {"asked", f_asked},
                                     {"pause", f_pause},
                                     {"longest_pause", f_longest_pause},
                                     {"get", f_get},
                                     {"doubt", f_doubt},
                                     {"state", f_state},
                                     {"answered", f_answered},
                                     {NULL, NULL}};

int luaopen_native_kube_cache(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
