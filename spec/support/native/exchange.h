/* Exchanges from and to Lua tables, for the native modules of the HTTP and Kubernetes clients. Strings of the table are
   used in place: it must stay on the stack while the exchange lives. */
#ifndef NATIVE_EXCHANGE_H
#define NATIVE_EXCHANGE_H

#include <lauxlib.h>
#include <string.h>

#include "clock.h"
#include "http_client.h"

enum { MAX_HEADERS = 16 };

struct native_exchange {
    struct http_exchange exchange;
    struct header headers[MAX_HEADERS];
    struct http_tls tls;
    struct call_context context;
};

static inline const char *field_text(lua_State *L, int table, const char *name, const char *fallback) {
    lua_getfield(L, table, name);
    const char *text = luaL_optstring(L, -1, fallback);
    lua_pop(L, 1);
    return text;
}

static inline lua_Integer field_integer(lua_State *L, int table, const char *name, lua_Integer fallback) {
    lua_getfield(L, table, name);
    lua_Integer value = luaL_optinteger(L, -1, fallback);
    lua_pop(L, 1);
    return value;
}

/* { method, url, headers = { { name, value }, … }, body, timeout_ms, max_bytes, ca, cert, key, server_name, insecure,
   proxy, target, request_id, traceparent, context_timeout_ms } */
static inline void exchange_read(lua_State *L, int table, struct native_exchange *native) {
    struct http_exchange *exchange = &native->exchange;
    *native = (struct native_exchange){0};
    exchange->method = field_text(L, table, "method", "GET");
    exchange->url = field_text(L, table, "url", NULL);
    exchange->body.data = field_text(L, table, "body", "");
    exchange->body.length = strlen(exchange->body.data);
    lua_Integer timeout_ms = field_integer(L, table, "timeout_ms", 5000);
    exchange->deadline_ms = timeout_ms ? clock_monotonic_ms() + timeout_ms : 0;
    exchange->max_response_bytes = (size_t)field_integer(L, table, "max_bytes", 0);
    exchange->proxy = field_text(L, table, "proxy", NULL);
    exchange->target = field_text(L, table, "target", NULL);
    native->tls.ca_pem = field_text(L, table, "ca", NULL);
    native->tls.certificate_pem = field_text(L, table, "cert", NULL);
    native->tls.key_pem = field_text(L, table, "key", NULL);
    native->tls.server_name = field_text(L, table, "server_name", NULL);
    lua_getfield(L, table, "insecure");
    native->tls.insecure = lua_toboolean(L, -1);
    lua_pop(L, 1);
    exchange->tls = &native->tls;
    strncpy(native->context.request_id, field_text(L, table, "request_id", ""), REQUEST_ID_BYTES);
    strncpy(native->context.traceparent, field_text(L, table, "traceparent", ""), TRACEPARENT_BYTES - 1);
    lua_Integer context_timeout_ms = field_integer(L, table, "context_timeout_ms", 0);
    if (context_timeout_ms)
        native->context.deadline_ms = clock_monotonic_ms() + context_timeout_ms;
    exchange->context = &native->context;
    exchange->headers = native->headers;
    if (lua_getfield(L, table, "headers") == LUA_TTABLE) {
        for (lua_Integer i = 1; i <= luaL_len(L, -1) && i <= MAX_HEADERS; i++) {
            lua_geti(L, -1, i);
            lua_geti(L, -1, 1);
            lua_geti(L, -2, 2);
            native->headers[exchange->header_count++] =
                (struct header){luaL_checkstring(L, -2), luaL_checkstring(L, -1)};
            lua_pop(L, 3);
        }
    }
    lua_pop(L, 1);
}

/* Pushes { failure, message, status, body, header_lines, sent, upstream_calls, upstream_us } and frees what came. */
static inline void exchange_push(lua_State *L, struct native_exchange *native) {
    struct http_exchange *exchange = &native->exchange;
    lua_newtable(L);
    lua_pushstring(L, http_failure_code(exchange->failure));
    lua_setfield(L, -2, "failure");
    lua_pushstring(L, exchange->message);
    lua_setfield(L, -2, "message");
    lua_pushinteger(L, exchange->status);
    lua_setfield(L, -2, "status");
    if (exchange->body_bytes) {
        lua_pushlstring(L, exchange->body_bytes->data, exchange->body_bytes->length);
        lua_setfield(L, -2, "body");
    }
    lua_pushlstring(L, exchange->header_lines.data ? exchange->header_lines.data : "", exchange->header_lines.length);
    lua_setfield(L, -2, "header_lines");
    lua_pushboolean(L, exchange->sent);
    lua_setfield(L, -2, "sent");
    lua_pushinteger(L, native->context.upstream_calls);
    lua_setfield(L, -2, "upstream_calls");
    lua_pushinteger(L, native->context.upstream_us);
    lua_setfield(L, -2, "upstream_us");
    http_exchange_free(exchange);
}

#endif
