/* What families and series are made of: shared by metrics.c, which makes and updates them, and metrics_text.c. */
#ifndef HOST_METRICS_SERIES_H
#define HOST_METRICS_SERIES_H

#include <stdatomic.h>
#include <stdint.h>

#include "metrics.h"

enum { METRIC_CHAINS = 128 }; /* of a family's hash table: four series each when it is full */

struct series {
    struct series *next; /* in its chain; set once */
    const struct metric *metric;
    uint64_t hash;
    char *key;            /* the values, each with its '\0' */
    char *labels;         /* as in the text: a="1",b="2" */
    _Atomic double value; /* a histogram's sum */
    atomic_bool hidden;
    atomic_uint_fast64_t counts[]; /* of a histogram: one a bucket, not cumulative, and one for +Inf */
};

struct metric {
    struct metric *next; /* by name */
    enum metric_type type;
    char *name;
    char *help;
    char *label_names; /* each with its '\0' */
    size_t label_count;
    atomic_size_t series_count;
    _Atomic(struct series *) chains[METRIC_CHAINS]; /* read without a lock, so a series is complete before it is here */
};

extern const double metric_bounds[METRIC_BUCKETS]; /* seconds, the last one below +Inf */

/* Appends text with a backslash before each of special; a line feed becomes "\n". */
void metrics_append_escaped(struct buffer *out, const char *text, const char *special);
/* Calls visit with every family, by name, while no series can be added. */
void metrics_each(void (*visit)(const struct metric *metric, void *context), void *context);
void metrics_collect(void);

#endif
