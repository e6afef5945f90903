#include "metrics.h"

#include <lauxlib.h>
#include <pthread.h>
#include <string.h>

#include "bind/bind.h"
#include "runtime.h"

enum {
    MAX_SCRIPT_FAMILIES =
        64, /* that scripts ever made: a family is never forgotten, so reloads must not add for ever */
    MAX_NAME_BYTES = 128,
    MAX_HELP_BYTES = 256,
};

static const char counter_type[] = "metrics.counter";
static const char histogram_type[] = "metrics.histogram";

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int script_families;

static bool is_name(const char *name) {
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return name[length] == '\0' && name[0] >= 'a' && name[0] <= 'z' && length <= MAX_NAME_BYTES;
}

/* NULL and a reason. The same declaration, made again by a reload or another state, gives the same family. */
static struct metric *family(enum metric_type type, const char *name, const char *help, const char *labels,
                             const char **reason) {
    pthread_mutex_lock(&mutex);
    bool known = metric_find(name) != NULL;
    bool room = known || script_families < MAX_SCRIPT_FAMILIES;
    struct metric *metric = room ? metric_family(type, name, help, labels) : NULL;
    if (metric && !known)
        script_families++;
    pthread_mutex_unlock(&mutex);
    *reason = !room   ? "scripts have made 64 metrics since the start, which is the limit"
              : known ? "this metric exists with another type or other labels; give the new one a new name"
                      : "the labels are no distinct Prometheus names";
    return metric;
}

/* Pushes the labels of the list at index 3, apart by ",". */
static const char *check_labels(lua_State *L) {
    luaL_Buffer labels;
    lua_settop(L, 3);
    if (lua_isnil(L, 3))
        return "";
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_Unsigned count = lua_rawlen(L, 3);
    luaL_argcheck(L, count <= METRICS_MAX_LABELS, 3, "at most 6 labels");
    luaL_buffinit(L, &labels);
    for (lua_Unsigned i = 1; i <= count; i++) {
        if (lua_rawgeti(L, 3, (lua_Integer)i) != LUA_TSTRING || !is_name(lua_tostring(L, -1)))
            luaL_argerror(L, 3, "labels are strings like 'result'");
        luaL_addvalue(&labels);
        if (i < count)
            luaL_addchar(&labels, ',');
    }
    luaL_pushresult(&labels);
    return lua_tostring(L, -1);
}

static int declare(lua_State *L, enum metric_type type, const char *suffix, const char *type_name) {
    const char *reason;
    const char *name = luaL_checkstring(L, 1);
    const char *help = luaL_checkstring(L, 2);
    size_t length = strlen(name), suffix_length = strlen(suffix);
    if (runtime_call(L))
        return luaL_error(L, "metrics are declared while the bundle loads, not while it serves");
    if (!is_name(name) || length <= suffix_length || strcmp(name + length - suffix_length, suffix) != 0)
        return luaL_argerror(L, 1, lua_pushfstring(L, "the name holds a-z, 0-9 and '_' and ends in '%s'", suffix));
    luaL_argcheck(L, *help && strlen(help) <= MAX_HELP_BYTES, 2, "1 to 256 bytes of help");
    const char *labels = check_labels(L);
    struct metric **handle = lua_newuserdatauv(L, sizeof(struct metric *), 0);
    *handle = family(type, name, help, labels, &reason);
    if (!*handle)
        return luaL_error(L, "metric '%s': %s", name, reason);
    luaL_setmetatable(L, type_name);
    return 1;
}

static int f_counter(lua_State *L) {
    return declare(L, METRIC_COUNTER, "_total", counter_type);
}

static int f_histogram(lua_State *L) {
    return declare(L, METRIC_HISTOGRAM, "_seconds", histogram_type);
}

/* The series of the label values that follow the amount. */
static struct series *check_series(lua_State *L, const char *type_name) {
    const char *values[METRICS_MAX_LABELS] = {0};
    struct metric *metric = *(struct metric **)luaL_checkudata(L, 1, type_name);
    int wanted = (int)metric_label_count(metric), given = lua_gettop(L) - 2;
    if (given != wanted)
        luaL_error(L, "%d label values expected, got %d", wanted, given < 0 ? 0 : given);
    for (int i = 0; i < wanted; i++)
        values[i] = luaL_checkstring(L, i + 3);
    runtime_call(L); /* counting is an effect: an answer that is remembered would not be counted */
    return metric_series(metric, values);
}

static int f_add(lua_State *L) {
    struct series *series = check_series(L, counter_type);
    lua_Number amount = luaL_checknumber(L, 2);
    luaL_argcheck(L, amount >= 0, 2, "a counter only grows");
    series_add(series, amount);
    return 0;
}

static int f_observe(lua_State *L) {
    struct series *series = check_series(L, histogram_type);
    lua_Number seconds = luaL_checknumber(L, 2);
    luaL_argcheck(L, seconds >= 0, 2, "seconds are not negative");
    series_observe(series, seconds);
    return 0;
}

static const luaL_Reg counter_methods[] = {{"add", f_add}, {NULL, NULL}};
static const luaL_Reg histogram_methods[] = {{"observe", f_observe}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"counter", f_counter}, {"histogram", f_histogram}, {NULL, NULL}};

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

int luaopen_bind_metrics(lua_State *L) {
    new_type(L, counter_type, counter_methods);
    new_type(L, histogram_type, histogram_methods);
    luaL_newlib(L, functions);
    return 1;
}
