/* What the rest of the host uses of the Lua module `kube`. */
#ifndef HOST_BIND_KUBE_H
#define HOST_BIND_KUBE_H

#include <lua.h>

struct kube_failure;
struct kube_object;

/* The object behind a kube.object, for as long as the request lasts; NULL when the value at index is none. */
struct kube_object *bind_kube_object(lua_State *L, int index);
/* Ends a request: its objects are let go, and a script that kept one cannot use it. */
void bind_kube_forget(lua_State *L);

/* Pushes a kube.object that takes over *object and sets it to NULL once it is safe. */
void bind_kube_push_object(lua_State *L, struct kube_object **object);
/* Pushes a kube.failure. */
void bind_kube_push_failure(lua_State *L, const struct kube_failure *failure);
/* Makes the metatables of the two; once a state. */
void bind_kube_open_objects(lua_State *L);

#endif
