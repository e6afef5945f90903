#include "../http_client.h"

#include <lauxlib.h>
#include <string.h>

#include "bind/bind.h"
#include "clock.h"
#include "host.h"
#include "runtime.h"

enum {
    MAX_AT_ONCE = 64,
    MAX_HEADERS = 64,
    MAX_TARGET_BYTES = 32,
};

/* What a call holds of the client. It exists, and will be closed, before anything is sent: no error of Lua loses the
   bytes that came. */
struct batch {
    size_t count;
    struct http_exchange exchanges[];
};

/* Strings that the exchanges point at are kept in a table while the call lasts, at this place of the stack. */
enum { KEPT = 1 };

static const char batch_metatable; /* registry key, by address */

static int f_close_batch(lua_State *L) {
    struct batch *batch = lua_touserdata(L, 1);
    for (size_t i = 0; i < batch->count; i++)
        http_exchange_free(&batch->exchanges[i]);
    batch->count = 0;
    return 0;
}

static struct batch *push_batch(lua_State *L, size_t count) {
    struct batch *batch = lua_newuserdatauv(L, sizeof *batch + count * sizeof *batch->exchanges, 0);
    memset(batch, 0, sizeof *batch + count * sizeof *batch->exchanges);
    batch->count = count;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &batch_metatable);
    lua_setmetatable(L, -2);
    lua_toclose(L, -1);
    return batch;
}

static struct call_context *check_call(lua_State *L) {
    struct call_context *call = runtime_call(L);
    if (!call || !runtime_host(L)->http)
        luaL_error(L, "http: nothing outside may be called while a bundle loads");
    return call;
}

/* ---- requests ---- */

static void keep(lua_State *L, int index) {
    lua_pushvalue(L, index);
    lua_rawseti(L, KEPT, (lua_Integer)lua_rawlen(L, KEPT) + 1);
}

static struct span check_span(lua_State *L, int index, const char *what) {
    if (lua_type(L, index) != LUA_TSTRING)
        luaL_error(L, "http: %s must be a string, not %s", what, luaL_typename(L, index));
    struct span span;
    span.data = lua_tolstring(L, index, &span.length);
    keep(L, index);
    return span;
}

static const char *check_text(lua_State *L, int index, const char *what) {
    struct span span = check_span(L, index, what);
    if (strlen(span.data) != span.length)
        luaL_error(L, "http: %s holds a NUL byte", what);
    return span.data;
}

static int64_t check_positive(lua_State *L, int index, const char *what) {
    int is_integer;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || lua_type(L, index) != LUA_TNUMBER || value < 1)
        luaL_error(L, "http: %s must be an integer from 1", what);
    return value;
}

static void read_headers(lua_State *L, int table, struct http_exchange *exchange) {
    if (lua_type(L, table) != LUA_TTABLE)
        luaL_error(L, "http: headers must be a table, not %s", luaL_typename(L, table));
    struct header *headers = lua_newuserdatauv(L, MAX_HEADERS * sizeof *headers, 0);
    keep(L, -1);
    lua_pop(L, 1);
    exchange->headers = headers;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (exchange->header_count == MAX_HEADERS)
            luaL_error(L, "http: more than %d headers", MAX_HEADERS);
        headers[exchange->header_count++] =
            (struct header){check_text(L, -2, "a header's name"), check_text(L, -1, "a header's value")};
    }
}

static void read_target(lua_State *L, int index, struct http_exchange *exchange) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    exchange->target = check_text(L, index, "target");
    size_t length = strlen(exchange->target);
    if (length == 0 || length > MAX_TARGET_BYTES || strspn(exchange->target, allowed) != length)
        luaL_error(L, "http: target must be 1 to %d of a-z, 0-9, _ and -", MAX_TARGET_BYTES);
}

/* Reads a table of options, or of a whole request. */
static void read_options(lua_State *L, int table, struct http_exchange *exchange, bool whole) {
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        int value = lua_gettop(L);
        if (strcmp(key, "headers") == 0) {
            read_headers(L, value, exchange);
        } else if (strcmp(key, "timeout_ms") == 0) {
            int64_t timeout_ms = check_positive(L, value, "timeout_ms");
            exchange->deadline_ms = timeout_ms < INT32_MAX ? clock_monotonic_ms() + timeout_ms : 0;
        } else if (strcmp(key, "max_bytes") == 0) {
            int64_t most = check_positive(L, value, "max_bytes");
            exchange->max_response_bytes =
                most < HTTP_DEFAULT_MAX_RESPONSE_BYTES ? (size_t)most : HTTP_DEFAULT_MAX_RESPONSE_BYTES;
        } else if (strcmp(key, "target") == 0) {
            read_target(L, value, exchange);
        } else if (whole && strcmp(key, "method") == 0) {
            exchange->method = check_text(L, value, "method");
        } else if (whole && strcmp(key, "url") == 0) {
            exchange->url = check_text(L, value, "url");
        } else if (whole && strcmp(key, "body") == 0) {
            exchange->body = check_span(L, value, "body");
        } else {
            luaL_error(L, "http: no such option: %s", key);
        }
    }
}

static void read_request(lua_State *L, int table, struct http_exchange *exchange) {
    read_options(L, table, exchange, true);
    if (!exchange->method || !exchange->url)
        luaL_error(L, "http: a request needs a method and a url");
}

/* ---- answers ---- */

/* Pushes the table of header lines; those that repeat a name are joined. */
static void push_headers(lua_State *L, const struct buffer *lines) {
    lua_newtable(L);
    const char *line = lines->data, *end;
    for (; line && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        const char *colon = strchr(line, ':');
        lua_pushlstring(L, line, (size_t)(colon - line));
        lua_pushvalue(L, -1);
        bool repeated = lua_rawget(L, -3) == LUA_TSTRING;
        if (repeated)
            lua_pushliteral(L, ", ");
        else
            lua_pop(L, 1);
        lua_pushlstring(L, colon + 2, (size_t)(end - colon - 2));
        if (repeated)
            lua_concat(L, 3);
        lua_rawset(L, -3);
    }
}

static void push_response(lua_State *L, const struct http_exchange *exchange) {
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, exchange->status);
    lua_setfield(L, -2, "status");
    lua_pushlstring(L, exchange->body_bytes->data, exchange->body_bytes->length);
    lua_setfield(L, -2, "body");
    push_headers(L, &exchange->header_lines);
    lua_setfield(L, -2, "headers");
}

static void push_failure(lua_State *L, const struct http_exchange *exchange) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, http_failure_code(exchange->failure));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, exchange->message);
    lua_setfield(L, -2, "message");
    lua_pushboolean(L, exchange->sent);
    lua_setfield(L, -2, "sent");
}

/* ---- functions ---- */

/* Performs a batch of one and pushes its outcome: a response, or nil and a failure. */
static int perform_one(lua_State *L, struct batch *batch, struct call_context *call) {
    struct http_exchange *exchange = &batch->exchanges[0];
    exchange->context = call;
    http_perform(runtime_host(L)->http, exchange, 1);
    if (exchange->failure == HTTP_OK) {
        push_response(L, exchange);
        return 1;
    }
    lua_pushnil(L);
    push_failure(L, exchange);
    return 2;
}

static int f_request(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct call_context *call = check_call(L);
    lua_newtable(L);
    lua_insert(L, KEPT);
    struct batch *batch = push_batch(L, 1);
    read_request(L, KEPT + 1, &batch->exchanges[0]);
    return perform_one(L, batch, call);
}

/* http.method(url[, body][, options]) */
static int call_method(lua_State *L, const char *method, bool takes_body) {
    int options = takes_body ? 3 : 2;
    luaL_checktype(L, 1, LUA_TSTRING);
    if (takes_body)
        luaL_checktype(L, 2, LUA_TSTRING);
    if (!lua_isnoneornil(L, options))
        luaL_checktype(L, options, LUA_TTABLE);
    lua_settop(L, options);
    struct call_context *call = check_call(L);
    lua_newtable(L);
    lua_insert(L, KEPT);
    struct batch *batch = push_batch(L, 1);
    struct http_exchange *exchange = &batch->exchanges[0];
    exchange->method = method;
    exchange->url = check_text(L, KEPT + 1, "url");
    if (takes_body)
        exchange->body = check_span(L, KEPT + 2, "body");
    if (!lua_isnil(L, KEPT + options))
        read_options(L, KEPT + options, exchange, false);
    return perform_one(L, batch, call);
}

static int f_get(lua_State *L) {
    return call_method(L, "GET", false);
}

static int f_delete(lua_State *L) {
    return call_method(L, "DELETE", false);
}

static int f_post(lua_State *L) {
    return call_method(L, "POST", true);
}

static int f_put(lua_State *L) {
    return call_method(L, "PUT", true);
}

static int f_patch(lua_State *L) {
    return call_method(L, "PATCH", true);
}

static int f_all(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    size_t count = lua_rawlen(L, 1);
    luaL_argcheck(L, count <= MAX_AT_ONCE, 1, "more than 64 requests");
    struct call_context *call = check_call(L);
    lua_newtable(L);
    lua_insert(L, KEPT);
    struct batch *batch = push_batch(L, count);
    for (size_t i = 0; i < count; i++) {
        if (lua_rawgeti(L, KEPT + 1, (lua_Integer)i + 1) != LUA_TTABLE)
            return luaL_error(L, "http: request %d is no table", (int)i + 1);
        read_request(L, lua_gettop(L), &batch->exchanges[i]);
        batch->exchanges[i].context = call;
        lua_pop(L, 1);
    }
    http_perform(runtime_host(L)->http, batch->exchanges, count);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        struct http_exchange *exchange = &batch->exchanges[i];
        bool answered = exchange->failure == HTTP_OK;
        lua_createtable(L, 0, 1);
        (answered ? push_response : push_failure)(L, exchange);
        lua_setfield(L, -2, answered ? "response" : "failure");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
        http_exchange_free(exchange); /* Lua has its copy: many large answers need not be there twice */
    }
    return 1;
}

static const luaL_Reg functions[] = {
    {"request", f_request}, {"get", f_get},       {"post", f_post}, {"put", f_put},
    {"patch", f_patch},     {"delete", f_delete}, {"all", f_all},   {NULL, NULL},
};

int luaopen_bind_http(lua_State *L) {
    lua_createtable(L, 0, 3);
    lua_pushcfunction(L, f_close_batch);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, f_close_batch);
    lua_setfield(L, -2, "__close");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &batch_metatable);
    luaL_newlib(L, functions);
    return 1;
}
