#include "../cache.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "bind/json.h"
#include "bind/pack.h"
#include "runtime.h"
#include "trace.h"

/* What a fetch holds of the cache. It exists before anything is taken: whatever a script does or dies of, its flight
   is landed, and those who wait for it go on. */
struct slot {
    struct cache *cache;
    struct cache_flight *flight;
    struct bytes *value;
    struct buffer packed;
    bool busy; /* its load is running: a fetch inside of it needs another slot */
};

static const char slot_metatable; /* registry key, by address */

static void clear_slot(struct slot *slot) {
    if (slot->flight)
        cache_land(slot->cache, slot->flight, false, NULL, 0);
    bytes_release(slot->value);
    buffer_free(&slot->packed);
    *slot = (struct slot){0};
}

static int f_clear_slot(lua_State *L) {
    clear_slot(lua_touserdata(L, 1));
    return 0;
}

static struct slot *push_new_slot(lua_State *L) {
    struct slot *slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = (struct slot){0};
    lua_rawgetp(L, LUA_REGISTRYINDEX, &slot_metatable);
    lua_setmetatable(L, -2);
    return slot;
}

/* The state's own slot, so that a hit allocates nothing but its value. */
static struct slot *push_slot(lua_State *L) {
    struct slot *slot = lua_touserdata(L, lua_upvalueindex(1));
    if (slot->busy)
        return push_new_slot(L);
    clear_slot(slot); /* of a fetch that ended in an error */
    lua_pushvalue(L, lua_upvalueindex(1));
    return slot;
}

static struct call_context *check_call(lua_State *L, struct cache **cache, struct trace **trace) {
    struct call_context *call = runtime_traced_call(L, trace);
    *cache = runtime_host(L)->cache;
    if (!call || !*cache)
        luaL_error(L, "the cache is there for requests, not while a bundle loads");
    return call;
}

static struct span check_span(lua_State *L, int argument) {
    struct span span;
    span.data = luaL_checklstring(L, argument, &span.length);
    return span;
}

enum { TTL = 3, LOAD = 4, OPTIONS = 5, SLOT = 6 };

/* A bundle sees only what it has kept itself: another's value may be of another shape, or made by a rule since
   mended. Where no rule has a part in it, what counts is the code. */
static void make_key(lua_State *L, struct cache *cache, const struct call_context *call, bool beyond_rules,
                     struct cache_key *key) {
    const char *revision = beyond_rules ? call->code_revision : call->revision;
    static const char kinds[] = "rc";
    struct span parts[] = {{&kinds[beyond_rules], 1}, {revision, strlen(revision)}, check_span(L, 1), check_span(L, 2)};
    cache_key(cache, parts, sizeof parts / sizeof *parts, key);
}

static bool check_beyond_rules(lua_State *L) {
    if (lua_isnoneornil(L, OPTIONS))
        return false;
    luaL_checktype(L, OPTIONS, LUA_TTABLE);
    lua_getfield(L, OPTIONS, "beyond_rules");
    bool beyond = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return beyond;
}

/* The run depends on the value that is there from now on, and no longer on what it was made of: another run finds the
   value and asks nobody. */
static int lead(lua_State *L, struct slot *slot, const struct cache_key *key, struct trace *trace) {
    bool refused = trace && trace->refused;
    trace_refuse(trace); /* for good, when the load fails or its value is not stored */
    slot->busy = true;
    lua_toclose(L, SLOT);
    lua_pushvalue(L, LOAD);
    lua_call(L, 0, 2);
    bool ok = !lua_isnil(L, -2);
    const char *wrong = bind_pack(L, ok ? -2 : -1, &slot->packed);
    if (wrong)
        return luaL_error(L, "cache.fetch: what load returned cannot be kept: %s", wrong);
    slot->value = bytes_copy(slot->packed.data, slot->packed.length);
    if (!slot->value)
        return luaL_error(L, "out of memory");
    cache_land(slot->cache, slot->flight, ok, slot->value, lua_tointeger(L, TTL));
    slot->flight = NULL;
    if (trace && ok && lua_tointeger(L, TTL) > 0) {
        trace->refused = refused;
        trace_cached(trace, key, slot->value);
    }
    return ok ? (lua_pop(L, 1), 1) : 2;
}

static int f_fetch(lua_State *L) {
    struct cache *cache;
    lua_Integer ttl_ms = luaL_checkinteger(L, TTL);
    luaL_argcheck(L, ttl_ms >= 0, TTL, "must not be negative");
    luaL_checktype(L, LOAD, LUA_TFUNCTION);
    struct trace *trace;
    struct call_context *call = check_call(L, &cache, &trace);
    struct cache_key key;
    make_key(L, cache, call, check_beyond_rules(L), &key);
    lua_settop(L, OPTIONS);
    struct slot *slot = push_slot(L);
    slot->cache = cache;
    enum cache_outcome outcome = cache_begin(cache, &key, ttl_ms, call->deadline_ms, &slot->value, &slot->flight);
    if (outcome == CACHE_HIT)
        trace_cached(trace, &key, slot->value);
    else if (outcome != CACHE_LEAD)
        trace_refuse(trace);
    switch (outcome) {
    case CACHE_LEAD:
        return lead(L, slot, &key, trace);
    case CACHE_FAILED:
        lua_pushnil(L);
        break;
    case CACHE_HIT:
        break;
    case CACHE_TIMEOUT:
        lua_pushnil(L);
        lua_createtable(L, 0, 2);
        lua_pushliteral(L, "timeout");
        lua_setfield(L, -2, "code");
        lua_pushliteral(L, "the request's deadline passed while another request was loading this");
        lua_setfield(L, -2, "message");
        return 2;
    case CACHE_NESTED:
        return luaL_error(L, "cache.fetch: a load fetches the key that it loads");
    case CACHE_MEMORY:
        return luaL_error(L, "out of memory");
    }
    bind_unpack(L, (struct span){slot->value->data, slot->value->length});
    bytes_release(slot->value);
    slot->value = NULL;
    return outcome == CACHE_HIT ? 1 : 2;
}

static int f_drop(lua_State *L) {
    struct cache *cache;
    struct trace *trace;
    struct call_context *call = check_call(L, &cache, &trace);
    trace_refuse(trace);
    for (int beyond_rules = 0; beyond_rules < 2; beyond_rules++) {
        struct cache_key key;
        make_key(L, cache, call, beyond_rules, &key);
        cache_drop(cache, &key);
    }
    return 0;
}

int luaopen_bind_cache(lua_State *L) {
    bind_json_prepare(L); /* for json.array's mark */

    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, f_clear_slot);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, f_clear_slot);
    lua_setfield(L, -2, "__close");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &slot_metatable);

    lua_createtable(L, 0, 2);
    push_new_slot(L);
    lua_pushcclosure(L, f_fetch, 1);
    lua_setfield(L, -2, "fetch");
    lua_pushcfunction(L, f_drop);
    lua_setfield(L, -2, "drop");
    return 1;
}
