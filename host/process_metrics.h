/* Metrics of the process itself, under the names that Prometheus' own clients use. */
#ifndef HOST_PROCESS_METRICS_H
#define HOST_PROCESS_METRICS_H

#include <stdbool.h>

/* Once, at start. False when memory is exhausted. */
bool process_metrics_start(void);

#endif
