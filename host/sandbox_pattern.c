/* Pattern matching that stops. The library's own matcher backtracks without end and without ever looking up; this one,
   for the same patterns with the same results, counts its steps. A call that takes more of them than any sensible
   pattern needs fails the same way every time; a call within that bound still ends when the run's time is over. */
#include <ctype.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_pattern.h"
#include "sandbox_state.h"

enum {
    MAX_DEPTH = 200,
    STEPS = 1000000,     /* of backtracking in one call, about 5 ms */
    STEPS_PER_BYTE = 16, /* and as many for each byte of the subject: linear patterns pass on any subject */
    STEPS_PER_CHECK = 4096
};
#define OPEN (-1)
#define POSITION (-2)

void pattern_prepare(struct matcher *m, lua_State *L, const char *subject, size_t length, const char *pattern,
                     size_t pattern_length) {
    m->L = L;
    m->subject = subject;
    m->subject_end = subject + length;
    m->pattern_end = pattern + pattern_length;
    m->steps = STEPS + STEPS_PER_BYTE * (lua_Integer)length;
    m->until_check = STEPS_PER_CHECK;
    m->depth = MAX_DEPTH;
    m->captures = 0;
}

void pattern_spend(struct matcher *m, lua_Integer steps) {
    m->steps -= steps;
    if (m->steps < 0)
        luaL_error(m->L, "pattern is too costly for a subject of %d bytes", (int)(m->subject_end - m->subject));
    if (steps < m->until_check) {
        m->until_check -= (int)steps;
        return;
    }
    m->until_check = STEPS_PER_CHECK;
    sandbox_check(m->L);
}

bool pattern_is_plain(const char *pattern, size_t length) {
    return strcspn(pattern, "^$*+?.([%-") == length;
}

/* ---- one character ---- */

static bool in_class(int c, int class) {
    bool result;
    switch (tolower(class)) {
    case 'a':
        result = isalpha(c);
        break;
    case 'c':
        result = iscntrl(c);
        break;
    case 'd':
        result = isdigit(c);
        break;
    case 'g':
        result = isgraph(c);
        break;
    case 'l':
        result = islower(c);
        break;
    case 'p':
        result = ispunct(c);
        break;
    case 's':
        result = isspace(c);
        break;
    case 'u':
        result = isupper(c);
        break;
    case 'w':
        result = isalnum(c);
        break;
    case 'x':
        result = isxdigit(c);
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !result : result;
}

static int byte_at(const char *at) {
    return (unsigned char)*at;
}

/* `set` is at '[', `last` at its ']'. */
static bool in_set(int c, const char *set, const char *last) {
    const char *p = set + 1;
    bool found = true;
    if (*p == '^') {
        found = false;
        p++;
    }
    for (; p < last; p++) {
        if (*p == '%') {
            p++;
            if (in_class(c, byte_at(p)))
                return found;
        } else if (p[1] == '-' && p + 2 < last) {
            if (byte_at(p) <= c && c <= byte_at(p + 2))
                return found;
            p += 2;
        } else if (byte_at(p) == c) {
            return found;
        }
    }
    return !found;
}

/* The end of the single-character item at p. */
static const char *item_end(struct matcher *m, const char *p) {
    if (*p == '%') {
        if (p + 1 == m->pattern_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 2;
    }
    if (*p != '[')
        return p + 1;
    const char *set = p++;
    if (*p == '^')
        p++;
    do { /* the first character stands for itself, even ']' */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (*p != ']'); /* pattern_end is '\0' */
    pattern_spend(m, (p - set) / 2);
    return p + 1;
}

static bool item_matches(struct matcher *m, const char *s, const char *p, const char *end) {
    if (s >= m->subject_end)
        return false;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(byte_at(s), byte_at(p + 1));
    case '[':
        pattern_spend(m, (end - p) / 2);
        return in_set(byte_at(s), p, end - 1);
    default:
        return *p == *s;
    }
}

/* ---- sequences ---- */

static const char *match(struct matcher *m, const char *s, const char *p);

static const char *match_balanced(struct matcher *m, const char *s, const char *p) {
    if (p + 1 >= m->pattern_end)
        luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0])
        return NULL;
    int open = 1;
    for (const char *at = s + 1; at < m->subject_end; at++) {
        pattern_spend(m, 1);
        if (*at == p[1]) {
            if (--open == 0)
                return at + 1;
        } else if (*at == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* As many as there are, then fewer and fewer. */
static const char *match_longest(struct matcher *m, const char *s, const char *p, const char *end) {
    ptrdiff_t count = 0;
    while (item_matches(m, s + count, p, end)) {
        pattern_spend(m, 1);
        count++;
    }
    for (; count >= 0; count--) {
        const char *result = match(m, s + count, end + 1);
        if (result)
            return result;
    }
    return NULL;
}

/* As few as will do. */
static const char *match_shortest(struct matcher *m, const char *s, const char *p, const char *end) {
    for (;; s++) {
        const char *result = match(m, s, end + 1);
        if (result)
            return result;
        if (!item_matches(m, s, p, end))
            return NULL;
    }
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t kind) {
    if (m->captures >= PATTERN_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->capture[m->captures].start = s;
    m->capture[m->captures].length = kind;
    m->captures++;
    const char *result = match(m, s, p);
    if (!result)
        m->captures--;
    return result;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p) {
    int index = m->captures - 1;
    while (index >= 0 && m->capture[index].length != OPEN)
        index--;
    if (index < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->capture[index].length = s - m->capture[index].start;
    const char *result = match(m, s, p);
    if (!result)
        m->capture[index].length = OPEN;
    return result;
}

static const char *match_again(struct matcher *m, const char *s, int digit) {
    int index = digit - '1';
    if (index < 0 || index >= m->captures || m->capture[index].length == OPEN)
        luaL_error(m->L, "invalid capture index %%%d in pattern", index + 1);
    /* A position capture has no text; a length no subject has never matches. */
    size_t length = (size_t)m->capture[index].length;
    if ((size_t)(m->subject_end - s) < length)
        return NULL;
    pattern_spend(m, (lua_Integer)(length / 16));
    return memcmp(m->capture[index].start, s, length) == 0 ? s + length : NULL;
}

static bool match_frontier(struct matcher *m, const char *s, const char *set, const char *end) {
    int before = s == m->subject ? '\0' : byte_at(s - 1);
    int after = s == m->subject_end ? '\0' : byte_at(s);
    return !in_set(before, set, end - 1) && in_set(after, set, end - 1);
}

/* Where the match of p at s ends, NULL when there is none. Recursion only where there is a choice to come back to. */
static const char *match_here(struct matcher *m, const char *s, const char *p) {
    while (p != m->pattern_end) {
        pattern_spend(m, 1);
        if (*p == '(')
            return p[1] == ')' ? open_capture(m, s, p + 2, POSITION) : open_capture(m, s, p + 1, OPEN);
        if (*p == ')')
            return close_capture(m, s, p + 1);
        if (*p == '$' && p + 1 == m->pattern_end)
            return s == m->subject_end ? s : NULL;
        if (*p == '%' && p[1] == 'b') {
            s = match_balanced(m, s, p + 2);
            if (!s)
                return NULL;
            p += 4;
            continue;
        }
        if (*p == '%' && p[1] == 'f') {
            const char *set = p + 2;
            if (*set != '[')
                luaL_error(m->L, "missing '[' after '%%f' in pattern");
            p = item_end(m, set);
            if (!match_frontier(m, s, set, p))
                return NULL;
            continue;
        }
        if (*p == '%' && isdigit(byte_at(p + 1))) {
            s = match_again(m, s, byte_at(p + 1));
            if (!s)
                return NULL;
            p += 2;
            continue;
        }
        const char *end = item_end(m, p);
        if (*end == '*')
            return match_longest(m, s, p, end);
        if (*end == '-')
            return match_shortest(m, s, p, end);
        bool one = item_matches(m, s, p, end);
        if (*end == '+')
            return one ? match_longest(m, s + 1, p, end) : NULL;
        if (*end == '?') {
            const char *result = one ? match(m, s + 1, end + 1) : NULL;
            if (result)
                return result;
            p = end + 1;
            continue;
        }
        if (!one)
            return NULL;
        s++;
        p = end;
    }
    return s;
}

static const char *match(struct matcher *m, const char *s, const char *p) {
    if (m->depth-- == 0)
        luaL_error(m->L, "pattern too complex");
    const char *result = match_here(m, s, p);
    m->depth++;
    return result;
}

const char *pattern_match(struct matcher *m, const char *s, const char *p) {
    m->captures = 0;
    m->depth = MAX_DEPTH;
    pattern_spend(m, 1);
    return match(m, s, p);
}

/* ---- captures ---- */

void pattern_push_capture(struct matcher *m, int index, const char *s, const char *end) {
    if (index >= m->captures) {
        if (index != 0)
            luaL_error(m->L, "invalid capture index %%%d", index + 1);
        lua_pushlstring(m->L, s, (size_t)(end - s));
    } else if (m->capture[index].length == POSITION) {
        lua_pushinteger(m->L, m->capture[index].start - m->subject + 1);
    } else if (m->capture[index].length == OPEN) {
        luaL_error(m->L, "unfinished capture");
    } else {
        lua_pushlstring(m->L, m->capture[index].start, (size_t)m->capture[index].length);
    }
}

int pattern_push_captures(struct matcher *m, const char *s, const char *end) {
    int count = m->captures == 0 && s ? 1 : m->captures;
    luaL_checkstack(m->L, count, "too many captures");
    for (int i = 0; i < count; i++)
        pattern_push_capture(m, i, s, end);
    return count;
}
