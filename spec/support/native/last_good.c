/* `require "native.last_good"`: host/last_good.h, for scripts and policies. */
#include <lauxlib.h>

#include "last_good.h"

int luaopen_native_last_good(lua_State *L);

static const struct bundle_source kept[] = {{"scripts", ""}, {"policies", ""}};

static int push_message(lua_State *L, struct buffer *error) {
    lua_pushnil(L);
    lua_pushstring(L, error->length ? error->data : NULL);
    buffer_free(error);
    return 2;
}

/* save(state_dir, scripts_dir, policies_dir) -> revision; or nil, message */
static int f_save(lua_State *L) {
    const struct bundle_source sources[] = {{"scripts", luaL_checkstring(L, 2)}, {"policies", luaL_checkstring(L, 3)}};
    struct buffer error = {0};
    struct bundle *bundle = bundle_read(sources, 2, &error);
    if (!bundle)
        return push_message(L, &error);
    bool saved = last_good_save(luaL_checkstring(L, 1), bundle, kept, 2, &error);
    lua_pushstring(L, bundle->revision);
    bundle_release(bundle);
    if (!saved)
        return push_message(L, &error);
    buffer_free(&error);
    return 1;
}

/* read(state_dir) -> revision; or nil, message */
static int f_read(lua_State *L) {
    struct buffer error = {0};
    struct bundle *bundle = last_good_read(luaL_checkstring(L, 1), kept, 2, &error);
    if (!bundle)
        return push_message(L, &error);
    lua_pushstring(L, bundle->revision);
    bundle_release(bundle);
    buffer_free(&error);
    return 1;
}

static const luaL_Reg functions[] = {{"save", f_save}, {"read", f_read}, {NULL, NULL}};

int luaopen_native_last_good(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
