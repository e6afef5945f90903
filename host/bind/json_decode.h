/* JSON text as Lua values. Everything it takes is Lua's own memory, so that an error that a limit raises on the way
   loses nothing. */
#ifndef HOST_BIND_JSON_DECODE_H
#define HOST_BIND_JSON_DECODE_H

#include <lua.h>
#include <stdbool.h>

#include "bytes.h"

/* Pushes the value of text, which has passed json_valid. False, with nothing pushed, when a number is out of range. */
bool json_decode(lua_State *L, struct span text);

#endif
