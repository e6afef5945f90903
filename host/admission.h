/* How many requests are worked on at once, in all and for one caller. Beyond it they are refused at once: a queue would
   only make everybody late, and one caller shall not take all of it. */
#ifndef HOST_ADMISSION_H
#define HOST_ADMISSION_H

#include "message.h"

struct admission;

struct admission *admission_new(long most, long most_for_one);
void admission_free(struct admission *admission);

/* True when the request may go on; then *caller goes to admission_leave. Else the refusal stands in the response.
   Callers are told apart by their credential, of which only a keyed hash is kept, and that no longer than it takes. */
bool admission_enter(struct admission *admission, const struct request *request, struct response *response,
                     uint64_t *caller);
void admission_leave(struct admission *admission, uint64_t caller);

#endif
