/* One answer that is remembered, shared between threads by reference. */
#ifndef HOST_ANSWER_H
#define HOST_ANSWER_H

#include "trace.h"

struct answer;

/* Is what a run brought to be remembered? total counts the bytes of all answers that are. */
bool answer_is_wanted(const struct trace *trace, const struct response *response, const atomic_size_t *total);
/* Takes over trace's sources. NULL when memory is exhausted. */
struct answer *answer_new(const struct cache_key *key, struct trace *trace, const struct response *response,
                          atomic_size_t *total);
struct answer *answer_reference(struct answer *answer);
void answer_release(struct answer *answer); /* NULL is fine */

bool answer_is_of(const struct answer *answer, const struct cache_key *key);
/* Is all of it as it was? Threads may ask at the same time. */
bool answer_holds(struct answer *answer, struct cache *cache);
/* Fills response; *decisions is what its run wrote to the decision log, a reference, or NULL when that is not known. */
void answer_give(struct answer *answer, struct response *response, struct bytes **decisions);

#endif
