/* What a watch tells of itself in the metrics. */
#ifndef HOST_KUBE_WATCH_METRICS_H
#define HOST_KUBE_WATCH_METRICS_H

#include "kube_store.h"
#include "metrics.h"

struct kube_watch_metrics {
    const struct kube_resource *resource;
    char group_resource[128]; /* "rayclusters.distributed-compute.dominodatalab.com" */
    struct series *events, *bookmarks, *lists, *list_time, *objects, *up, *age;
};

void kube_watch_metrics_open(struct kube_watch_metrics *metrics, const struct kube_resource *resource);
void kube_watch_metrics_close(struct kube_watch_metrics *metrics); /* the gauges are no longer shown */
void kube_watch_metrics_up(struct kube_watch_metrics *metrics, bool up);
void kube_watch_metrics_age(struct kube_watch_metrics *metrics, int64_t age_ms);
void kube_watch_metrics_listed(struct kube_watch_metrics *metrics, size_t objects, int64_t took_us);
void kube_watch_metrics_event(struct kube_watch_metrics *metrics, enum kube_event event, size_t objects);
void kube_watch_metrics_trouble(struct kube_watch_metrics *metrics, const char *verb, const char *code);

#endif
