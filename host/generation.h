/* A generation: a bundle that loads, and a pool of Lua states made from it. Never changed once published. */
#ifndef HOST_GENERATION_H
#define HOST_GENERATION_H

#include "runtime.h"

struct generation;

/* Opens the first state, so that what is published is known to load. NULL and a message when it does not, NULL
   alone when memory is exhausted. */
struct generation *generation_open(struct host *host, struct bundle *bundle, const struct profile *profile,
                                   struct buffer *error);
const struct bundle *generation_bundle(const struct generation *generation);

/* Gives the answer when it is remembered and nobody wants to see the run. */
bool generation_recall(struct generation *generation, const struct request *request, struct response *response);
/* Takes a state, serves, gives it back; or waits for another run's answer. */
void generation_serve(struct generation *generation, const struct request *request, struct response *response);

/* The one that serves. Publishing drops the old one, which lives until its last request has ended. */
struct slot; /* holds the current generation */
struct slot *slot_new(void);
void slot_free(struct slot *slot);
void slot_publish(struct slot *slot, struct generation *generation); /* takes over the reference; NULL empties it */
struct generation *slot_acquire(struct slot *slot);                  /* NULL while there is none */
void generation_release(struct generation *generation);

#endif
