/* `require "native.kube_object"`: host/kube_object.h. */
#include <lauxlib.h>

#include "kube_object.h"

int luaopen_native_kube_object(lua_State *L);

/* read(text) -> table | nil */
static int f_read(lua_State *L) {
    struct span all;
    struct kube_object_text text;
    all.data = luaL_checklstring(L, 1, &all.length);
    if (!kube_object_read_all(all, &text)) {
        lua_pushnil(L);
        return 1;
    }
    struct kube_object *object = kube_object_copy(&text);
    if (!object)
        return luaL_error(L, "out of memory");
    kube_object_release(kube_object_reference(object));
    lua_newtable(L);
    lua_pushstring(L, object->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, object->namespace);
    lua_setfield(L, -2, "namespace");
    lua_pushstring(L, object->uid);
    lua_setfield(L, -2, "uid");
    lua_pushstring(L, object->resource_version);
    lua_setfield(L, -2, "resource_version");
    lua_pushinteger(L, (lua_Integer)object->version);
    lua_setfield(L, -2, "version");
    lua_pushlstring(L, object->labels.data ? object->labels.data : "", object->labels.length);
    lua_setfield(L, -2, "labels");
    lua_pushlstring(L, object->text.data, object->text.length);
    lua_setfield(L, -2, "text");
    kube_object_release(object);
    return 1;
}

static const luaL_Reg functions[] = {{"read", f_read}, {NULL, NULL}};

int luaopen_native_kube_object(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
