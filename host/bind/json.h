/* What other bindings use of the Lua module `json`. */
#ifndef HOST_BIND_JSON_H
#define HOST_BIND_JSON_H

#include <lua.h>

#include "bind/bind.h"
#include "bytes.h"

/* Gives the state what the functions below need; once is enough, whatever module comes first. */
void bind_json_prepare(lua_State *L);

/* Pushes the value of text, which has passed json_valid; or nil and a message when a number is out of range.
   Returns how many values it pushed. */
int bind_json_decode(lua_State *L, struct span text);
/* Pushes the JSON text of the value at index; raises on what JSON cannot say. */
void bind_json_encode(lua_State *L, int index);

/* The mark of json.array. */
bool bind_json_is_array(lua_State *L, int index);
void bind_json_mark_array(lua_State *L, int index);

#endif
