/* Metrics in the Prometheus text format. A family is made once, at start or when a script first names it; series
   appear when they are first touched. Bounded: a family holds at most METRICS_MAX_SERIES, further label values are
   counted under the value "other". Thread-safe. */
#ifndef HOST_METRICS_H
#define HOST_METRICS_H

#include <stddef.h>

#include "bytes.h"

enum { METRICS_MAX_LABELS = 6, METRICS_MAX_SERIES = 512 };

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric; /* a family; lives as long as the process */

/* The same name with the same type and labels gives the same family; NULL for a bad name or a contradiction.
   label_names: names apart by ",", "" for none. Histograms have the buckets of METRIC_BUCKETS, in seconds. */
struct metric *metric_family(enum metric_type type, const char *name, const char *help, const char *label_names);

/* values: as many as the family has labels. */
void metric_add(struct metric *metric, const char *const *values, double amount);
void metric_set(struct metric *metric, const char *const *values, double value);
void metric_observe(struct metric *metric, const char *const *values, double seconds);
/* Called while the text is made, for figures that are read when asked (gauges of a cache, memory). */
void metrics_on_collect(void (*collect)(void *context), void *context);

void metrics_text(struct buffer *out);
void metrics_reset(void); /* for specs */

#endif
