/* `require "native.log"`: host/log.h, and the pipes, limits and threads that its spec needs. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

int luaopen_native_log(lua_State *L);

static const char *const level_names[] = {"debug", "info", "warn", "error", "audit", NULL};

static enum log_level check_level(lua_State *L, int index) {
    return (enum log_level)luaL_checkoption(L, index, NULL, level_names);
}

static int f_start(lua_State *L) {
    lua_pushboolean(L, log_start(check_level(L, 1), (int)luaL_checkinteger(L, 2)));
    return 1;
}

/* stop() -> milliseconds that it took */
static int f_stop(lua_State *L) {
    int64_t before = clock_monotonic_ms();
    log_stop();
    lua_pushinteger(L, clock_monotonic_ms() - before);
    return 1;
}

static int f_enabled(lua_State *L) {
    lua_pushboolean(L, log_enabled(check_level(L, 1)));
    return 1;
}

static int f_dropped(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)log_dropped());
    return 1;
}

static int f_line(lua_State *L) {
    log_line(check_level(L, 1), "%s", luaL_checkstring(L, 2));
    return 0;
}

static int f_event(lua_State *L) {
    log_event(check_level(L, 1), luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL));
    return 0;
}

static int f_raw(lua_State *L) {
    size_t length;
    const char *line = luaL_checklstring(L, 1, &length);
    log_raw(line, length);
    return 0;
}

struct producer {
    pthread_t thread;
    int number;
    int lines;
};

/* As the access log does it: one buffer a thread. */
static void *produce(void *context) {
    struct producer *producer = context;
    struct buffer line = {0};
    for (int i = 1; i <= producer->lines; i++) {
        log_begin(&line, LOG_INFO, "request");
        buffer_text(&line, ",\"route\":\"/raycluster/{name}\",\"method\":\"GET\",\"request_id\":");
        buffer_json_string(&line, "3f2b8c1e-0d5a-4f7e-9a63-5a2f9d0c7b11", 36);
        buffer_format(&line, ",\"thread\":%d,\"number\":%d", producer->number, i);
        log_end(&line);
    }
    buffer_free(&line);
    return NULL;
}

/* burst(threads, lines) -> microseconds until every producer was done */
static int f_burst(lua_State *L) {
    struct producer producers[16];
    int count = (int)luaL_checkinteger(L, 1);
    int lines = (int)luaL_checkinteger(L, 2);
    luaL_argcheck(L, count >= 1 && count <= 16, 1, "1 to 16");
    int64_t before = clock_monotonic_us();
    for (int i = 0; i < count; i++) {
        producers[i] = (struct producer){.number = i + 1, .lines = lines};
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0)
            abort();
    }
    for (int i = 0; i < count; i++)
        pthread_join(producers[i].thread, NULL);
    lua_pushinteger(L, clock_monotonic_us() - before);
    return 1;
}

/* pipe(nonblocking) -> read end, write end */
static int f_pipe(lua_State *L) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return luaL_error(L, "pipe: %s", strerror(errno));
    if (lua_toboolean(L, 1))
        fcntl(ends[1], F_SETFL, O_NONBLOCK);
    lua_pushinteger(L, ends[0]);
    lua_pushinteger(L, ends[1]);
    return 2;
}

static int f_open(lua_State *L) {
    lua_pushinteger(L, open(luaL_checkstring(L, 1), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return 1;
}

static int f_close(lua_State *L) {
    close((int)luaL_checkinteger(L, 1));
    return 0;
}

/* read(descriptor) -> bytes, waiting for some; "" at the end */
static int f_read(lua_State *L) {
    static char bytes[1 << 16];
    ssize_t length = read((int)luaL_checkinteger(L, 1), bytes, sizeof bytes);
    if (length < 0)
        return luaL_error(L, "read: %s", strerror(errno));
    lua_pushlstring(L, bytes, (size_t)length);
    return 1;
}

struct slow_reader {
    pthread_t thread;
    int descriptor;
    struct buffer text;
};

static void *read_slowly(void *context) {
    struct slow_reader *reader = context;
    char bytes[3000];
    ssize_t length;
    while ((length = read(reader->descriptor, bytes, sizeof bytes)) > 0) {
        buffer_append(&reader->text, bytes, (size_t)length);
        usleep(200);
    }
    return NULL;
}

static struct slow_reader slow_reader;

/* A thread that reads until the write end is closed; slow_result() waits for it. */
static int f_slow_read(lua_State *L) {
    slow_reader.descriptor = (int)luaL_checkinteger(L, 1);
    if (pthread_create(&slow_reader.thread, NULL, read_slowly, &slow_reader) != 0)
        abort();
    return 0;
}

static int f_slow_result(lua_State *L) {
    pthread_join(slow_reader.thread, NULL);
    lua_pushlstring(L, slow_reader.text.data, slow_reader.text.length);
    buffer_free(&slow_reader.text);
    return 1;
}

/* Writes beyond that size of a file fail; without an argument they do not. */
static int f_limit_file_size(lua_State *L) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = lua_isnoneornil(L, 1) ? limit.rlim_max : (rlim_t)luaL_checkinteger(L, 1);
    setrlimit(RLIMIT_FSIZE, &limit);
    return 0;
}

static const luaL_Reg functions[] = {
    {"start", f_start},
    {"stop", f_stop},
    {"enabled", f_enabled},
    {"dropped", f_dropped},
    {"line", f_line},
    {"event", f_event},
    {"raw", f_raw},
    {"burst", f_burst},
    {"pipe", f_pipe},
    {"open", f_open},
    {"close", f_close},
    {"read", f_read},
    {"slow_read", f_slow_read},
    {"slow_result", f_slow_result},
    {"limit_file_size", f_limit_file_size},
    {NULL, NULL},
};

int luaopen_native_log(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
