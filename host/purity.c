#include "purity.h"

#include <lauxlib.h>
#include <string.h>

#include "sandbox.h"

/* Keys of the registry, by address. */
static const char environment_key; /* the globals of policies */
static const char own_key;         /* set of what is the sandbox's own: read-only, without state */
static const char modules_key;     /* list of { module, value, examples } in the order of loading */
static const char loaded_key;      /* the table of all modules by name */
static const char memory_key;      /* struct memory */

enum { MODULE = 1, VALUE, EXAMPLES };

/* What policies keep: every table and closure that can be reached. User values are lists of the same length. */
enum { OBJECTS = 1, COPIES, METATABLES, LISTS = METATABLES };
struct memory {
    lua_Integer module_count;
    lua_Integer count;
    int sizes[]; /* fields of a table, upvalues of a closure */
};

bool purity_applies(const char *module) {
    return strncmp(module, "policies.", 9) == 0;
}

/* ---- globals ---- */

/* The upvalue is the original. What may only be read has no raw access either: it shows no more than it says. */
static int f_guarded(lua_State *L) {
    if (lua_istable(L, 1) && luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "what is read-only is read by its fields and by pairs");
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* The upvalues are the original and the guarded next, so that the original next goes to nobody. */
static int f_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* Replaces a function of the globals on top by one around it. */
static void guard(lua_State *L, const char *name) {
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, f_guarded, 1);
    lua_setfield(L, -2, name);
}

/* Pushes a copy of the globals for policies, behind a view. */
static void push_environment(lua_State *L, lua_CFunction require) {
    lua_pushglobaltable(L);
    luaL_getmetafield(L, -1, "__index"); /* what the view shows */
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_getmetatable(L, -2); /* refuses what is not defined */
    lua_setmetatable(L, -2);
    lua_replace(L, -2);
    lua_replace(L, -2);
    guard(L, "next");
    guard(L, "rawget");
    guard(L, "rawlen");
    guard(L, "rawset");
    lua_getfield(L, -1, "pairs");
    lua_getfield(L, -2, "next");
    lua_pushcclosure(L, f_pairs, 2);
    lua_setfield(L, -2, "pairs");
    lua_pushcfunction(L, require);
    lua_setfield(L, -2, "require");
    lua_pushvalue(L, -1);
    sandbox_freeze(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, LUA_GNAME);
    lua_replace(L, -2);
}

void purity_confine(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    lua_setupvalue(L, -2, 1); /* a chunk's only upvalue, _ENV */
}

/* ---- walking through everything that can be reached ---- */

struct walk {
    int seen;    /* stack index: set of tables and functions */
    int objects; /* stack index: list of those still to be looked into, and looked into */
    lua_Integer count;
    const char *module; /* whose state it is; NULL for the sandbox's own, where nothing is refused */
};

static const char *unsuitable(lua_State *L, int type) {
    if (type == LUA_TTHREAD)
        return "a coroutine";
    if (type == LUA_TFUNCTION && lua_iscfunction(L, -1))
        return "an iterator";
    return type == LUA_TUSERDATA ? "a value of the host" : NULL;
}

/* The value on top, which stays. */
static void visit(lua_State *L, struct walk *walk) {
    int type = lua_type(L, -1);
    if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
        lua_pushvalue(L, -1);
        bool known = lua_rawget(L, walk->seen) != LUA_TNIL;
        lua_pop(L, 1);
        if (known)
            return;
    }
    const char *what = walk->module ? unsuitable(L, type) : NULL;
    if (what)
        luaL_error(L, "%s keeps %s, which would carry state from one request to the next", walk->module, what);
    if (type != LUA_TTABLE && type != LUA_TFUNCTION)
        return;
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, walk->seen);
    if (type == LUA_TFUNCTION && lua_iscfunction(L, -1))
        return; /* the sandbox's own */
    lua_pushvalue(L, -1);
    lua_rawseti(L, walk->objects, ++walk->count);
}

/* Looks into the table on top, which stays, and leaves a copy above it. */
static int copy_table(lua_State *L, struct walk *walk) {
    int size = 0;
    lua_newtable(L);
    lua_pushnil(L);
    for (; lua_next(L, -3); size++) {
        visit(L, walk);
        lua_pushvalue(L, -2);
        visit(L, walk);
        lua_insert(L, -2); /* copy key key value */
        lua_rawset(L, -4);
    }
    return size;
}

static int copy_upvalues(lua_State *L, struct walk *walk) {
    int size = 0;
    lua_newtable(L);
    while (lua_getupvalue(L, -2, size + 1)) {
        visit(L, walk);
        lua_rawseti(L, -2, ++size);
    }
    return size;
}

/* Pushes a metatable, or false. */
static void push_metatable(lua_State *L, int index) {
    if (!lua_getmetatable(L, index))
        lua_pushboolean(L, 0);
}

/* ---- the sandbox's own ---- */

static void mark_own(lua_State *L) {
    struct walk walk = {.seen = lua_gettop(L) + 1, .objects = lua_gettop(L) + 2};
    lua_newtable(L);
    lua_newtable(L);
    lua_pushglobaltable(L);
    visit(L, &walk);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &environment_key);
    visit(L, &walk);
    lua_pop(L, 2);
    for (lua_Integer i = 1; i <= walk.count; i++) {
        lua_rawgeti(L, walk.objects, i);
        if (lua_istable(L, -1)) {
            copy_table(L, &walk);
            lua_pop(L, 1);
            push_metatable(L, -1);
            visit(L, &walk);
        }
        lua_settop(L, walk.objects);
    }
    lua_pop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &own_key);
}

void purity_open(lua_State *L, lua_CFunction require) {
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &loaded_key);
    push_environment(L, require);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &environment_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &modules_key);
    mark_own(L);
}

/* ---- modules ---- */

void purity_loaded(lua_State *L, const char *module) {
    lua_createtable(L, EXAMPLES, 0);
    lua_pushstring(L, module);
    lua_rawseti(L, -2, MODULE);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, VALUE);
    if (lua_istable(L, -2)) {
        lua_pushliteral(L, "examples");
        lua_rawget(L, -3);
        lua_rawseti(L, -2, EXAMPLES);
        lua_pushliteral(L, "examples");
        lua_pushnil(L);
        lua_rawset(L, -4);
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

void purity_push_examples(lua_State *L, const char *module) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -1, MODULE);
        bool found = strcmp(lua_tostring(L, -1), module) == 0;
        lua_pop(L, 1);
        if (found) {
            lua_rawgeti(L, -1, EXAMPLES);
            lua_replace(L, -3);
            lua_pop(L, 1);
            return;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    lua_pushnil(L);
}

/* ---- remembering ---- */

/* Stack indices of the lists that are being made. */
struct lists {
    int copies, metatables, sizes;
};

static void look_into(lua_State *L, struct walk *walk, const struct lists *lists, lua_Integer i) {
    int object = lua_gettop(L) + 1;
    lua_rawgeti(L, walk->objects, i);
    lua_pushinteger(L, lua_istable(L, object) ? copy_table(L, walk) : copy_upvalues(L, walk));
    lua_rawseti(L, lists->sizes, i);
    lua_rawseti(L, lists->copies, i);
    push_metatable(L, object);
    visit(L, walk);
    lua_rawseti(L, lists->metatables, i);
    lua_settop(L, object - 1);
}

/* Module by module, so that a refusal names the right one. */
static lua_Integer look_into_modules(lua_State *L, struct walk *walk, const struct lists *lists, int modules) {
    lua_Integer module_count = (lua_Integer)lua_rawlen(L, modules), done = 0;
    for (lua_Integer i = 1; i <= module_count; i++) {
        lua_rawgeti(L, modules, i);
        lua_rawgeti(L, -1, MODULE);
        walk->module = lua_tostring(L, -1); /* the list keeps it */
        lua_rawgeti(L, -2, VALUE);
        visit(L, walk);
        lua_pop(L, 3);
        while (done < walk->count)
            look_into(L, walk, lists, ++done);
    }
    return module_count;
}

static void push_set_of_own(lua_State *L) {
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &own_key);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

void purity_remember(lua_State *L) {
    int base = lua_gettop(L);
    luaL_checkstack(L, 20, "purity");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    push_set_of_own(L);
    for (int i = 0; i < 4; i++)
        lua_newtable(L);
    struct walk walk = {.seen = base + 2, .objects = base + 3};
    struct lists lists = {base + 4, base + 5, base + 6};
    lua_Integer module_count = look_into_modules(L, &walk, &lists, base + 1);

    size_t size = sizeof(struct memory) + (size_t)walk.count * sizeof(int);
    struct memory *memory = lua_newuserdatauv(L, size, LISTS);
    memory->module_count = module_count;
    memory->count = walk.count;
    for (lua_Integer i = 0; i < walk.count; i++) {
        lua_rawgeti(L, lists.sizes, i + 1);
        memory->sizes[i] = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    for (int list = OBJECTS; list <= LISTS; list++) {
        lua_pushvalue(L, walk.objects + list - OBJECTS);
        lua_setiuservalue(L, -2, list);
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, &memory_key);
    lua_settop(L, base);
}

/* ---- restoring ---- */

/* Table and its copy on top. */
static bool is_same_table(lua_State *L, int size) {
    int count = 0;
    lua_pushnil(L);
    for (; lua_next(L, -3); count++) {
        lua_pushvalue(L, -2);
        lua_rawget(L, -4);
        if (!lua_rawequal(L, -1, -2)) {
            lua_pop(L, 3);
            return false;
        }
        lua_pop(L, 2);
    }
    return count == size;
}

static void rewrite_table(lua_State *L) {
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, -5); /* an existing field: lua_next allows it */
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
}

/* Table, its copy and its metatable or false on top. */
static void restore_metatable(lua_State *L) {
    push_metatable(L, -3);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 1);
    if (same)
        return;
    if (!lua_istable(L, -1)) {
        lua_pushnil(L);
        lua_setmetatable(L, -4);
        return;
    }
    /* A rule may have put a finalizer there by now. Lua looks for it at this moment alone, and would call it outside of
       every limit. */
    lua_pushliteral(L, "__gc");
    lua_pushvalue(L, -1);
    lua_rawget(L, -3); /* table copy metatable name finalizer */
    lua_pushvalue(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -5);
    lua_pushvalue(L, -3);
    lua_setmetatable(L, -6);
    lua_rawset(L, -3);
}

/* Closure and the list of its upvalues on top. */
static void restore_upvalues(lua_State *L, int size) {
    for (int i = 1; i <= size; i++) {
        lua_rawgeti(L, -1, i);
        lua_getupvalue(L, -3, i);
        bool same = lua_rawequal(L, -1, -2);
        lua_pop(L, 1);
        if (same || !lua_setupvalue(L, -3, i))
            lua_pop(L, 1);
    }
}

static void forget_modules(lua_State *L, lua_Integer keep) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &loaded_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &modules_key);
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i > keep; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -1, MODULE);
        lua_pushnil(L);
        lua_rawset(L, -5);
        lua_pop(L, 1);
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 2);
}

void purity_restore(lua_State *L) {
    luaL_checkstack(L, 20, "purity");
    int base = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &memory_key);
    const struct memory *memory = lua_touserdata(L, -1);
    for (int list = OBJECTS; list <= LISTS; list++)
        lua_getiuservalue(L, base + 1, list);
    for (lua_Integer i = 1; i <= memory->count; i++) {
        lua_rawgeti(L, base + 1 + OBJECTS, i);
        lua_rawgeti(L, base + 1 + COPIES, i);
        if (lua_istable(L, -2)) {
            if (!is_same_table(L, memory->sizes[i - 1]))
                rewrite_table(L);
            lua_rawgeti(L, base + 1 + METATABLES, i);
            restore_metatable(L);
            lua_pop(L, 3);
        } else {
            restore_upvalues(L, memory->sizes[i - 1]);
            lua_pop(L, 2);
        }
    }
    forget_modules(L, memory->module_count);
    lua_settop(L, base);
}
