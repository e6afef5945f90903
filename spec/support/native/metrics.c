/* `require "native.metrics"`: host/metrics.h and host/process_metrics.h. */
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "metrics.h"
#include "process_metrics.h"

int luaopen_native_metrics(lua_State *L);

static const char *const type_names[] = {"counter", "gauge", "histogram", NULL};

/* family(type, name, labels, help) -> handle or nil; labels apart by "," */
static int f_family(lua_State *L) {
    struct metric *metric =
        metric_family((enum metric_type)luaL_checkoption(L, 1, NULL, type_names), luaL_checkstring(L, 2),
                      luaL_optstring(L, 4, "Help."), luaL_optstring(L, 3, ""));
    if (metric)
        lua_pushlightuserdata(L, metric);
    else
        lua_pushnil(L);
    return 1;
}

static int f_find(lua_State *L) {
    struct metric *metric = metric_find(luaL_checkstring(L, 1));
    if (metric)
        lua_pushlightuserdata(L, metric);
    else
        lua_pushnil(L);
    return 1;
}

static struct metric *check_metric(lua_State *L) {
    luaL_checktype(L, 1, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, 1);
}

/* The label values that follow amount. */
static void check_values(lua_State *L, const char **values) {
    int count = lua_gettop(L) - 2;
    luaL_argcheck(L, count == (int)metric_label_count(check_metric(L)), 3, "wrong number of label values");
    for (int i = 0; i < count; i++)
        values[i] = luaL_checkstring(L, i + 3);
}

static int f_add(lua_State *L) {
    const char *values[METRICS_MAX_LABELS] = {0};
    check_values(L, values);
    metric_add(check_metric(L), values, luaL_checknumber(L, 2));
    return 0;
}

static int f_set(lua_State *L) {
    const char *values[METRICS_MAX_LABELS] = {0};
    check_values(L, values);
    metric_set(check_metric(L), values, luaL_checknumber(L, 2));
    return 0;
}

static int f_observe(lua_State *L) {
    const char *values[METRICS_MAX_LABELS] = {0};
    check_values(L, values);
    metric_observe(check_metric(L), values, luaL_checknumber(L, 2));
    return 0;
}

static int f_text(lua_State *L) {
    struct buffer text = {0};
    buffer_text(&text, "");
    metrics_text(&text);
    lua_pushlstring(L, text.data, text.length);
    buffer_free(&text);
    return 1;
}

static void collect(void *context) {
    metric_add(context, (const char *const[]){"collected"}, 1);
}

/* on_collect(handle of one label) -> whether there was room: counts the collections */
static int f_on_collect(lua_State *L) {
    lua_pushboolean(L, metrics_on_collect(collect, check_metric(L)));
    return 1;
}

static int f_process_start(lua_State *L) {
    lua_pushboolean(L, process_metrics_start());
    return 1;
}

struct worker {
    pthread_t thread;
    struct metric *counter, *histogram;
    int times;
};

static void *work(void *context) {
    static const char *const codes[] = {"200", "403", "404", "500"};
    struct worker *worker = context;
    for (int i = 0; i < worker->times; i++) {
        metric_add(worker->counter, (const char *const[]){"/raycluster/{name}", "GET", codes[i % 4]}, 1);
        metric_observe(worker->histogram, (const char *const[]){"/raycluster/{name}"}, 0.25);
    }
    return NULL;
}

/* work(counter of 3 labels, histogram of 1, threads, times) -> microseconds */
static int f_work(lua_State *L) {
    struct worker workers[16];
    int threads = (int)luaL_checkinteger(L, 3);
    luaL_argcheck(L, threads >= 1 && threads <= 16, 3, "1 to 16");
    int64_t before = clock_monotonic_us();
    for (int i = 0; i < threads; i++) {
        workers[i] = (struct worker){
            .counter = lua_touserdata(L, 1), .histogram = lua_touserdata(L, 2), .times = (int)luaL_checkinteger(L, 4)};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            abort();
    }
    struct buffer text = {0};
    metrics_text(&text); /* while they work */
    buffer_free(&text);
    for (int i = 0; i < threads; i++)
        pthread_join(workers[i].thread, NULL);
    lua_pushinteger(L, clock_monotonic_us() - before);
    return 1;
}

static const luaL_Reg functions[] = {
    {"family", f_family},
    {"find", f_find},
    {"add", f_add},
    {"set", f_set},
    {"observe", f_observe},
    {"text", f_text},
    {"on_collect", f_on_collect},
    {"work", f_work},
    {"process_start", f_process_start},
    {NULL, NULL},
};

int luaopen_native_metrics(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
