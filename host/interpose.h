/* Functions of libc that civetweb calls and that behave as we need: they are found before libc's because the program
   exports its symbols. */
#ifndef HOST_INTERPOSE_H
#define HOST_INTERPOSE_H

/* Where civetweb keeps this thread's requests: each begins there. NULL before anything was received. */
const char *received_request(void);

#endif
