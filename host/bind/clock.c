/* `clock.utc()` for the service; `clock.monotonic_ms()` and `clock.rfc3339()` (whole seconds, UTC) for the simulator.
 */
#include "clock.h"

#include <lauxlib.h>
#include <stdio.h>
#include <time.h>

#include "bind.h"
#include "runtime.h"

static int f_monotonic_ms(lua_State *L) {
    lua_pushinteger(L, clock_monotonic_ms());
    return 1;
}

static int f_rfc3339(lua_State *L) {
    char text[32];
    clock_rfc3339(text, sizeof text);
    lua_pushfstring(L, "%sZ", (text[19] = '\0', text));
    return 1;
}

static void set_integer(lua_State *L, const char *name, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void push_utc(lua_State *L, int64_t now) {
    struct clock_utc utc;
    clock_utc(now, &utc);
    lua_createtable(L, 0, 4);
    lua_pushstring(L, utc.text);
    lua_setfield(L, -2, "utc");
    set_integer(L, "hour", utc.hour);
    set_integer(L, "minute", utc.minute);
    set_integer(L, "weekday", utc.weekday);
}

/* Its upvalues are the second and the table that was made for it. */
static int f_utc(lua_State *L) {
    struct call_context *call = runtime_call(L);
    int64_t now = call ? call_time(call) : (int64_t)time(NULL);
    if (lua_tointeger(L, lua_upvalueindex(1)) != now) {
        push_utc(L, now);
        sandbox_freeze_module(L); /* of all requests of this second */
        lua_replace(L, lua_upvalueindex(2));
        lua_pushinteger(L, now);
        lua_replace(L, lua_upvalueindex(1));
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    return 1;
}

static const luaL_Reg functions[] = {{"monotonic_ms", f_monotonic_ms}, {"rfc3339", f_rfc3339}, {NULL, NULL}};

int luaopen_bind_clock(lua_State *L) {
    luaL_newlib(L, functions);
    lua_pushinteger(L, -1);
    lua_pushnil(L);
    lua_pushcclosure(L, f_utc, 2);
    lua_setfield(L, -2, "utc");
    return 1;
}
