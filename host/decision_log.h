/* The log of what rules decided: lines like the log's own, on stdout among them or in a file of their own. Writing
   never blocks; what is dropped is counted in a metric. */
#ifndef HOST_DECISION_LOG_H
#define HOST_DECISION_LOG_H

#include "bytes.h"

/* path "" is the log itself; it must outlive the decision log. view_rate: share of the allowed views that are wanted.
   Nothing is wanted before, or after the close. False and one line in error when the file cannot be written. */
bool decision_log_open(const char *path, double view_rate, struct buffer *error);
void decision_log_close(void);

/* Asked before any work on a line: of the allowed views only a sample is wanted. */
bool decision_log_wanted(bool allowed_view);
/* A line that log_begin began; cleared for the next one. */
void decision_log_write(struct buffer *line);
void decision_log_drop(void); /* counts a line that could not be made */

#endif
