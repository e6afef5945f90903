/* `require "native.kube_store"`: host/kube_store.h, fed by hand and by a storm of threads. */
#include <lauxlib.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json_span.h"
#include "kube_store.h"

int luaopen_native_kube_store(lua_State *L);

static struct kube_store *check_store(lua_State *L) {
    return *(struct kube_store **)luaL_checkudata(L, 1, "native.kube_store");
}

/* new(index_label | nil) */
static int f_new(lua_State *L) {
    const char *label = luaL_optstring(L, 1, NULL);
    struct kube_store **store = lua_newuserdatauv(L, sizeof *store, 0);
    *store = NULL;
    luaL_setmetatable(L, "native.kube_store");
    *store = kube_store_new(label);
    return *store ? 1 : luaL_error(L, "no store");
}

static int f_gc(lua_State *L) {
    kube_store_free(check_store(L));
    return 0;
}

static struct kube_object *object_of(const char *text, size_t length) {
    struct kube_object_text read;
    return kube_object_read_all((struct span){text, length}, &read) ? kube_object_copy(&read) : NULL;
}

static bool list_put(struct kube_list *list, const char *text, size_t length) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->objects = realloc(list->objects, list->capacity * sizeof *list->objects);
    }
    return list->objects && (list->objects[list->count++] = object_of(text, length)) != NULL;
}

/* store:replace({ text, … } sorted by name, version) */
static int f_replace(lua_State *L) {
    struct kube_list list = {0};
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TSTRING; i++) {
        size_t length;
        const char *text = lua_tolstring(L, -1, &length);
        list_put(&list, text, length);
        lua_pop(L, 1);
    }
    snprintf(list.resource_version, sizeof list.resource_version, "%s", luaL_checkstring(L, 3));
    lua_pushboolean(L, kube_store_replace(check_store(L), &list));
    kube_list_free(&list);
    return 1;
}

/* store:event(line) -> kind, failure's code, failure's message */
static int f_event(lua_State *L) {
    static const char *const kinds[] = {"change", "bookmark", "error", "unknown", "malformed", "memory"};
    struct kube_failure failure;
    struct span line;
    line.data = luaL_checklstring(L, 2, &line.length);
    enum kube_event event = kube_store_event(check_store(L), line, &failure);
    lua_pushstring(L, kinds[event]);
    if (event != KUBE_EVENT_ERROR)
        return 1;
    lua_pushstring(L, kube_code_name(failure.code));
    lua_pushstring(L, failure.message);
    kube_failure_free(&failure);
    return 3;
}

static int f_patched(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 2, &length);
    struct kube_object *object = object_of(text, length);
    lua_pushboolean(L, kube_store_patched(check_store(L), object));
    kube_object_release(object);
    return 1;
}

static int f_get(lua_State *L) {
    struct kube_object *object;
    kube_store_get(check_store(L), luaL_checkstring(L, 2), luaL_optstring(L, 3, "ns"), &object);
    if (!object)
        return 0;
    lua_pushlstring(L, object->text.data, object->text.length);
    kube_object_release(object);
    return 1;
}

static int return_texts(lua_State *L, struct kube_list *list) {
    lua_newtable(L);
    for (size_t i = 0; i < list->count; i++) {
        lua_pushlstring(L, list->objects[i]->text.data, list->objects[i]->text.length);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    kube_list_free(list);
    return 1;
}

/* store:list(value …) -> { text, … } */
static int f_list(lua_State *L) {
    struct span values[8];
    size_t count = (size_t)lua_gettop(L) - 1;
    luaL_argcheck(L, count <= 8, 9, "at most 8 values");
    for (size_t i = 0; i < count; i++)
        values[i].data = luaL_checklstring(L, (int)i + 2, &values[i].length);
    struct kube_list list;
    if (!kube_store_list(check_store(L), count ? values : NULL, count, &list))
        return luaL_error(L, "out of memory");
    return return_texts(L, &list);
}

/* store:samples() -> { text, … }, { count, … } */
static int f_samples(lua_State *L) {
    struct kube_list list;
    size_t *counts;
    if (!kube_store_samples(check_store(L), &list, &counts))
        return luaL_error(L, "out of memory");
    size_t count = list.count;
    return_texts(L, &list);
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        lua_pushinteger(L, (lua_Integer)counts[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    free(counts);
    return 2;
}

static int f_count(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)kube_store_count(check_store(L)));
    return 1;
}

static int f_version(lua_State *L) {
    char version[64];
    kube_store_version(check_store(L), version, sizeof version);
    lua_pushstring(L, version);
    return 1;
}

/* ---- A storm: an API server with changes of its own and patches of ours, its stream, and readers who look ---- */

enum { STORM_OBJECTS = 300, STORM_QUEUE = 4096 };

struct storm_event {
    unsigned number;
    unsigned long long version;
    bool removed;
};

struct storm {
    struct kube_store *store;
    atomic_bool over;
    atomic_uint wrong;
    int rounds;
    pthread_mutex_t server; /* guards what follows */
    unsigned long long version;
    unsigned long long objects[STORM_OBJECTS]; /* the version of each, 0: there is none */
    struct storm_event queue[STORM_QUEUE];     /* what the stream has still to bring */
    unsigned queued;
};

/* A change at the server; its event waits in the queue. False when that is full. */
static bool storm_change(struct storm *storm, unsigned number, bool remove, unsigned long long *version) {
    pthread_mutex_lock(&storm->server);
    bool room = storm->queued < STORM_QUEUE;
    if (room) {
        *version = ++storm->version;
        storm->objects[number] = remove ? 0 : *version;
        storm->queue[storm->queued++] = (struct storm_event){number, *version, remove};
    }
    pthread_mutex_unlock(&storm->server);
    return room;
}

/* An object whose owner and payload follow from its name and version, so that a reader can tell a made-up one. */
static int storm_text(char *out, size_t size, unsigned number, unsigned long long version) {
    char owner[32] = ""; /* some are nobody's */
    if (version % 7)
        snprintf(owner, sizeof owner, "\"owner\":\"u%llu\"", version % 7);
    return snprintf(out, size,
                    "{\"metadata\":{\"labels\":{%s},\"name\":\"n%03u\",\"namespace\":\"ns\","
                    "\"resourceVersion\":\"%llu\",\"uid\":\"u\"},\"spec\":{\"check\":%llu}}",
                    owner, number, version, version * 1000 + number);
}

static void storm_look(struct storm *storm, const struct kube_object *object, uint64_t *last) {
    char expected[512];
    unsigned number = (unsigned)strtoul(object->name + 1, NULL, 10);
    int length = storm_text(expected, sizeof expected, number, object->version);
    if ((size_t)length != object->text.length || memcmp(expected, object->text.data, object->text.length) != 0)
        atomic_fetch_add(&storm->wrong, 1);
    if (object->version < last[number]) /* what was seen once is never older the next time */
        atomic_fetch_add(&storm->wrong, 1);
    last[number] = object->version;
}

static void *storm_reader(void *context) {
    struct storm *storm = context;
    uint64_t last[STORM_OBJECTS] = {0};
    unsigned seed = (unsigned)clock_monotonic_us();
    while (!atomic_load(&storm->over)) {
        char name[16];
        struct kube_object *object;
        struct kube_list list;
        snprintf(name, sizeof name, "n%03u", (unsigned)rand_r(&seed) % STORM_OBJECTS);
        kube_store_get(storm->store, name, "ns", &object);
        if (object)
            storm_look(storm, object, last);
        kube_object_release(object);
        snprintf(name, sizeof name, "u%u", (unsigned)rand_r(&seed) % 7);
        bool all = rand_r(&seed) % 2;
        struct span value = {name, strlen(name)};
        if (!kube_store_list(storm->store, all ? NULL : &value, 1, &list))
            continue;
        for (size_t i = 0; i < list.count; i++) {
            storm_look(storm, list.objects[i], last);
            if (i && strcmp(list.objects[i - 1]->name, list.objects[i]->name) >= 0)
                atomic_fetch_add(&storm->wrong, 1);
            if (!all && (list.objects[i]->indexed.length != strlen(name) ||
                         memcmp(list.objects[i]->indexed.data, name, strlen(name)) != 0))
                atomic_fetch_add(&storm->wrong, 1);
        }
        kube_list_free(&list);
    }
    return NULL;
}

/* Patches through the process: each must be seen, or something newer, by the very next read. */
static void *storm_patcher(void *context) {
    struct storm *storm = context;
    unsigned seed = 77;
    while (!atomic_load(&storm->over)) {
        char text[512], name[16];
        unsigned number = (unsigned)rand_r(&seed) % (STORM_OBJECTS / 2); /* the half that is never deleted */
        unsigned long long version;
        if (!storm_change(storm, number, false, &version))
            continue;
        struct kube_object *object = object_of(text, (size_t)storm_text(text, sizeof text, number, version)), *seen;
        bool promised = kube_store_patched(storm->store, object);
        kube_object_release(object);
        snprintf(name, sizeof name, "n%03u", number);
        kube_store_get(storm->store, name, "ns", &seen);
        if (promised && (!seen || seen->version < version))
            atomic_fetch_add(&storm->wrong, 1);
        kube_object_release(seen);
        clock_sleep_ms(1);
    }
    return NULL;
}

static void storm_list(struct storm *storm) {
    struct kube_list list = {0};
    char text[512];
    pthread_mutex_lock(&storm->server);
    for (unsigned i = 0; i < STORM_OBJECTS; i++)
        if (storm->objects[i])
            list_put(&list, text, (size_t)storm_text(text, sizeof text, i, storm->objects[i]));
    snprintf(list.resource_version, sizeof list.resource_version, "%llu", storm->version);
    storm->queued = 0; /* a watch from here on */
    pthread_mutex_unlock(&storm->server);
    clock_sleep_ms(2); /* the answer is on its way while patches go on */
    if (!kube_store_replace(storm->store, &list))
        atomic_fetch_add(&storm->wrong, 1);
    kube_list_free(&list);
}

/* What waits in the queue, in order. */
static void storm_stream(struct storm *storm) {
    static struct storm_event events[STORM_QUEUE];
    struct kube_failure failure;
    pthread_mutex_lock(&storm->server);
    unsigned count = storm->queued;
    memcpy(events, storm->queue, count * sizeof *events);
    storm->queued = 0;
    pthread_mutex_unlock(&storm->server);
    for (unsigned i = 0; i < count; i++) {
        char text[512], line[640];
        storm_text(text, sizeof text, events[i].number, events[i].version);
        int length = snprintf(line, sizeof line, "{\"type\":\"%s\",\"object\":%s}",
                              events[i].removed ? "DELETED" : "MODIFIED", text);
        if (kube_store_event(storm->store, (struct span){line, (size_t)length}, &failure) != KUBE_EVENT_CHANGE)
            atomic_fetch_add(&storm->wrong, 1);
    }
}

static void storm_write(struct storm *storm) {
    unsigned seed = 5;
    unsigned long long version;
    for (int round = 0; round < storm->rounds; round++) {
        unsigned number = (unsigned)rand_r(&seed) % STORM_OBJECTS;
        bool remove = number >= STORM_OBJECTS / 2 && rand_r(&seed) % 3 == 0 && storm->objects[number];
        storm_change(storm, number, remove, &version);
        if (round % 500 == 0)
            storm_list(storm);
        else if (rand_r(&seed) % 4 == 0)
            storm_stream(storm);
    }
    storm_list(storm);
}

/* When everybody has gone: nothing is older than at the server. */
static void storm_compare(struct storm *storm) {
    for (unsigned i = 0; i < STORM_OBJECTS; i++) {
        char name[16];
        struct kube_object *object;
        snprintf(name, sizeof name, "n%03u", i);
        kube_store_get(storm->store, name, "ns", &object);
        if ((object ? object->version : 0) < storm->objects[i])
            atomic_fetch_add(&storm->wrong, 1);
        kube_object_release(object);
    }
}

/* store:storm(rounds) -> how often something was wrong */
static int f_storm(lua_State *L) {
    static struct storm storm;
    memset(&storm, 0, sizeof storm);
    pthread_mutex_init(&storm.server, NULL);
    storm.store = check_store(L);
    storm.rounds = (int)luaL_checkinteger(L, 2);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, i ? storm_reader : storm_patcher, &storm) != 0)
            return luaL_error(L, "no thread");
    storm_write(&storm);
    atomic_store(&storm.over, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    storm_compare(&storm);
    lua_pushinteger(L, atomic_load(&storm.wrong));
    return 1;
}

/* ---- Weight ---- */

static char *heavy_text(unsigned number, unsigned long long version, size_t size, size_t *length) {
    char *text = malloc(size + 256);
    int head = snprintf(text, 256,
                        "{\"metadata\":{\"labels\":{\"owner\":\"u%u\"},\"name\":\"n%05u\",\"namespace\":\"ns\","
                        "\"resourceVersion\":\"%llu\"},\"spec\":\"",
                        number % 100, number, version);
    memset(text + head, 'x', size);
    memcpy(text + head + size, "\"}", 3);
    *length = (size_t)head + size + 2;
    return text;
}

/* store:load(objects, bytes): a list of that many */
static int f_load(lua_State *L) {
    struct kube_list list = {0};
    lua_Integer count = luaL_checkinteger(L, 2);
    for (lua_Integer i = 0; i < count; i++) {
        size_t length;
        char *text = heavy_text((unsigned)i, 1, (size_t)luaL_checkinteger(L, 3), &length);
        list_put(&list, text, length);
        free(text);
    }
    snprintf(list.resource_version, sizeof list.resource_version, "1");
    lua_pushboolean(L, kube_store_replace(check_store(L), &list));
    kube_list_free(&list);
    return 1;
}

static lua_Integer bytes_in_use(void) {
    struct mallinfo2 all = mallinfo2();
    return (lua_Integer)(all.uordblks + all.hblkhd);
}

static int f_in_use(lua_State *L) {
    lua_pushinteger(L, bytes_in_use());
    return 1;
}

static int by_time(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* store:churn(objects, bytes, events, version) -> microseconds an event, bytes in use, microseconds that 99 % need */
static int f_churn(lua_State *L) {
    struct kube_store *store = check_store(L);
    unsigned objects = (unsigned)luaL_checkinteger(L, 2), seed = 9;
    lua_Integer events = luaL_checkinteger(L, 4), version = luaL_checkinteger(L, 5);
    int64_t spent = 0, *each = calloc((size_t)events, sizeof *each);
    for (lua_Integer i = 0; i < events; i++) {
        size_t length;
        char *text = heavy_text((unsigned)rand_r(&seed) % objects, (unsigned long long)(version + i),
                                (size_t)luaL_checkinteger(L, 3), &length);
        struct buffer line = {0};
        buffer_format(&line, "{\"type\":\"%s\",\"object\":%s}", rand_r(&seed) % 4 ? "MODIFIED" : "DELETED", text);
        free(text);
        struct kube_failure failure;
        int64_t began = clock_monotonic_us();
        kube_store_event(store, (struct span){line.data, line.length}, &failure);
        each[i] = clock_monotonic_us() - began;
        spent += each[i];
        buffer_free(&line);
    }
    qsort(each, (size_t)events, sizeof *each, by_time);
    lua_pushnumber(L, (double)spent / (double)events);
    lua_pushinteger(L, bytes_in_use());
    lua_pushinteger(L, each[events * 99 / 100]);
    free(each);
    return 3;
}

static const luaL_Reg methods[] = {{"replace", f_replace},
                                   {"event", f_event},
                                   {"patched", f_patched},
                                   {"get", f_get},
                                   {"list", f_list},
                                   {"samples", f_samples},
                                   {"count", f_count},
                                   {"version", f_version},
                                   {"storm", f_storm},
                                   {"load", f_load},
                                   {"churn", f_churn},
                                   {"__gc", f_gc},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {{"new", f_new}, {"in_use", f_in_use}, {NULL, NULL}};

int luaopen_native_kube_store(lua_State *L) {
    luaL_newmetatable(L, "native.kube_store");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
