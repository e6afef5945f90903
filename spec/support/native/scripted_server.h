/* A server on loopback that says its lines: each connection is one exchange, answered with the next bytes of the script
   and closed, or held open for more when the line begins with "HOLD ". What it was asked is kept. */
#ifndef NATIVE_SCRIPTED_SERVER_H
#define NATIVE_SCRIPTED_SERVER_H

#include <arpa/inet.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"

enum { SCRIPT_MAX = 64 };

struct scripted_server {
    int listener;
    int port;
    pthread_t thread;
    pthread_mutex_t mutex;
    struct bytes *script[SCRIPT_MAX]; /* empty: close without a word */
    size_t lines, said;
    struct bytes *asked[SCRIPT_MAX];
    size_t asked_count;
    int held; /* the connection held open, -1 for none */
};

/* Header and as much body as Content-Length says. */
static inline struct bytes *scripted_read(int connection) {
    struct buffer request = {0};
    char chunk[4096];
    for (;;) {
        char *end = request.data ? strstr(request.data, "\r\n\r\n") : NULL;
        if (end) {
            char *length = strcasestr(request.data, "\r\nContent-Length:");
            size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
            if (request.length >= (size_t)(end + 4 - request.data) + body)
                break;
        }
        ssize_t got = recv(connection, chunk, sizeof chunk, 0);
        if (got <= 0)
            break;
        buffer_append(&request, chunk, (size_t)got);
    }
    struct bytes *bytes = bytes_copy(request.data, request.length);
    buffer_free(&request);
    return bytes;
}

static inline void scripted_send(int connection, const char *data, size_t length) {
    for (size_t sent = 0; sent < length;) {
        ssize_t did = send(connection, data + sent, length - sent, MSG_NOSIGNAL);
        if (did <= 0)
            return;
        sent += (size_t)did;
    }
}

static inline void *scripted_run(void *context) {
    struct scripted_server *server = context;
    for (;;) {
        int connection = accept(server->listener, NULL, NULL);
        if (connection < 0)
            return NULL;
        struct bytes *asked = scripted_read(connection), *line = NULL;
        pthread_mutex_lock(&server->mutex);
        if (server->asked_count < SCRIPT_MAX)
            server->asked[server->asked_count++] = bytes_reference(asked);
        if (server->said < server->lines)
            line = bytes_reference(server->script[server->said++]);
        pthread_mutex_unlock(&server->mutex);
        bool hold = line && line->length >= 5 && memcmp(line->data, "HOLD ", 5) == 0;
        if (line)
            scripted_send(connection, line->data + (hold ? 5 : 0), line->length - (hold ? 5 : 0));
        bytes_release(line);
        bytes_release(asked);
        if (hold) {
            pthread_mutex_lock(&server->mutex);
            if (server->held >= 0)
                close(server->held);
            server->held = connection;
            pthread_mutex_unlock(&server->mutex);
            continue;
        }
        shutdown(connection, SHUT_WR);
        close(connection);
    }
}

static inline bool scripted_start(struct scripted_server *server) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *server = (struct scripted_server){.held = -1};
    pthread_mutex_init(&server->mutex, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, size) != 0 || listen(server->listener, 16) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &size) != 0)
        return false;
    server->port = ntohs(address.sin_port);
    return pthread_create(&server->thread, NULL, scripted_run, server) == 0;
}

static inline void scripted_stop(struct scripted_server *server) {
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    if (server->held >= 0)
        close(server->held);
    for (size_t i = 0; i < server->lines; i++)
        bytes_release(server->script[i]);
    for (size_t i = 0; i < server->asked_count; i++)
        bytes_release(server->asked[i]);
    pthread_mutex_destroy(&server->mutex);
}

/* Adds the string at index to the script. */
static inline void scripted_say(lua_State *L, struct scripted_server *server, int index) {
    size_t length;
    const char *text = luaL_checklstring(L, index, &length);
    struct bytes *line = bytes_copy(text, length);
    pthread_mutex_lock(&server->mutex);
    if (server->lines < SCRIPT_MAX)
        server->script[server->lines++] = bytes_reference(line);
    pthread_mutex_unlock(&server->mutex);
    bytes_release(line);
}

/* A kubeconfig file for the server; unlink it when it has been read. path ends in XXXXXX. */
static inline bool scripted_kubeconfig(const struct scripted_server *server, char *path) {
    int descriptor = mkstemp(path);
    if (descriptor < 0)
        return false;
    dprintf(descriptor,
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            "clusters: [{name: k, cluster: {server: 'http://127.0.0.1:%d'}}]\n"
            "users: [{name: u, user: {token: secret-token}}]\n"
            "contexts: [{name: c, context: {cluster: k, user: u}}]\n",
            server->port);
    return close(descriptor) == 0;
}

/* Sends more on the connection that is held open; with drop, closes it then. */
static inline void scripted_more(lua_State *L, struct scripted_server *server, int index, bool drop) {
    size_t length;
    const char *text = luaL_optlstring(L, index, "", &length);
    pthread_mutex_lock(&server->mutex);
    if (server->held >= 0) {
        scripted_send(server->held, text, length);
        if (drop) {
            close(server->held);
            server->held = -1;
        }
    }
    pthread_mutex_unlock(&server->mutex);
}

/* Pushes the requests so far as an array of texts. */
static inline void scripted_asked(lua_State *L, struct scripted_server *server) {
    lua_newtable(L);
    pthread_mutex_lock(&server->mutex);
    for (size_t i = 0; i < server->asked_count; i++) {
        lua_pushlstring(L, server->asked[i]->data, server->asked[i]->length);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pthread_mutex_unlock(&server->mutex);
}

#endif
