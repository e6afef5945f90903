/* The log of what rules decided: lines like the log's own, on stdout among them or in a file of their own. Writing
   never blocks; what is dropped is counted in a metric. */
#ifndef HOST_DECISION_LOG_H
#define HOST_DECISION_LOG_H

#include "message.h"

/* path "" is the log itself; it must outlive the decision log. view_rate: share of the allowed views that are wanted.
   Nothing is wanted before, or after the close. False and one line in error when the file cannot be written. */
bool decision_log_open(const char *path, double view_rate, struct buffer *error);
void decision_log_close(void);

/* Asked before any work on a line: of the allowed views only a sample is wanted. */
bool decision_log_wanted(bool allowed_view);
/* What was decided, as members of a line's object: from the comma before the first of them on. Where the time of the
   request belongs, behind the arguments of a rule, this byte stands for it, so that the same can be written for a
   later request that was decided by what is remembered. */
enum { DECISION_TIME = 1 };
void decision_log_write(struct call_context *call, struct span members);
/* The same for several, with a line end behind each. */
void decision_log_write_all(struct call_context *call, struct span lines);
void decision_log_drop(void); /* counts a line that could not be made */

#endif
