/* Lua values as compact bytes that another state can rebuild fast: booleans, numbers, strings, json.null and trees of
   tables (json.array's mark is kept, other metatables are not). */
#ifndef HOST_BIND_PACK_H
#define HOST_BIND_PACK_H

#include <lua.h>

#include "bytes.h"

enum { PACK_MAX_DEPTH = 32, PACK_MAX_BYTES = 1024 * 1024 };

/* Appends the value at index. Raises nothing. NULL, or what is wrong as a constant; out then holds a part. */
const char *bind_pack(lua_State *L, int index, struct buffer *out);
/* Pushes the value; data is what bind_pack made. Raises only when memory runs out. */
void bind_unpack(lua_State *L, struct span packed);

#endif
