/* `require "native.globals"`: host/globals.h. */
#include <lauxlib.h>
#include <stdlib.h>

#include "bytes.h"
#include "globals.h"

int luaopen_native_globals(lua_State *L);

static int write_code(lua_State *L, const void *data, size_t length, void *context) {
    (void)L;
    buffer_append(context, data, length);
    return 0;
}

static int push_uses(lua_State *L, const char *code, size_t length) {
    struct global_uses found;
    if (!globals_find(code, length, &found))
        return 0;
    lua_createtable(L, (int)found.count, 0);
    for (size_t i = 0; i < found.count; i++) {
        const struct global_use *use = &found.uses[i];
        lua_createtable(L, 3, 0);
        lua_pushinteger(L, use->line);
        lua_seti(L, -2, 1);
        lua_pushstring(L, use->assigned ? "assigned" : "read");
        lua_seti(L, -2, 2);
        lua_pushlstring(L, use->name, use->length);
        lua_seti(L, -2, 3);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    free(found.uses);
    return 1;
}

/* find(text) -> { { line, "read" | "assigned", name }, … }; with a length, of so many bytes of its code: or nothing */
static int f_find(lua_State *L) {
    size_t length;
    const char *text = luaL_checklstring(L, 1, &length);
    lua_Integer given = luaL_optinteger(L, 2, -1);
    if (luaL_loadbufferx(L, text, length, "=text", "t") != LUA_OK)
        return lua_error(L);
    struct buffer code = {0};
    lua_dump(L, write_code, &code, 0);
    size_t wanted = given < 0 ? code.length : (size_t)given;
    char *part = malloc(wanted ? wanted : 1); /* of its own, so that a sanitizer sees what is read beyond it */
    for (size_t i = 0; i < wanted; i++)
        part[i] = i < code.length ? code.data[i] : 0;
    int count = push_uses(L, part, wanted);
    free(part);
    lua_pushinteger(L, (lua_Integer)code.length);
    buffer_free(&code);
    return count + 1;
}

static const luaL_Reg functions[] = {{"find", f_find}, {NULL, NULL}};

int luaopen_native_globals(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
