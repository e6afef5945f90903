/* The simulator's clock: `clock.monotonic_ms()` and `clock.rfc3339()` (whole seconds, UTC). */
#include "clock.h"

#include <lauxlib.h>
#include <stdio.h>

#include "bind.h"

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

static const luaL_Reg functions[] = {{"monotonic_ms", f_monotonic_ms}, {"rfc3339", f_rfc3339}, {NULL, NULL}};

int luaopen_bind_clock(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
