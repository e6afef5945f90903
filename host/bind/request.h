/* The request as a script sees it: one userdata a state, filled before each call and emptied behind it, so that a
   script which keeps it can reach nothing later. Fields: method, path, query, body, id; method: header(name). */
#ifndef HOST_BIND_REQUEST_H
#define HOST_BIND_REQUEST_H

#include <lua.h>

#include "message.h"

struct trace;

void bind_request_new(lua_State *L); /* pushes it */
/* trace: told which headers are read; NULL when nobody asks. */
void bind_request_set(lua_State *L, int index, const struct request *request, struct trace *trace);

#endif
