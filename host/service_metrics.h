/* Figures of the service that are read when metrics are asked for: its threads, the cache, the age of
 * watches. */
#ifndef HOST_SERVICE_METRICS_H
#define HOST_SERVICE_METRICS_H

#include <stdbool.h>

struct host;
struct server_load;

/* Both live as long as anybody asks for metrics. False when memory is exhausted. */
bool service_metrics_start(const struct host *host, const struct server_load *load, int threads);

#endif
