/* Matching of Lua's patterns, in steps that are counted. */
#ifndef HOST_SANDBOX_PATTERN_H
#define HOST_SANDBOX_PATTERN_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

enum { PATTERN_CAPTURES = 32 };

struct matcher {
    lua_State *L;
    const char *subject, *subject_end;
    const char *pattern_end;
    lua_Integer steps; /* left in this call */
    int until_check;
    int depth;
    int captures;
    struct {
        const char *start;
        ptrdiff_t length;
    } capture[PATTERN_CAPTURES];
};

/* Both texts end with '\0' and live as long as the matcher. */
void pattern_prepare(struct matcher *m, lua_State *L, const char *subject, size_t length, const char *pattern,
                     size_t pattern_length);
/* True when the pattern matches only itself. */
bool pattern_is_plain(const char *pattern, size_t length);
/* Where the match of p that begins at s ends; NULL when there is none. Raises when it is malformed or too costly. */
const char *pattern_match(struct matcher *m, const char *s, const char *p);
/* Counts work of the caller's as steps. */
void pattern_spend(struct matcher *m, lua_Integer steps);
/* Pushes a capture of the match from s to end; the whole match stands in for a missing first one. */
void pattern_push_capture(struct matcher *m, int index, const char *s, const char *end);
/* Pushes all captures; with s NULL only real ones. Returns their number. */
int pattern_push_captures(struct matcher *m, const char *s, const char *end);

#endif
