/* A Lua state for targets that go through bindings, and a comparison of values. */
#ifndef FUZZ_LUA_VALUES_H
#define FUZZ_LUA_VALUES_H

#include <lauxlib.h>
#include <lualib.h>

#include "bind/bind.h"
#include "fuzz.h"

/* A state with the module json, in which chunk has been run with it; it returns the function to call, which stays on
   the stack. */
static inline lua_State *lua_with_json(const char *chunk) {
    lua_State *L = luaL_newstate();
    expect(L);
    luaL_openlibs(L);
    if (luaL_loadstring(L, chunk) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    lua_pushcfunction(L, luaopen_bind_json);
    lua_call(L, 0, 1);
    lua_call(L, 1, 1);
    return L;
}

#define LUA_EQUAL                                                                                                      \
    "local function equal(a, b)\n"                                                                                     \
    "  if type(a) ~= 'table' or type(b) ~= 'table' then\n"                                                             \
    "    return a == b and math.type(a) == math.type(b) or a ~= a and b ~= b\n"                                        \
    "  end\n"                                                                                                          \
    "  if getmetatable(a) ~= getmetatable(b) then return false end\n"                                                  \
    "  for key, value in pairs(a) do if not equal(value, b[key]) then return false end end\n"                          \
    "  for key in pairs(b) do if a[key] == nil then return false end end\n"                                            \
    "  return true\n"                                                                                                  \
    "end\n"

#endif
