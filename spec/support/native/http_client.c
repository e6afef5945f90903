/* `require "native.http_client"`: host/http_client.h. Blocks while it runs, so servers live in other processes. */
#include <pthread.h>
#include <unistd.h>

#include "exchange.h"

int luaopen_native_http_client(lua_State *L);

enum { MAX_AT_ONCE = 64 };

static struct http_client *check_client(lua_State *L) {
    return *(struct http_client **)luaL_checkudata(L, 1, "native.http_client");
}

static int f_new(lua_State *L) {
    struct http_client **client = lua_newuserdata(L, sizeof *client);
    *client = NULL;
    luaL_setmetatable(L, "native.http_client");
    *client = http_client_new();
    return 1;
}

static int f_gc(lua_State *L) {
    http_client_free(check_client(L));
    return 0;
}

/* client:perform{ exchange, … } gives as many results. */
static int f_perform(lua_State *L) {
    struct http_client *client = check_client(L);
    size_t count = (size_t)luaL_len(L, 2);
    luaL_argcheck(L, count <= MAX_AT_ONCE, 2, "too many");
    struct native_exchange *natives = lua_newuserdata(L, (count + 1) * sizeof *natives);
    struct http_exchange exchanges[MAX_AT_ONCE];
    for (size_t i = 0; i < count; i++) {
        lua_geti(L, 2, (lua_Integer)i + 1);
        exchange_read(L, lua_gettop(L), &natives[i]);
        lua_pop(L, 1);
        exchanges[i] = natives[i].exchange;
    }
    http_perform(client, exchanges, count);
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        natives[i].exchange = exchanges[i];
        exchange_push(L, &natives[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

struct worker {
    pthread_t thread;
    struct http_client *client;
    struct native_exchange native;
};

static void *run_worker(void *context) {
    struct worker *worker = context;
    http_perform(worker->client, &worker->native.exchange, 1);
    return NULL;
}

/* client:threads(exchange, n): the same exchange from n threads at once. */
static int f_threads(lua_State *L) {
    struct http_client *client = check_client(L);
    size_t count = (size_t)luaL_checkinteger(L, 3);
    struct worker *workers = lua_newuserdata(L, count * sizeof *workers);
    for (size_t i = 0; i < count; i++) {
        workers[i].client = client;
        exchange_read(L, 2, &workers[i].native);
        workers[i].native.exchange.tls = &workers[i].native.tls;
        pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
    }
    lua_newtable(L);
    for (size_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        exchange_push(L, &workers[i].native);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

struct reader {
    struct buffer bytes;
    size_t stop_after_bytes;
    useconds_t cancel_after_us;
    atomic_bool cancel;
};

static bool on_bytes(void *context, const char *data, size_t length) {
    struct reader *reader = context;
    buffer_append(&reader->bytes, data, length);
    return reader->bytes.length < reader->stop_after_bytes;
}

static void *run_cancel(void *context) {
    struct reader *reader = context;
    usleep(reader->cancel_after_us);
    atomic_store(&reader->cancel, true);
    return NULL;
}

/* client:stream(exchange, { idle_timeout_ms, cancel_after_ms, stop_after_bytes }) gives a result with `streamed`. */
static int f_stream(lua_State *L) {
    struct http_client *client = check_client(L);
    struct native_exchange native;
    exchange_read(L, 2, &native);
    struct reader reader = {.stop_after_bytes = (size_t)field_integer(L, 3, "stop_after_bytes", 1 << 30),
                            .cancel_after_us = (useconds_t)field_integer(L, 3, "cancel_after_ms", 0) * 1000};
    int64_t idle_timeout_ms = field_integer(L, 3, "idle_timeout_ms", 5000);
    pthread_t canceller;
    if (reader.cancel_after_us)
        pthread_create(&canceller, NULL, run_cancel, &reader);
    http_stream(client, &native.exchange, idle_timeout_ms, on_bytes, &reader, &reader.cancel);
    if (reader.cancel_after_us)
        pthread_join(canceller, NULL);
    exchange_push(L, &native);
    lua_pushlstring(L, reader.bytes.data ? reader.bytes.data : "", reader.bytes.length);
    lua_setfield(L, -2, "streamed");
    buffer_free(&reader.bytes);
    return 1;
}

static int f_now_ms(lua_State *L) {
    lua_pushinteger(L, clock_monotonic_ms());
    return 1;
}

static const luaL_Reg methods[] = {
    {"perform", f_perform}, {"threads", f_threads}, {"stream", f_stream}, {"__gc", f_gc}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"new", f_new}, {"now_ms", f_now_ms}, {NULL, NULL}};

int luaopen_native_http_client(lua_State *L) {
    luaL_newmetatable(L, "native.http_client");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
