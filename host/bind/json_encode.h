/* Lua values as JSON text. lua-cjson as packaged cannot tell an empty array from an empty object, nor a float that is
   an integer from one that is not, so writing is done here. */
#ifndef HOST_BIND_JSON_ENCODE_H
#define HOST_BIND_JSON_ENCODE_H

#include <lua.h>

#include "bytes.h"

/* Appends the value at index to out; array_metatable is the index of the metatable that marks arrays. Raises nothing.
   NULL, or what is wrong as a constant; out then holds a part. */
const char *json_encode(lua_State *L, int index, int array_metatable, struct buffer *out);

#endif
