/* The simulated Domino and Kubernetes: scripts of SIMULATOR_DIR, run by the host in one Lua state. */
#ifndef HOST_SIMULATOR_H
#define HOST_SIMULATOR_H

#include "bytes.h"

struct simulator;

/* listen: "127.0.0.1:6002"; port 0 picks one. Needs log_start and sandbox_start. NULL and a message on failure. */
struct simulator *simulator_open(const char *directory, const char *listen, struct buffer *error);
int simulator_port(const struct simulator *simulator);
void simulator_close(struct simulator *simulator);

#endif
