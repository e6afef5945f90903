/* Lua values as JSON text: an empty array is told from an empty object, and integers are written exactly. */
#ifndef HOST_BIND_JSON_ENCODE_H
#define HOST_BIND_JSON_ENCODE_H

#include <lua.h>

#include "bytes.h"

enum { JSON_MAX_BYTES = 8 * 1024 * 1024 }; /* of a text: as large as a string of Lua's may be */

/* Appends the value at index to out; array_metatable is the index of the metatable that marks arrays. Raises nothing.
   NULL, or what is wrong as a constant; out then holds a part. */
const char *json_encode(lua_State *L, int index, int array_metatable, struct buffer *out);

#endif
