/* Deciding outside of the service, with the rules of a directory and under the limits of production: what `decide` and
   `replay` share. */
#ifndef HOST_OFFLINE_H
#define HOST_OFFLINE_H

#include <stdbool.h>

#include "bytes.h"

struct offline;

/* policies: a directory in place of POLICIES_DIR, or NULL. NULL and a message when the rules do not load. */
struct offline *offline_open(const char *policies, struct buffer *error);
void offline_close(struct offline *offline);

/* Calls a function of host/decide.lua with texts. It returns a text or an integer, which becomes one, and
   a text or nothing; both are appended. False and a message in second when a limit ends it; the next call works. */
bool offline_call(struct offline *offline, const char *function, const struct span *arguments, size_t count,
                  struct buffer *first, struct buffer *second);

#endif
