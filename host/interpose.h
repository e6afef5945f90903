/* Functions of libc that civetweb calls and that behave as we need: they are found before libc's because the program
   exports its symbols. */
#ifndef HOST_INTERPOSE_H
#define HOST_INTERPOSE_H

#include "bytes.h"

enum { REQUEST_BUFFER_BYTES = 16384 }; /* of civetweb's, for the head of a request */

/* From here on this thread, one of civetweb's, keeps what it receives; false when memory is exhausted. */
bool received_keep(void);
/* The request that this thread handles, as it was received: its head, and whatever of its body came with it. */
struct span received_request(void);

#endif
