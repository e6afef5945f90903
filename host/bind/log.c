#include "log.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "bind/bind.h"
#include "runtime.h"

enum {
    MAX_FIELDS = 32, /* of a line; with the sizes below, a line stays under 40 KiB */
    MAX_NAME_BYTES = 64,
    MAX_TEXT_BYTES = 1024, /* of a field; what is longer is cut */
};

struct field {
    const char *name; /* name and text stay in the script's table */
    int type;         /* Lua's */
    bool integral;
    bool boolean;
    lua_Integer integer;
    lua_Number number;
    const char *text;
    size_t text_length;
};

/* The value on top of the stack. */
static struct field read_field(lua_State *L, const char *name) {
    struct field field = {.name = name, .type = lua_type(L, -1)};
    switch (field.type) {
    case LUA_TBOOLEAN:
        field.boolean = lua_toboolean(L, -1);
        break;
    case LUA_TNUMBER:
        field.integral = lua_isinteger(L, -1);
        field.integer = field.integral ? lua_tointeger(L, -1) : 0;
        field.number = lua_tonumber(L, -1);
        break;
    case LUA_TSTRING:
        field.text = lua_tolstring(L, -1, &field.text_length);
        break;
    case LUA_TLIGHTUSERDATA:
        field.text = lua_touserdata(L, -1) ? lua_typename(L, field.type) : NULL; /* json.null is NULL */
        break;
    default:
        field.text = lua_typename(L, field.type);
    }
    return field;
}

/* The name at index, of a field of argument. */
static const char *check_name(lua_State *L, int index, int argument) {
    static const char *const reserved[] = {"time", "level", "message", "request_id"};
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_argerror(L, argument, "the names of fields are strings");
    size_t length;
    const char *name = lua_tolstring(L, index, &length);
    if (length == 0 || length > MAX_NAME_BYTES || strlen(name) != length)
        luaL_argerror(L, argument, "the name of a field has 1 to 64 bytes");
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(name, reserved[i]) == 0)
            luaL_argerror(L, argument, lua_pushfstring(L, "'%s' is a field that the host writes", name));
    return name;
}

/* Collects the first MAX_FIELDS of the table that is an argument by name, sorted, so that the same fields always give
   the same line. */
static size_t read_fields(lua_State *L, int argument, struct field *fields) {
    size_t count = 0;
    luaL_checktype(L, argument, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, argument)) {
        struct field field = read_field(L, check_name(L, -2, argument));
        size_t at = count;
        while (at > 0 && strcmp(fields[at - 1].name, field.name) > 0)
            at--;
        if (count < MAX_FIELDS)
            count++;
        if (at < MAX_FIELDS) {
            memmove(fields + at + 1, fields + at, (count - at - 1) * sizeof *fields);
            fields[at] = field;
        }
        lua_pop(L, 1);
    }
    return count;
}

static void append_value(struct buffer *line, const struct field *field) {
    if (field->type == LUA_TSTRING)
        log_append_text(line, field->text, field->text_length, MAX_TEXT_BYTES);
    else if (field->type == LUA_TBOOLEAN)
        buffer_text(line, field->boolean ? "true" : "false");
    else if (field->type == LUA_TNUMBER && field->integral)
        buffer_format(line, "%lld", (long long)field->integer);
    else if (field->type == LUA_TNUMBER && isfinite(field->number))
        buffer_format(line, "%.14g", field->number);
    else if (field->type == LUA_TNUMBER)
        buffer_format(line, "\"%g\"", field->number); /* JSON knows neither nan nor inf */
    else if (field->text)
        buffer_format(line, "\"(%s)\"", field->text); /* data is no reason to fail a request */
    else
        buffer_text(line, "null");
}

/* Nothing raises while the line is built. */
static void write_line(lua_State *L, enum log_level level, const char *message, const struct field *fields,
                       size_t count) {
    const struct call_context *call = runtime_call(L);
    struct buffer line = {0};
    log_begin(&line, level, message);
    if (call) {
        buffer_text(&line, ",\"request_id\":");
        buffer_json_string(&line, call->request_id, strlen(call->request_id));
    }
    for (size_t i = 0; i < count; i++) {
        buffer_append(&line, ",", 1);
        buffer_json_string(&line, fields[i].name, strlen(fields[i].name));
        buffer_append(&line, ":", 1);
        append_value(&line, &fields[i]);
    }
    log_end(&line);
    buffer_free(&line);
}

/* Arguments are checked at every level, so that a lower LOG_LEVEL brings no new errors. */
static int write_at(lua_State *L, enum log_level level) {
    struct field fields[MAX_FIELDS];
    const char *message = luaL_checkstring(L, 1);
    size_t count = lua_isnoneornil(L, 2) ? 0 : read_fields(L, 2, fields);
    if (log_enabled(level))
        write_line(L, level, message, fields, count);
    return 0;
}

static int f_debug(lua_State *L) {
    return write_at(L, LOG_DEBUG);
}

static int f_info(lua_State *L) {
    return write_at(L, LOG_INFO);
}

static int f_warn(lua_State *L) {
    return write_at(L, LOG_WARN);
}

static int f_error(lua_State *L) {
    return write_at(L, LOG_ERROR);
}

static int f_audit(lua_State *L) {
    struct field fields[MAX_FIELDS];
    size_t count = read_fields(L, 1, fields);
    struct call_context *call = runtime_call(L);
    if (call)
        call->changed[0] = '\0';
    if (log_enabled(LOG_AUDIT))
        write_line(L, LOG_AUDIT, "audit", fields, count);
    return 0;
}

static const luaL_Reg functions[] = {{"debug", f_debug}, {"info", f_info},   {"warn", f_warn},
                                     {"error", f_error}, {"audit", f_audit}, {NULL, NULL}};

int luaopen_bind_log(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
