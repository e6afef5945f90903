/* `require "native.bind_json"`: the Lua module json itself. */
#include "bind/bind.h"

int luaopen_native_bind_json(lua_State *L);

int luaopen_native_bind_json(lua_State *L) {
    return luaopen_bind_json(L);
}
