/* host/hash.c for the specs. */
#include <lauxlib.h>
#include <string.h>

#include "hash.h"

/* keyed(key of 16 bytes, data) -> 8 bytes, as the reference implementation writes them */
static int f_keyed(lua_State *L) {
    size_t key_length, length;
    const char *key_bytes = luaL_checklstring(L, 1, &key_length);
    const char *data = luaL_checklstring(L, 2, &length);
    struct hash_key key;
    luaL_argcheck(L, key_length == sizeof key, 1, "16 bytes expected");
    memcpy(&key, key_bytes, sizeof key);
    uint64_t hash = hash_keyed(&key, data, length);
    lua_pushlstring(L, (const char *)&hash, sizeof hash);
    return 1;
}

int luaopen_native_hash(lua_State *L);

int luaopen_native_hash(lua_State *L) {
    static const luaL_Reg functions[] = {{"keyed", f_keyed}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
