/* The proof that a bundle may serve: every file is Lua that touches no global but those there are, every module loads,
   every policy keeps its contract and passes its own examples, every route can be reached and names an action. Under
   the limits of production, as a whole: a bundle whose proof takes more than a request may is refused. */
#ifndef HOST_PROOF_H
#define HOST_PROOF_H

#include "runtime.h"

struct proof_options {
    bool examples_optional; /* POLICY_EXAMPLES=optional: a policy may have none */
};

/* True when nothing is wrong; else one line a finding, "policies/x.lua:12: …", or none when memory is exhausted. */
bool proof_run(struct host *host, struct bundle *bundle, const struct profile *profile,
               const struct proof_options *options, struct buffer *findings);

#endif
