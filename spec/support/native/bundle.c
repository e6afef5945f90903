/* `require "native.bundle"`: host/bundle.h. */
#include <lauxlib.h>

#include "bundle.h"

int luaopen_native_bundle(lua_State *L);

static const char *check_field(lua_State *L, lua_Integer row, int column) {
    lua_rawgeti(L, 1, row);
    lua_rawgeti(L, -1, column);
    const char *text = luaL_checkstring(L, -1);
    lua_pop(L, 2); /* the tables keep it */
    return text;
}

static void push_file(lua_State *L, const struct bundle_file *file) {
    lua_createtable(L, 0, 4);
    lua_pushstring(L, file->module);
    lua_setfield(L, -2, "module");
    lua_pushstring(L, file->path);
    lua_setfield(L, -2, "path");
    lua_pushlstring(L, file->source->data, file->source->length);
    lua_setfield(L, -2, "source");
    lua_pushstring(L, file->sha256);
    lua_setfield(L, -2, "sha256");
}

/* read{{prefix, directory}, …} -> { revision = …, files = { in order }, found = { by module } }; or nil, message */
static int f_read(lua_State *L) {
    struct bundle_source sources[4];
    size_t count = (size_t)luaL_len(L, 1);
    luaL_argcheck(L, count <= 4, 1, "too many");
    for (size_t i = 0; i < count; i++)
        sources[i] =
            (struct bundle_source){check_field(L, (lua_Integer)i + 1, 1), check_field(L, (lua_Integer)i + 1, 2)};
    struct buffer error = {0};
    struct bundle *bundle = bundle_read(sources, count, &error);
    if (!bundle) {
        lua_pushnil(L);
        lua_pushstring(L, error.data);
        buffer_free(&error);
        return 2;
    }
    bundle_release(bundle_reference(bundle));
    lua_createtable(L, 0, 3);
    lua_pushstring(L, bundle->revision);
    lua_setfield(L, -2, "revision");
    lua_pushstring(L, bundle->code_revision);
    lua_setfield(L, -2, "code_revision");
    lua_createtable(L, (int)bundle->file_count, 0);
    lua_createtable(L, 0, (int)bundle->file_count);
    for (size_t i = 0; i < bundle->file_count; i++) {
        push_file(L, &bundle->files[i]);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        const struct bundle_file *found = bundle_find(bundle, bundle->files[i].module);
        lua_pushstring(L, found ? found->path : NULL);
        lua_setfield(L, -2, bundle->files[i].module);
    }
    lua_setfield(L, -3, "found");
    lua_setfield(L, -2, "files");
    lua_pushboolean(L, bundle_find(bundle, "scripts.nowhere") != NULL);
    lua_setfield(L, -2, "found_nowhere");
    bundle_release(bundle);
    buffer_free(&error);
    return 1;
}

static const luaL_Reg functions[] = {{"read", f_read}, {NULL, NULL}};

int luaopen_native_bundle(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
