/* The running service: everything that `serve` starts, in order, and stops in reverse. */
#ifndef HOST_SERVE_H
#define HOST_SERVE_H

#include "generation.h"
#include "program.h"

struct serve;

/* After program_start. NULL and one clear line in error. lookup finds Kubernetes: getenv, or the demo's own. */
struct serve *serve_open(const struct config *config, lookup_function *lookup, struct buffer *error);
/* Not ready at once, serving on for DRAIN_SECONDS; a second signal ends the process. */
void serve_drain(struct serve *serve);
void serve_close(struct serve *serve);

/* Scripts and policies as the settings name them, for commands that only look at them. */
struct bundle *serve_bundle(const struct config *config, struct buffer *error);
extern const struct profile serve_profile;

#endif
