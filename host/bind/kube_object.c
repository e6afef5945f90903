#include "../kube_object.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bind/json.h"
#include "bind/kube.h"
#include "json_span.h"
#include "kube_failure.h"

static const char OBJECT[] = "kube.object", LABELS[] = "kube.labels", FAILURE[] = "kube.failure";

enum {
    MAX_PATH_BYTES = 512,
    HELD_KEPT = 256, /* places for objects that a state keeps between requests */
};

/* ---- Objects ---- */

/* What a request holds. Objects are let go when it ends, not when the collector finds them: a state that rests would
   keep old versions of thousands alive, and thousands of finalizers would cost more than the list itself. */
struct held {
    struct kube_object **objects;
    size_t count, capacity;
    uint64_t request; /* counts them */
};

struct handle {
    struct kube_object *object; /* valid during the request it came in */
    struct held *held;
    uint64_t request;
};

static const char held_key; /* registry key, by address */

struct kube_object *bind_kube_object(lua_State *L, int index) {
    const struct handle *handle = luaL_testudata(L, index, OBJECT);
    return handle && handle->request == handle->held->request ? handle->object : NULL;
}

static struct kube_object *check_object(lua_State *L, int argument) {
    const struct handle *handle = luaL_checkudata(L, argument, OBJECT);
    if (handle->request != handle->held->request)
        luaL_argerror(L, argument, "belongs to an earlier request");
    return handle->object;
}

static struct held *held_of(lua_State *L) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &held_key);
    struct held *held = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return held;
}

/* Room for one more. */
static bool held_reserve(struct held *held) {
    if (held->count < held->capacity)
        return true;
    size_t capacity = held->capacity ? held->capacity * 2 : 16;
    struct kube_object **objects = realloc(held->objects, capacity * sizeof *objects);
    if (!objects)
        return false;
    held->objects = objects;
    held->capacity = capacity;
    return true;
}

static void held_clear(struct held *held) {
    for (size_t i = 0; i < held->count; i++)
        kube_object_release(held->objects[i]);
    held->count = 0;
    held->request++;
    if (held->capacity > HELD_KEPT) {
        free(held->objects);
        held->objects = NULL;
        held->capacity = 0;
    }
}

static int f_held_gc(lua_State *L) {
    struct held *held = lua_touserdata(L, 1);
    held_clear(held);
    free(held->objects);
    held->objects = NULL;
    held->capacity = 0;
    return 0;
}

void bind_kube_push_object(lua_State *L, struct kube_object **object) {
    struct held *held = held_of(L);
    luaL_checkstack(L, 3, "kube");
    if (!held_reserve(held))
        luaL_error(L, "out of memory");
    struct handle *handle = lua_newuserdatauv(L, sizeof *handle, 0);
    *handle = (struct handle){*object, held, held->request};
    held->objects[held->count++] = *object;
    *object = NULL;
    luaL_setmetatable(L, OBJECT);
}

void bind_kube_forget(lua_State *L) {
    struct held *held = held_of(L);
    if (held)
        held_clear(held);
}

static int f_text(lua_State *L) {
    const struct kube_object *object = check_object(L, 1);
    lua_pushlstring(L, object->text.data, object->text.length);
    return 1;
}

/* The part of object that a dotted path names. */
static struct span part_of(lua_State *L, const struct kube_object *object, const char *path) {
    char key[MAX_PATH_BYTES + 1];
    struct span part = object->text;
    luaL_argcheck(L, *path && strlen(path) <= MAX_PATH_BYTES, 2, "must be a path of keys");
    while (part.length) {
        size_t length = strcspn(path, ".");
        memcpy(key, path, length);
        key[length] = '\0';
        part = json_member(part, key);
        if (!path[length])
            break;
        path += length + 1;
    }
    return part;
}

static int f_decode(lua_State *L) {
    const struct kube_object *object = check_object(L, 1);
    struct span part = part_of(L, object, luaL_checkstring(L, 2));
    if (!part.length)
        return 0;
    return bind_json_decode(L, part);
}

/* Labels are looked up in the object's bytes, so a rule that asks for one costs no table of all. */
static void push_labels(lua_State *L, int object) {
    lua_newuserdatauv(L, 0, 1);
    lua_pushvalue(L, object);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, LABELS);
}

static int f_index(lua_State *L) {
    const struct kube_object *object = check_object(L, 1);
    const char *field = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(field, "labels") == 0)
        push_labels(L, 1);
    else if (strcmp(field, "name") == 0)
        lua_pushstring(L, object->name);
    else if (strcmp(field, "namespace") == 0)
        lua_pushstring(L, object->namespace);
    else if (strcmp(field, "uid") == 0)
        lua_pushstring(L, object->uid);
    else if (strcmp(field, "resource_version") == 0)
        lua_pushstring(L, object->resource_version);
    else {
        lua_settop(L, 2);
        lua_rawget(L, lua_upvalueindex(1));
    }
    return 1;
}

static int f_read_only(lua_State *L) {
    return luaL_error(L, "Kubernetes objects are read-only: change them with a merge patch");
}

/* ---- Labels ---- */

static const struct kube_object *labelled(lua_State *L) {
    luaL_checkudata(L, 1, LABELS);
    lua_getiuservalue(L, 1, 1);
    return check_object(L, -1); /* the labels keep it alive */
}

/* Pushes a JSON string's value, or nil. */
static void push_string(lua_State *L, struct span value) {
    size_t length = json_string(value, NULL, 0);
    if (length == SIZE_MAX) {
        lua_pushnil(L);
        return;
    }
    luaL_Buffer buffer;
    json_string(value, luaL_buffinitsize(L, &buffer, length + 1), length + 1);
    luaL_pushresultsize(&buffer, length);
}

static int f_label(lua_State *L) {
    const struct kube_object *object = labelled(L);
    if (lua_type(L, 2) == LUA_TSTRING)
        push_string(L, json_member(object->labels, lua_tostring(L, 2)));
    else
        lua_pushnil(L);
    return 1;
}

static int f_next_label(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    return lua_next(L, 1) ? 2 : 0;
}

static int f_label_pairs(lua_State *L) {
    const struct kube_object *object = labelled(L);
    struct span key, value;
    size_t cursor = 0;
    lua_pushcfunction(L, f_next_label);
    lua_newtable(L);
    while (json_next(object->labels, &cursor, &key, &value)) {
        push_string(L, key);
        push_string(L, value);
        lua_rawset(L, -3);
    }
    return 2;
}

/* ---- Failures ---- */

static void push_causes(lua_State *L, struct span causes) {
    static const char *const fields[] = {"field", "message", "reason"};
    struct span key, value;
    size_t cursor = 0;
    lua_Integer count = 0;
    lua_newtable(L);
    while (json_next(causes, &cursor, &key, &value)) {
        lua_createtable(L, 0, 3);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            push_string(L, json_member(value, fields[i]));
            lua_setfield(L, -2, fields[i]);
        }
        lua_rawseti(L, -2, ++count);
    }
}

void bind_kube_push_failure(lua_State *L, const struct kube_failure *failure) {
    luaL_checkstack(L, 5, "kube");
    lua_createtable(L, 0, 6);
    lua_pushstring(L, kube_code_name(failure->code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, failure->message);
    lua_setfield(L, -2, "message");
    if (failure->status) {
        lua_pushinteger(L, failure->status);
        lua_setfield(L, -2, "status");
    }
    if (failure->reason[0]) {
        lua_pushstring(L, failure->reason);
        lua_setfield(L, -2, "reason");
    }
    if (failure->causes.length) {
        push_causes(L, failure->causes);
        lua_setfield(L, -2, "causes");
    }
    if (failure->retry_after >= 0) {
        lua_pushinteger(L, failure->retry_after);
        lua_setfield(L, -2, "retry_after");
    }
    luaL_setmetatable(L, FAILURE);
}

static int f_failure_text(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushliteral(L, "message");
    lua_rawget(L, 1);
    return 1;
}

/* ---- Metatables ---- */

static const luaL_Reg object_methods[] = {{"decode", f_decode}, {"text", f_text}, {NULL, NULL}};
static const luaL_Reg label_functions[] = {
    {"__index", f_label}, {"__newindex", f_read_only}, {"__pairs", f_label_pairs}, {NULL, NULL}};

/* Pushes a metatable that scripts cannot reach. */
static void new_metatable(lua_State *L, const char *name) {
    luaL_newmetatable(L, name);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void bind_kube_open_objects(lua_State *L) {
    if (held_of(L))
        return;
    struct held *held = lua_newuserdatauv(L, sizeof *held, 0);
    *held = (struct held){0};
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, f_held_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &held_key);

    new_metatable(L, OBJECT);
    luaL_newlib(L, object_methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, f_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, f_read_only);
    lua_setfield(L, -2, "__newindex");
    new_metatable(L, LABELS);
    luaL_setfuncs(L, label_functions, 0);
    new_metatable(L, FAILURE);
    lua_pushcfunction(L, f_failure_text);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 3);
}
