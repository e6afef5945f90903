/* The proof that a bundle may serve: every module loads, every policy keeps its contract and passes its own examples,
   every route names an action. Run under the limits of production. */
#ifndef HOST_PROOF_H
#define HOST_PROOF_H

#include "runtime.h"

struct proof_options {
    bool examples_optional; /* POLICY_EXAMPLES=optional: a policy may have none */
};

/* True when nothing is wrong; else one line a finding, with file and line where there is one. */
bool proof_run(struct host *host, struct bundle *bundle, const struct profile *profile,
               const struct proof_options *options, struct buffer *findings);

#endif
