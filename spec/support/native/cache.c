/* `require "native.cache"`: host/cache.h, by hand and from many threads. */
#include <lauxlib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"
#include "clock.h"

int luaopen_native_cache(lua_State *L);

static const char *const outcomes[] = {"hit", "lead", "failed", "timeout", "nested", "memory"};

static struct cache *check_cache(lua_State *L) {
    return *(struct cache **)luaL_checkudata(L, 1, "native.cache");
}

static struct span check_span(lua_State *L, int index) {
    struct span span;
    span.data = luaL_checklstring(L, index, &span.length);
    return span;
}

static int f_new(lua_State *L) {
    struct cache **cache = lua_newuserdatauv(L, sizeof *cache, 0);
    *cache = NULL;
    luaL_setmetatable(L, "native.cache");
    *cache = cache_new((size_t)luaL_checkinteger(L, 1), (size_t)luaL_checkinteger(L, 2));
    return *cache ? 1 : luaL_error(L, "no cache");
}

static int f_gc(lua_State *L) {
    cache_free(check_cache(L));
    return 0;
}

/* The scope and key at 2 and 3. */
static struct cache_key check_key(lua_State *L) {
    struct cache_key key;
    cache_key(check_cache(L), (struct span[]){check_span(L, 2), check_span(L, 3)}, 2, &key);
    return key;
}

/* cache:begin(scope, key, max_age_ms, wait_ms) -> outcome, value | flight */
static int f_begin(lua_State *L) {
    struct bytes *value;
    struct cache_flight *flight;
    int64_t deadline = clock_monotonic_ms() + luaL_optinteger(L, 5, 0);
    struct cache_key key = check_key(L);
    enum cache_outcome outcome = cache_begin(check_cache(L), &key, luaL_checkinteger(L, 4), deadline, &value, &flight);
    lua_pushstring(L, outcomes[outcome]);
    if (value)
        lua_pushlstring(L, value->data, value->length);
    else if (flight)
        lua_pushlightuserdata(L, flight);
    else
        lua_pushnil(L);
    bytes_release(value);
    return 2;
}

/* cache:land(flight, ok, value | nil, ttl_ms) */
static int f_land(lua_State *L) {
    struct bytes *value = NULL;
    if (!lua_isnil(L, 4)) {
        struct span text = check_span(L, 4);
        value = bytes_copy(text.data, text.length);
    }
    cache_land(check_cache(L), lua_touserdata(L, 2), lua_toboolean(L, 3), value, luaL_optinteger(L, 5, 0));
    bytes_release(value);
    return 0;
}

static int f_drop(lua_State *L) {
    struct cache_key key = check_key(L);
    cache_drop(check_cache(L), &key);
    return 0;
}

static int f_statistics(lua_State *L) {
    struct cache_statistics s = cache_statistics(check_cache(L));
    lua_newtable(L);
    lua_Integer values[] = {(lua_Integer)s.hits,      (lua_Integer)s.loads,   (lua_Integer)s.waits,
                            (lua_Integer)s.evictions, (lua_Integer)s.entries, (lua_Integer)s.bytes};
    static const char *const names[] = {"hits", "loads", "waits", "evictions", "entries", "bytes"};
    for (int i = 0; i < 6; i++) {
        lua_pushinteger(L, values[i]);
        lua_setfield(L, -2, names[i]);
    }
    return 1;
}

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* ---- A crowd: every thread asks for the same key; the first leaders die or fail as told ---- */

struct crowd {
    struct cache *cache;
    pthread_mutex_t mutex;
    unsigned deaths, failures, loads;
    int64_t wait_ms;
    unsigned counts[6];
};

static void *crowd_member(void *context) {
    struct crowd *crowd = context;
    struct bytes *value;
    struct cache_flight *flight;
    struct cache_key key;
    cache_key(crowd->cache, (struct span[]){{"s", 1}, {"key", 3}}, 2, &key);
    enum cache_outcome outcome =
        cache_begin(crowd->cache, &key, 60000, clock_monotonic_ms() + crowd->wait_ms, &value, &flight);
    pthread_mutex_lock(&crowd->mutex);
    crowd->counts[outcome]++;
    bool die = false, fail = false;
    if (outcome == CACHE_LEAD) {
        crowd->loads++;
        if (crowd->deaths) {
            crowd->deaths--;
            die = true;
        } else if (crowd->failures) {
            crowd->failures--;
            fail = true;
        }
    }
    pthread_mutex_unlock(&crowd->mutex);
    if (outcome == CACHE_LEAD) {
        pause_ms(20);
        value = die ? NULL : bytes_copy(fail ? "failure" : "value", fail ? 7 : 5);
        cache_land(crowd->cache, flight, !fail, value, 60000);
    }
    bytes_release(value);
    return NULL;
}

/* crowd(cache, threads, deaths, failures, wait_ms) -> { loads =, hit =, lead =, … } */
static int f_crowd(lua_State *L) {
    struct crowd crowd = {.cache = check_cache(L),
                          .mutex = PTHREAD_MUTEX_INITIALIZER,
                          .deaths = (unsigned)luaL_checkinteger(L, 3),
                          .failures = (unsigned)luaL_checkinteger(L, 4),
                          .wait_ms = luaL_optinteger(L, 5, 20000)};
    pthread_t threads[128];
    int count = (int)luaL_checkinteger(L, 2), started = 0;
    luaL_argcheck(L, count <= 128, 2, "too many");
    while (started < count && pthread_create(&threads[started], NULL, crowd_member, &crowd) == 0)
        started++;
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    lua_newtable(L);
    lua_pushinteger(L, crowd.loads);
    lua_setfield(L, -2, "loads");
    for (int i = 0; i < 6; i++) {
        lua_pushinteger(L, crowd.counts[i]);
        lua_setfield(L, -2, outcomes[i]);
    }
    return 1;
}

/* ---- A storm: random keys, drops, failures and deaths; every value must belong to its key ---- */

struct storm {
    struct cache *cache;
    unsigned seed;
    int rounds;
    unsigned wrong;
};

static void *storm_member(void *context) {
    struct storm *storm = context;
    for (int i = 0; i < storm->rounds; i++) {
        char key[16], expected[64];
        unsigned number = (unsigned)rand_r(&storm->seed) % 40, dice = (unsigned)rand_r(&storm->seed) % 100;
        int key_length = snprintf(key, sizeof key, "k%u", number);
        int length = snprintf(expected, sizeof expected, "value of %s", key);
        struct cache_key hashed;
        cache_key(storm->cache, &(struct span){key, (size_t)key_length}, 1, &hashed);
        struct bytes *value = NULL;
        struct cache_flight *flight;
        if (dice < 5) {
            cache_drop(storm->cache, &hashed);
            continue;
        }
        enum cache_outcome outcome =
            cache_begin(storm->cache, &hashed, dice < 20 ? 0 : 50, clock_monotonic_ms() + 5000, &value, &flight);
        if (outcome == CACHE_LEAD && dice % 7 == 0) {
            cache_land(storm->cache, flight, false, NULL, 0);
        } else if (outcome == CACHE_LEAD) {
            value = bytes_copy(expected, (size_t)length);
            cache_land(storm->cache, flight, dice % 5 != 0, value, dice % 3 ? 20 : 0);
        }
        if ((outcome == CACHE_HIT || outcome == CACHE_FAILED) && strcmp(value->data, expected) != 0)
            storm->wrong++;
        if (outcome == CACHE_TIMEOUT || outcome == CACHE_MEMORY || outcome == CACHE_NESTED)
            storm->wrong++;
        bytes_release(value);
    }
    return NULL;
}

/* storm(cache, threads, rounds) -> how often something was wrong */
static int f_storm(lua_State *L) {
    struct storm storms[16];
    pthread_t threads[16];
    int count = (int)luaL_checkinteger(L, 2), started = 0;
    luaL_argcheck(L, count <= 16, 2, "too many");
    for (int i = 0; i < count; i++)
        storms[i] = (struct storm){check_cache(L), (unsigned)i + 1, (int)luaL_checkinteger(L, 3), 0};
    while (started < count && pthread_create(&threads[started], NULL, storm_member, &storms[started]) == 0)
        started++;
    lua_Integer wrong = count - started;
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        wrong += storms[i].wrong;
    }
    lua_pushinteger(L, wrong);
    return 1;
}

static const luaL_Reg functions[] = {{"new", f_new}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"begin", f_begin}, {"land", f_land},   {"drop", f_drop}, {"statistics", f_statistics},
    {"crowd", f_crowd}, {"storm", f_storm}, {"__gc", f_gc},   {NULL, NULL}};

int luaopen_native_cache(lua_State *L) {
    luaL_newmetatable(L, "native.cache");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
