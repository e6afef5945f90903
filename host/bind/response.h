/* Reads the table that a handler returns:
   { status = 200, headers = { ["ETag"] = "…" }, body = string | kube.object | array of those,
     route = "/raycluster/{name}", caller = "id", error = "code" } (the last three for the access log)
   and from the simulator also: delay_ms, raw, stream. */
#ifndef HOST_BIND_RESPONSE_H
#define HOST_BIND_RESPONSE_H

#include <lua.h>

#include "message.h"

/* Raises when the table is not of that shape. */
void bind_response_read(lua_State *L, int index, struct response *response, bool simulator);

#endif
