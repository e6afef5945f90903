#include "kube_watch_metrics.h"

#include <stdio.h>

static const char LABELS[] = "resource,namespace";

static struct metric *family_up(void) {
    return metric_family(METRIC_GAUGE, "rayclusterscaler_kube_watch_up",
                         "Whether the watch of a resource is open; while it is not, its copy ages.", LABELS);
}

static struct metric *family_objects(void) {
    return metric_family(METRIC_GAUGE, "rayclusterscaler_kube_watch_objects", "Objects in the copy of a resource.",
                         LABELS);
}

static struct metric *family_age(void) {
    return metric_family(METRIC_GAUGE, "rayclusterscaler_kube_watch_age_seconds",
                         "How far the copy of a resource may lag: how long its watch is down or brings no whole event.",
                         LABELS);
}

static struct metric *family_list_time(void) {
    return metric_family(METRIC_GAUGE, "rayclusterscaler_kube_watch_list_seconds",
                         "How long the last full list of a resource took, from its first page to its being read.",
                         LABELS);
}

static struct metric *family_troubles(void) {
    return metric_family(METRIC_COUNTER, "rayclusterscaler_kube_watch_troubles_total",
                         "Lists and watches that failed, by what was tried and by the failure.",
                         "resource,namespace,verb,code");
}

static struct series *series_of(struct metric *metric, const char *const *values) {
    return metric ? metric_series(metric, values) : NULL;
}

void kube_watch_metrics_open(struct kube_watch_metrics *metrics, const struct kube_resource *resource) {
    metrics->resource = resource;
    snprintf(metrics->group_resource, sizeof metrics->group_resource, "%s%s%s", resource->plural,
             *resource->group ? "." : "", resource->group);
    const char *values[] = {metrics->group_resource, resource->namespace, "change"};
    metrics->up = series_of(family_up(), values);
    metrics->objects = series_of(family_objects(), values);
    metrics->age = series_of(family_age(), values);
    metrics->list_time = series_of(family_list_time(), values);
    metrics->lists = series_of(metric_family(METRIC_COUNTER, "rayclusterscaler_kube_watch_lists_total",
                                             "Full lists, the first one included.", LABELS),
                               values);
    struct metric *events = metric_family(METRIC_COUNTER, "rayclusterscaler_kube_watch_events_total",
                                          "Events of a watch.", "resource,namespace,type");
    metrics->events = series_of(events, values);
    values[2] = "bookmark";
    metrics->bookmarks = series_of(events, values);
    series_set(metrics->up, 0);
    series_set(metrics->objects, 0);
}

void kube_watch_metrics_close(struct kube_watch_metrics *metrics) {
    const char *values[] = {metrics->group_resource, metrics->resource->namespace};
    struct metric *gauges[] = {family_up(), family_objects(), family_age(), family_list_time()};
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        if (gauges[i])
            metric_hide(gauges[i], values);
}

void kube_watch_metrics_up(struct kube_watch_metrics *metrics, bool up) {
    series_set(metrics->up, up);
}

void kube_watch_metrics_age(struct kube_watch_metrics *metrics, int64_t age_ms) {
    series_set(metrics->age, (double)age_ms / 1000);
}

void kube_watch_metrics_listed(struct kube_watch_metrics *metrics, size_t objects, int64_t took_us) {
    series_add(metrics->lists, 1);
    series_set(metrics->list_time, (double)took_us / 1e6);
    series_set(metrics->objects, (double)objects);
}

void kube_watch_metrics_event(struct kube_watch_metrics *metrics, enum kube_event event, size_t objects) {
    series_add(event == KUBE_EVENT_BOOKMARK ? metrics->bookmarks : metrics->events, 1);
    series_set(metrics->objects, (double)objects);
}

void kube_watch_metrics_trouble(struct kube_watch_metrics *metrics, const char *verb, const char *code) {
    const char *values[] = {metrics->group_resource, metrics->resource->namespace, verb, code};
    struct metric *troubles = family_troubles();
    if (troubles)
        metric_add(troubles, values, 1);
}
