/* Which globals a chunk uses, read off its compiled code: also in branches that no proof ever runs. */
#ifndef HOST_GLOBALS_H
#define HOST_GLOBALS_H

#include <stdbool.h>
#include <stddef.h>

struct global_use {
    const char *name; /* within the code; not terminated */
    size_t length;
    int line;
    bool assigned;
};

struct global_uses {
    struct global_use *uses; /* by line; the caller frees them */
    size_t count;
};

/* code: what lua_dump writes of a main chunk, with its debug information. False, and nothing to free, when it is not
   what Lua 5.4 writes, or memory is exhausted. Accesses through a table that holds the globals (_G.x) are not seen:
   when they are wrong they raise. */
bool globals_find(const char *code, size_t length, struct global_uses *found);

#endif
