#include "service_metrics.h"

#include <stddef.h>

#include "cache.h"
#include "config.h"
#include "host.h"
#include "kube_cache.h"
#include "metrics.h"
#include "server.h"

static const struct host *host;
static const struct server_load *load;

enum { HITS, LOADS, WAITS, EVICTIONS, ENTRIES, BYTES, THREADS_BUSY, THREADS, REQUESTS, REQUESTS_MAX, FIGURES };

static const struct {
    enum metric_type type;
    const char *name;
    const char *help;
} figures[FIGURES] = {
    [HITS] = {METRIC_COUNTER, "rayclusterscaler_cache_hits_total", "Answers from the cache, who is calling above all."},
    [LOADS] = {METRIC_COUNTER, "rayclusterscaler_cache_loads_total",
               "What the cache had not and somebody had to load."},
    [WAITS] = {METRIC_COUNTER, "rayclusterscaler_cache_waits_total", "Requests that waited for another's load."},
    [EVICTIONS] = {METRIC_COUNTER, "rayclusterscaler_cache_evictions_total",
                   "What the cache gave up for want of room."},
    [ENTRIES] = {METRIC_GAUGE, "rayclusterscaler_cache_entries", "What the cache holds."},
    [BYTES] = {METRIC_GAUGE, "rayclusterscaler_cache_bytes", "Size of what the cache holds."},
    [THREADS_BUSY] = {METRIC_GAUGE, "rayclusterscaler_threads_busy", "Threads that have a caller's request to serve."},
    [THREADS] = {METRIC_GAUGE, "rayclusterscaler_threads", "Threads that serve callers."},
    [REQUESTS] = {METRIC_GAUGE, "rayclusterscaler_requests_in_flight", "Requests that are being answered."},
    [REQUESTS_MAX] = {METRIC_GAUGE, "rayclusterscaler_requests_max",
                      "Requests that are worked on at once; those beyond are refused."},
};

static struct series *series[FIGURES];

static void collect(void *unused) {
    const struct cache_statistics statistics = cache_statistics(host->cache);
    (void)unused;
    if (host->kube_caches)
        kube_caches_observe(host->kube_caches);
    series_set(series[HITS], (double)statistics.hits);
    series_set(series[LOADS], (double)statistics.loads);
    series_set(series[WAITS], (double)statistics.waits);
    series_set(series[EVICTIONS], (double)statistics.evictions);
    series_set(series[ENTRIES], (double)statistics.entries);
    series_set(series[BYTES], (double)statistics.bytes);
    series_set(series[THREADS_BUSY], atomic_load(&load->threads));
    series_set(series[REQUESTS], atomic_load(&load->requests));
}

bool service_metrics_start(const struct host *the_host, const struct server_load *the_load, int threads) {
    host = the_host;
    load = the_load;
    for (size_t i = 0; i < FIGURES; i++) {
        struct metric *metric = metric_family(figures[i].type, figures[i].name, figures[i].help, "");
        series[i] = metric ? metric_series(metric, NULL) : NULL;
        if (!series[i])
            return false;
    }
    series_set(series[THREADS], threads);
    series_set(series[REQUESTS_MAX], (double)host->config->max_requests);
    return metrics_on_collect(collect, NULL);
}
