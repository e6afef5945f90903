/* Metrics in the Prometheus text format. A family is made once, at start or when a script first names it; series
   appear when they are first touched (a family without labels shows 0 from the start). Bounded: a family holds at most
   METRICS_MAX_SERIES, further label values are counted under the value "other". Thread-safe; updates take no lock. */
#ifndef HOST_METRICS_H
#define HOST_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"

enum {
    METRICS_MAX_LABELS = 6,
    METRICS_MAX_SERIES = 512,
    METRICS_MAX_VALUE_BYTES = 128, /* of a label; longer ones, and what is not printable ASCII, count as "other" */
    METRICS_MAX_COLLECTORS = 32,
    METRIC_BUCKETS = 14, /* of every histogram: 0.5 ms to 10 s, then +Inf */
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric; /* a family; lives as long as the process */
struct series; /* one set of label values of a family; lives as long */

/* The same name with the same type and labels gives the same family; NULL for a bad name or a contradiction.
   label_names: names apart by ",", "" for none. Histograms observe seconds. */
struct metric *metric_family(enum metric_type type, const char *name, const char *help, const char *label_names);
/* The family of that name, NULL when there is none. */
struct metric *metric_find(const char *name);
size_t metric_label_count(const struct metric *metric);

/* values: as many as the family has labels. */
void metric_add(struct metric *metric, const char *const *values, double amount);
void metric_set(struct metric *metric, const char *const *values, double value);
/* A gauge's series is no longer shown, until it is set again: the old value of an info metric. */
void metric_hide(struct metric *metric, const char *const *values);
void metric_observe(struct metric *metric, const char *const *values, double seconds);

/* The same in two steps, for series that are known beforehand and touched often. NULL, which the functions below
   ignore, only when memory is exhausted. */
struct series *metric_series(struct metric *metric, const char *const *values);
void series_add(struct series *series, double amount); /* counters take no negative amount */
void series_set(struct series *series, double value);
void series_observe(struct series *series, double seconds);

/* Called while the text is made, for figures that are read when asked (gauges of a cache, memory); may be called by
   several threads at once. False when there are METRICS_MAX_COLLECTORS already. */
bool metrics_on_collect(void (*collect)(void *context), void *context);

void metrics_text(struct buffer *out);

#endif
