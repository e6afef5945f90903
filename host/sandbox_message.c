/* What a run ended with, as text of bounded length. */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "sandbox_state.h"

static void say(struct sandbox *sandbox, const char *text, size_t length) {
    size_t room = sizeof sandbox->message - sandbox->message_length;
    if (length > room)
        length = room;
    memcpy(sandbox->message + sandbox->message_length, text, length);
    sandbox->message_length += length;
}

static void say_error(struct sandbox *sandbox, const char *text, size_t length) {
    static const char cut[] = "… (cut)";
    bool long_text = length > SANDBOX_ERROR_BYTES;
    say(sandbox, text, long_text ? SANDBOX_ERROR_BYTES : length);
    if (long_text)
        say(sandbox, cut, sizeof cut - 1);
}

/* The auxiliary library's traceback looks names up in every loaded module, however large; this one does not. */
void sandbox_say_traceback(struct sandbox *sandbox, lua_State *L, int level) {
    lua_Debug frame;
    for (int left = SANDBOX_TRACEBACK_LEVELS; lua_getstack(L, level, &frame); level++) {
        char line[160];
        if (left-- == 0) {
            say(sandbox, "\n\t...", 5);
            return;
        }
        lua_getinfo(L, "Sln", &frame);
        int length = frame.currentline > 0
                         ? snprintf(line, sizeof line, "\n\t%s:%d: in ", frame.short_src, frame.currentline)
                         : snprintf(line, sizeof line, "\n\t%s: in ", frame.short_src);
        if (*frame.namewhat != '\0')
            length += snprintf(line + length, sizeof line - (size_t)length, "%s '%.50s'", frame.namewhat, frame.name);
        else if (*frame.what == 'm')
            length += snprintf(line + length, sizeof line - (size_t)length, "main chunk");
        else
            length += snprintf(line + length, sizeof line - (size_t)length, "function");
        say(sandbox, line, (size_t)length < sizeof line ? (size_t)length : sizeof line - 1);
    }
}

void sandbox_note(struct sandbox *sandbox, const char *text) {
    sandbox->message_length = 0;
    say_error(sandbox, text, strlen(text));
}

static int f_describe(lua_State *L) {
    sandbox_tostring(L, 1);
    return 1;
}

int sandbox_on_error(lua_State *L) {
    struct sandbox *sandbox = sandbox_of(L);
    sandbox->message_length = 0;
    sandbox->refused = false;
    size_t length;
    const char *text;
    switch (lua_type(L, 1)) {
    case LUA_TSTRING:
    case LUA_TNUMBER:
        break;
    default:
        if (luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
            /* A script's function, under the limits like any other. */
            lua_pushcfunction(L, f_describe);
            lua_pushvalue(L, 1);
            if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
                lua_replace(L, 1);
                break;
            }
            if (sandbox_over(sandbox)) {
                lua_pushstring(L, sandbox_time_over);
                lua_replace(L, 1);
                break;
            }
        }
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
        lua_replace(L, 1);
    }
    text = lua_tolstring(L, 1, &length);
    say_error(sandbox, text, length);
    sandbox_say_traceback(sandbox, L, 1);
    lua_settop(L, 1);
    return 1;
}

static int f_push_message(lua_State *L) {
    struct sandbox *sandbox = lua_touserdata(L, 1);
    lua_pushlstring(L, sandbox->message, sandbox->message_length);
    return 1;
}

void sandbox_push_message(struct sandbox *sandbox, lua_State *L) {
    bool before = sandbox->unlimited;
    sandbox->unlimited = true;
    lua_pushcfunction(L, f_push_message);
    lua_pushlightuserdata(L, sandbox);
    lua_pcall(L, 1, 1, 0);
    sandbox->unlimited = before;
}
