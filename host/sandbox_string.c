/* String functions that stop when the run's time is over and show no address. */
#include <lauxlib.h>
#include <string.h>

#include "sandbox_pattern.h"
#include "sandbox_state.h"

/* A loop over n in the original, even for the empty string. */
int sandbox_string_rep(lua_State *L) {
    size_t length, separator_length;
    const char *text = luaL_checklstring(L, 1, &length);
    lua_Integer times = luaL_checkinteger(L, 2);
    const char *separator = luaL_optlstring(L, 3, "", &separator_length);
    size_t step = length + separator_length;
    if (times <= 0 || step == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t limit = sandbox_of(L)->string_limit;
    if (step > limit || (size_t)times > limit / step)
        return luaL_error(L, "resulting string too large");
    size_t total = step * (size_t)times - separator_length;
    luaL_Buffer buffer;
    char *out = luaL_buffinitsize(L, &buffer, total);
    memcpy(out, text, length);
    /* Doubles what is there, of the form (separator text)*, behind the first. */
    if (times > 1) {
        char *rest = out + length;
        memcpy(rest, separator, separator_length);
        memcpy(rest + separator_length, text, length);
        size_t done = step;
        size_t wanted = total - length;
        while (done < wanted) {
            size_t part = done < wanted - done ? done : wanted - done;
            memcpy(rest + done, rest, part);
            done += part;
        }
    }
    luaL_pushresultsize(&buffer, total);
    return 1;
}

/* The original, except that nothing shows an address. */
int sandbox_string_format(lua_State *L) {
    size_t length;
    const char *format = luaL_checklstring(L, 1, &length);
    const char *end = format + length;
    int argument = 1;
    while (format < end) {
        if (*format++ != '%')
            continue;
        if (*format == '%') {
            format++;
            continue;
        }
        format += strspn(format, "-+ #0123456789.");
        argument++;
        if (*format == 'p')
            return luaL_error(L, "invalid conversion '%%p' to 'format'");
        if (*format == 's' && !lua_isnone(L, argument) && lua_type(L, argument) != LUA_TSTRING) {
            sandbox_tostring(L, argument);
            lua_replace(L, argument);
        }
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* ---- patterns ---- */

/* An offset from a position of Lua's kind; beyond `length` when it lies behind the end. */
static size_t start_offset(lua_Integer position, size_t length) {
    if (position > 0)
        return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)length)
        return 0;
    return length - (size_t)-position;
}

static int find_or_match(lua_State *L, bool find) {
    size_t length, pattern_length;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *pattern = luaL_checklstring(L, 2, &pattern_length);
    size_t start = start_offset(luaL_optinteger(L, 3, 1), length);
    if (start > length) {
        luaL_pushfail(L);
        return 1;
    }
    sandbox_check(L);
    if (find && (lua_toboolean(L, 4) || pattern_is_plain(pattern, pattern_length))) {
        const char *at = memmem(subject + start, length - start, pattern, pattern_length);
        if (!at) {
            luaL_pushfail(L);
            return 1;
        }
        lua_pushinteger(L, at - subject + 1);
        lua_pushinteger(L, at - subject + (lua_Integer)pattern_length);
        return 2;
    }
    struct matcher m;
    pattern_prepare(&m, L, subject, length, pattern, pattern_length);
    bool anchored = *pattern == '^';
    for (const char *s = subject + start; s <= m.subject_end; s++) {
        const char *end = pattern_match(&m, s, pattern + anchored);
        if (end && find) {
            lua_pushinteger(L, s - subject + 1);
            lua_pushinteger(L, end - subject);
            return pattern_push_captures(&m, NULL, NULL) + 2;
        }
        if (end)
            return pattern_push_captures(&m, s, end);
        if (anchored)
            break;
    }
    luaL_pushfail(L);
    return 1;
}

int sandbox_string_find(lua_State *L) {
    return find_or_match(L, true);
}

int sandbox_string_match(lua_State *L) {
    return find_or_match(L, false);
}

/* Upvalues: subject, pattern, offset to look from, offset where the last match ended (-1 before the first). */
static int f_next_match(lua_State *L) {
    size_t length, pattern_length;
    const char *subject = lua_tolstring(L, lua_upvalueindex(1), &length);
    const char *pattern = lua_tolstring(L, lua_upvalueindex(2), &pattern_length);
    size_t start = (size_t)lua_tointeger(L, lua_upvalueindex(3));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    struct matcher m;
    sandbox_check(L);
    pattern_prepare(&m, L, subject, length, pattern, pattern_length);
    for (size_t at = start; at <= length; at++) {
        const char *end = pattern_match(&m, subject + at, pattern);
        if (!end || end - subject == last)
            continue;
        lua_pushinteger(L, end - subject);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_copy(L, -1, lua_upvalueindex(4));
        return pattern_push_captures(&m, subject + at, end);
    }
    return 0;
}

int sandbox_string_gmatch(lua_State *L) {
    size_t length;
    luaL_checklstring(L, 1, &length);
    luaL_checkstring(L, 2);
    size_t start = start_offset(luaL_optinteger(L, 3, 1), length);
    if (start > length)
        start = length + 1;
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)start);
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, f_next_match, 4);
    return 1;
}

/* Appends the replacement text with its % sequences. */
static void add_template(struct matcher *m, luaL_Buffer *buffer, const char *s, const char *end) {
    size_t length;
    const char *p = lua_tolstring(m->L, 3, &length);
    const char *template_end = p + length;
    while (p < template_end) {
        const char *percent = memchr(p, '%', (size_t)(template_end - p));
        const char *plain_end = percent ? percent : template_end;
        luaL_addlstring(buffer, p, (size_t)(plain_end - p));
        if (!percent)
            return;
        pattern_spend(m, 1);
        p = percent + 2;
        if (percent[1] == '%') {
            luaL_addchar(buffer, '%');
        } else if (percent[1] == '0') {
            luaL_addlstring(buffer, s, (size_t)(end - s));
        } else if (percent[1] >= '1' && percent[1] <= '9') {
            int index = percent[1] - '1';
            if (index > 0 && index >= m->captures)
                luaL_error(m->L, "invalid capture index %%%d in replacement string", index + 1);
            pattern_push_capture(m, index, s, end);
            luaL_tolstring(m->L, -1, NULL);
            lua_remove(m->L, -2);
            luaL_addvalue(buffer);
        } else {
            luaL_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Appends what replaces a match; true when that is something else than the match itself. */
static bool add_replacement(struct matcher *m, luaL_Buffer *buffer, const char *s, const char *end, int kind) {
    lua_State *L = m->L;
    if (kind == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, pattern_push_captures(m, s, end), 1);
    } else if (kind == LUA_TTABLE) {
        pattern_push_capture(m, 0, s, end);
        lua_gettable(L, 3);
    } else {
        add_template(m, buffer, s, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(buffer, s, (size_t)(end - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(buffer);
    return true;
}

int sandbox_string_gsub(lua_State *L) {
    size_t length, pattern_length;
    const char *subject = luaL_checklstring(L, 1, &length);
    const char *pattern = luaL_checklstring(L, 2, &pattern_length);
    int kind = lua_type(L, 3);
    lua_Integer limit = luaL_optinteger(L, 4, (lua_Integer)length + 1);
    luaL_argexpected(L, kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION || kind == LUA_TTABLE, 3,
                     "string/function/table");
    struct matcher m;
    luaL_Buffer buffer;
    sandbox_check(L);
    pattern_prepare(&m, L, subject, length, pattern, pattern_length);
    luaL_buffinit(L, &buffer);
    bool anchored = *pattern == '^';
    bool changed = false;
    lua_Integer count = 0;
    const char *s = subject;
    const char *last = NULL; /* where the last match ended: an empty match there does not count */
    while (count < limit) {
        const char *end = pattern_match(&m, s, pattern + anchored);
        if (end && end != last) {
            count++;
            changed |= add_replacement(&m, &buffer, s, end, kind);
            s = last = end;
        } else if (s < m.subject_end) {
            luaL_addchar(&buffer, *s++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (!changed) {
        lua_pushvalue(L, 1);
    } else {
        luaL_addlstring(&buffer, s, (size_t)(m.subject_end - s));
        luaL_pushresult(&buffer);
    }
    lua_pushinteger(L, count);
    return 2;
}
