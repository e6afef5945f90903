/* What scripts see: a list of what is allowed. Not on it, on purpose: whatever loads code or reaches outside (load,
   require of files, io, os, debug, package, string.dump), whatever is not the same tomorrow (math.random, os.time), the
   collector and finalizers. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "sandbox_state.h"

/* The key in a metatable that marks a read-only view. */
static const char view_mark;

/* ---- globals, libraries and modules that cannot be changed ---- */

static int f_refuse_write(lua_State *L) {
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "cannot assign to '%s': globals, libraries and modules are read-only", lua_tostring(L, 2));
    return luaL_error(L, "globals, libraries and modules are read-only");
}

static int f_refuse_undefined(lua_State *L) {
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "undefined global '%s'", lua_tostring(L, 2));
    return luaL_error(L, "undefined global");
}

void sandbox_freeze(lua_State *L) {
    lua_newtable(L); /* table view */
    lua_createtable(L, 0, 4);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, f_refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, &view_mark);
    lua_setmetatable(L, -2);
    lua_replace(L, -2);
}

static bool is_view(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        return false;
    bool result = lua_rawgetp(L, -1, &view_mark) != LUA_TNIL;
    lua_pop(L, 2);
    return result;
}

/* Pushes the table behind the view at index 1. */
static void push_viewed(lua_State *L) {
    luaL_argcheck(L, is_view(L, 1), 1, "module expected");
    luaL_getmetafield(L, 1, "__index");
}

static int f_view_len(lua_State *L) {
    push_viewed(L);
    lua_pushinteger(L, luaL_len(L, -1));
    return 1;
}

static int f_view_next(lua_State *L) {
    lua_settop(L, 2); /* view key */
    push_viewed(L);
    lua_insert(L, 2);
    return lua_next(L, 2) ? 2 : 0;
}

static int f_view_pairs(lua_State *L) {
    lua_settop(L, 1);
    lua_pushcfunction(L, f_view_next);
    lua_insert(L, 1);
    return 2;
}

void sandbox_freeze_module(lua_State *L) {
    sandbox_freeze(L);
    lua_getmetatable(L, -1);
    lua_pushcfunction(L, f_view_len);
    lua_setfield(L, -2, "__len");
    lua_pushcfunction(L, f_view_pairs);
    lua_setfield(L, -2, "__pairs");
    lua_pop(L, 1);
}

void sandbox_thaw(lua_State *L) {
    if (!is_view(L, -1))
        return;
    luaL_getmetafield(L, -1, "__index");
    lua_replace(L, -2);
}

void sandbox_define(lua_State *L, const char *name) {
    lua_pushglobaltable(L); /* value view */
    luaL_getmetafield(L, -1, "__index");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, name);
    lua_pop(L, 3);
}

/* ---- basic functions ---- */

void sandbox_tostring(lua_State *L, int index) {
    int type = lua_type(L, index);
    if (type >= LUA_TTABLE || type == LUA_TLIGHTUSERDATA) {
        int kind = luaL_getmetafield(L, index, "__tostring");
        if (kind == LUA_TNIL) {
            if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING)
                return;
            lua_pushstring(L, lua_typename(L, type));
            return;
        }
        lua_pop(L, 1);
    }
    luaL_tolstring(L, index, NULL);
}

static int f_tostring(lua_State *L) {
    luaL_checkany(L, 1);
    sandbox_tostring(L, 1);
    return 1;
}

static int f_getmetatable(lua_State *L) {
    luaL_checkany(L, 1);
    /* Those of strings and of userdata belong to the host. */
    if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1))
        lua_pushnil(L);
    else if (luaL_getmetafield(L, 1, "__metatable") == LUA_TNIL)
        lua_settop(L, 2);
    return 1;
}

static int f_setmetatable(lua_State *L) {
    static const char *const refused[] = {"__gc", "__mode"};
    luaL_checktype(L, 1, LUA_TTABLE);
    if (lua_type(L, 2) != LUA_TNIL)
        luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    for (size_t i = 0; lua_istable(L, 2) && i < sizeof refused / sizeof *refused; i++) {
        lua_pushstring(L, refused[i]);
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "metatables may not have '%s' here", refused[i]);
        lua_pop(L, 1);
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int f_rawset(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (is_view(L, 1))
        return f_refuse_write(L);
    lua_rawset(L, 1);
    return 1;
}

static int finish_pcall(lua_State *L, int status, lua_KContext below) {
    if (status == LUA_OK || status == LUA_YIELD)
        return lua_gettop(L) - (int)below;
    sandbox_pass_on(L, status);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int f_pcall(lua_State *L) {
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall), 0);
}

static int f_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* function handler true function arguments... */
    return finish_pcall(L, lua_pcallk(L, lua_gettop(L) - 4, LUA_MULTRET, 2, 2, finish_pcall), 2);
}

/* ---- the list ---- */

static const struct allowed {
    const char *library;
    const char *name;
    lua_CFunction replacement; /* has the original as its first upvalue */
} allowed[] = {
    {LUA_GNAME, "_VERSION", NULL},
    {LUA_GNAME, "assert", NULL},
    {LUA_GNAME, "error", NULL},
    {LUA_GNAME, "getmetatable", f_getmetatable},
    {LUA_GNAME, "ipairs", NULL},
    {LUA_GNAME, "next", NULL},
    {LUA_GNAME, "pairs", NULL},
    {LUA_GNAME, "pcall", f_pcall},
    {LUA_GNAME, "rawequal", NULL},
    {LUA_GNAME, "rawget", NULL},
    {LUA_GNAME, "rawlen", NULL},
    {LUA_GNAME, "rawset", f_rawset},
    {LUA_GNAME, "select", NULL},
    {LUA_GNAME, "setmetatable", f_setmetatable},
    {LUA_GNAME, "tonumber", NULL},
    {LUA_GNAME, "tostring", f_tostring},
    {LUA_GNAME, "type", NULL},
    {LUA_GNAME, "xpcall", f_xpcall},

    {LUA_COLIBNAME, "close", sandbox_coroutine_close},
    {LUA_COLIBNAME, "create", NULL},
    {LUA_COLIBNAME, "isyieldable", NULL},
    {LUA_COLIBNAME, "resume", sandbox_coroutine_resume},
    {LUA_COLIBNAME, "running", NULL},
    {LUA_COLIBNAME, "status", NULL},
    {LUA_COLIBNAME, "wrap", sandbox_coroutine_wrap},
    {LUA_COLIBNAME, "yield", NULL},

    {LUA_MATHLIBNAME, "abs", NULL},
    {LUA_MATHLIBNAME, "acos", NULL},
    {LUA_MATHLIBNAME, "asin", NULL},
    {LUA_MATHLIBNAME, "atan", NULL},
    {LUA_MATHLIBNAME, "ceil", NULL},
    {LUA_MATHLIBNAME, "cos", NULL},
    {LUA_MATHLIBNAME, "deg", NULL},
    {LUA_MATHLIBNAME, "exp", NULL},
    {LUA_MATHLIBNAME, "floor", NULL},
    {LUA_MATHLIBNAME, "fmod", NULL},
    {LUA_MATHLIBNAME, "huge", NULL},
    {LUA_MATHLIBNAME, "log", NULL},
    {LUA_MATHLIBNAME, "max", NULL},
    {LUA_MATHLIBNAME, "maxinteger", NULL},
    {LUA_MATHLIBNAME, "min", NULL},
    {LUA_MATHLIBNAME, "mininteger", NULL},
    {LUA_MATHLIBNAME, "modf", NULL},
    {LUA_MATHLIBNAME, "pi", NULL},
    {LUA_MATHLIBNAME, "rad", NULL},
    {LUA_MATHLIBNAME, "sin", NULL},
    {LUA_MATHLIBNAME, "sqrt", NULL},
    {LUA_MATHLIBNAME, "tan", NULL},
    {LUA_MATHLIBNAME, "tointeger", NULL},
    {LUA_MATHLIBNAME, "type", NULL},
    {LUA_MATHLIBNAME, "ult", NULL},

    {LUA_STRLIBNAME, "byte", NULL},
    {LUA_STRLIBNAME, "char", NULL},
    {LUA_STRLIBNAME, "find", sandbox_string_find},
    {LUA_STRLIBNAME, "format", sandbox_string_format},
    {LUA_STRLIBNAME, "gmatch", sandbox_string_gmatch},
    {LUA_STRLIBNAME, "gsub", sandbox_string_gsub},
    {LUA_STRLIBNAME, "len", NULL},
    {LUA_STRLIBNAME, "lower", NULL},
    {LUA_STRLIBNAME, "match", sandbox_string_match},
    {LUA_STRLIBNAME, "rep", sandbox_string_rep},
    {LUA_STRLIBNAME, "reverse", NULL},
    {LUA_STRLIBNAME, "sub", NULL},
    {LUA_STRLIBNAME, "upper", NULL},

    {LUA_TABLIBNAME, "concat", sandbox_table_concat},
    {LUA_TABLIBNAME, "insert", sandbox_table_insert},
    {LUA_TABLIBNAME, "move", sandbox_table_move},
    {LUA_TABLIBNAME, "pack", NULL},
    {LUA_TABLIBNAME, "remove", sandbox_table_remove},
    {LUA_TABLIBNAME, "sort", sandbox_table_sort},
    {LUA_TABLIBNAME, "unpack", sandbox_table_unpack},

    {LUA_UTF8LIBNAME, "char", NULL},
    {LUA_UTF8LIBNAME, "charpattern", NULL},
    {LUA_UTF8LIBNAME, "codepoint", NULL},
    {LUA_UTF8LIBNAME, "codes", NULL},
    {LUA_UTF8LIBNAME, "len", NULL},
    {LUA_UTF8LIBNAME, "offset", NULL},
};

/* Adds what is allowed of the library at index `library` to the table on top. */
static void copy_allowed(lua_State *L, int library, const char *name) {
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        if (strcmp(allowed[i].library, name) != 0)
            continue;
        lua_getfield(L, library, allowed[i].name);
        if (allowed[i].replacement)
            lua_pushcclosure(L, allowed[i].replacement, 1);
        lua_setfield(L, -2, allowed[i].name);
    }
}

void sandbox_open_libraries(lua_State *L) {
    static const luaL_Reg libraries[] = {
        {LUA_COLIBNAME, luaopen_coroutine}, {LUA_MATHLIBNAME, luaopen_math}, {LUA_STRLIBNAME, luaopen_string},
        {LUA_TABLIBNAME, luaopen_table},    {LUA_UTF8LIBNAME, luaopen_utf8},
    };
    lua_newtable(L); /* the globals */
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    lua_insert(L, 1); /* original globals */
    copy_allowed(L, 1, LUA_GNAME);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_pushcfunction(L, libraries[i].func);
        lua_call(L, 0, 1);
        lua_newtable(L); /* original globals library allowed */
        copy_allowed(L, 3, libraries[i].name);
        if (libraries[i].func == luaopen_string) {
            lua_pushliteral(L, "");
            lua_getmetatable(L, -1);
            lua_pushvalue(L, 4);
            lua_setfield(L, -2, "__index");
            lua_pushboolean(L, 0);
            lua_setfield(L, -2, "__metatable");
            lua_pop(L, 2);
        }
        sandbox_freeze(L);
        lua_setfield(L, 2, libraries[i].name);
        lua_settop(L, 2);
    }
    lua_newtable(L);
    lua_pushcfunction(L, f_refuse_undefined);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, 2);
    lua_pushvalue(L, 2);
    sandbox_freeze(L); /* original globals view */
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, LUA_GNAME);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}
