/* What every long-running command starts with and ends with. */
#ifndef HOST_PROGRAM_H
#define HOST_PROGRAM_H

#include <stdbool.h>

#include "bytes.h"
#include "config.h"

typedef const char *lookup_function(const char *name);

/* getenv with a const result. */
const char *lookup_environment(const char *name);

/* Blocks signals (before any thread is made), reads the settings, starts the log and the watchdog. False and one clear
   line in error. */
bool program_start(struct config *config, lookup_function *lookup, struct buffer *error);
void program_wait(void); /* for SIGINT or SIGTERM */
/* Waits that long; a signal meanwhile ends the process at once. */
void program_linger(long seconds);
/* From here on a signal ends the process at once. */
void program_end_on_signal(void);
void program_stop(void);

/* Prints the error as this program does and returns the exit status 1; frees error. */
int program_fail(struct buffer *error);

#endif
