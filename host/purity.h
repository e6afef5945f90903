/* Rules are pure: a module of the policies can require nothing but others of its kind, and whatever it changes of what
   it keeps (upvalues, tables, metatables) is as it was loaded again when the next request begins. */
#ifndef HOST_PURITY_H
#define HOST_PURITY_H

#include <lua.h>
#include <stdbool.h>

bool purity_applies(const char *module);

/* All of these may raise. Call once, before the first module is loaded; the table of modules by name is on top, and
   stays. require: the C function for policies. */
void purity_open(lua_State *L, lua_CFunction require);
/* Gives the chunk of a policy, on top, its globals. */
void purity_confine(lua_State *L);
/* The policy on top has been loaded. Takes its examples away, which no request needs. */
void purity_loaded(lua_State *L, const char *module);
void purity_push_examples(lua_State *L, const char *module); /* nil when it has none */

/* Remembers what the policies loaded so far keep. Raises when one keeps what cannot be looked into: a coroutine, an
   iterator. */
void purity_remember(lua_State *L);
/* Makes it so again, and forgets policies that were loaded since. */
void purity_restore(lua_State *L);

#endif
