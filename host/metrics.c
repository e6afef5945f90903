#include "metrics_series.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const double metric_bounds[METRIC_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                              0.1,    0.25,  0.5,    1,     2.5,  5,     10};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of all that follows, and of making series */
static struct metric *families;
static struct {
    void (*collect)(void *context);
    void *context;
} collectors[METRICS_MAX_COLLECTORS];
static size_t collector_count;

static bool is_name(const char *name, size_t length, const char *also) {
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr(also, c));
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return length > 0;
}

/* Turns "a,b" into "a\0b\0" in place; false when it is no list of distinct names. */
static bool split_labels(struct metric *metric) {
    for (char *name = metric->label_names; *name;) {
        size_t length = strcspn(name, ",");
        bool last = name[length] == '\0';
        name[length] = '\0';
        bool reserved = strncmp(name, "__", 2) == 0 || strcmp(name, "le") == 0;
        if (reserved || !is_name(name, length, "_") || metric->label_count == METRICS_MAX_LABELS)
            return false;
        for (const char *other = metric->label_names; other < name; other += strlen(other) + 1)
            if (strcmp(other, name) == 0)
                return false;
        metric->label_count++;
        if (last)
            return true;
        name += length + 1;
        if (!*name)
            return false;
    }
    return true;
}

static bool same_labels(const struct metric *metric, const struct metric *other) {
    const char *a = metric->label_names, *b = other->label_names;
    for (size_t i = 0; i < metric->label_count; i++, a += strlen(a) + 1, b += strlen(b) + 1)
        if (i == other->label_count || strcmp(a, b) != 0)
            return false;
    return metric->label_count == other->label_count;
}

static void free_metric(struct metric *metric) {
    for (size_t i = 0; i < METRIC_CHAINS; i++) {
        struct series *next;
        for (struct series *series = atomic_load(&metric->chains[i]); series; series = next) {
            next = series->next;
            free(series->key);
            free(series->labels);
            free(series);
        }
    }
    free(metric->name);
    free(metric->help);
    free(metric->label_names);
    free(metric);
}

/* A family that is not registered yet. */
static struct metric *make_metric(enum metric_type type, const char *name, const char *help, const char *labels) {
    struct metric *metric = calloc(1, sizeof *metric);
    if (!metric)
        return NULL;
    metric->type = type;
    metric->name = strdup(name);
    metric->help = strdup(help);
    metric->label_names = strdup(labels);
    if (metric->name && metric->help && metric->label_names && is_name(name, strlen(name), "_:") &&
        split_labels(metric))
        return metric;
    free_metric(metric);
    return NULL;
}

/* Where a family of that name is, or belongs. The mutex is held. */
static struct metric **place(const char *name) {
    struct metric **link = &families;
    while (*link && strcmp((*link)->name, name) < 0)
        link = &(*link)->next;
    return link;
}

struct metric *metric_find(const char *name) {
    pthread_mutex_lock(&mutex);
    struct metric *metric = *place(name);
    pthread_mutex_unlock(&mutex);
    return metric && strcmp(metric->name, name) == 0 ? metric : NULL;
}

struct metric *metric_family(enum metric_type type, const char *name, const char *help, const char *label_names) {
    struct metric *made = make_metric(type, name, help, label_names);
    if (!made)
        return NULL;
    pthread_mutex_lock(&mutex);
    struct metric **link = place(name);
    struct metric *metric = *link;
    bool known = metric && strcmp(metric->name, name) == 0;
    if (!known) {
        made->next = metric;
        metric = *link = made;
    }
    pthread_mutex_unlock(&mutex);
    if (!known) {
        if (metric->label_count == 0)
            metric_series(metric, (const char *const[]){""});
        return metric;
    }
    bool same = metric->type == type && same_labels(metric, made);
    free_metric(made);
    return same ? metric : NULL;
}

size_t metric_label_count(const struct metric *metric) {
    return metric->label_count;
}

/* FNV-1a over the values, each with its '\0'. */
static uint64_t hash_values(const struct metric *metric, const char *const *values) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < metric->label_count; i++) {
        const unsigned char *c = (const unsigned char *)values[i];
        do
            hash = (hash ^ *c) * 1099511628211u;
        while (*c++);
    }
    return hash;
}

static bool has_values(const struct series *series, const char *const *values) {
    const char *key = series->key;
    for (size_t i = 0; i < series->metric->label_count; i++) {
        size_t size = strlen(values[i]) + 1;
        if (strncmp(key, values[i], size) != 0)
            return false;
        key += size;
    }
    return true;
}

static struct series *find_series(struct metric *metric, const char *const *values, uint64_t hash) {
    struct series *series = atomic_load_explicit(&metric->chains[hash % METRIC_CHAINS], memory_order_acquire);
    while (series && (series->hash != hash || !has_values(series, values)))
        series = series->next;
    return series;
}

static struct series *make_series(const struct metric *metric, const char *const *values, uint64_t hash) {
    size_t counts = metric->type == METRIC_HISTOGRAM ? METRIC_BUCKETS + 1 : 0;
    struct series *series = calloc(1, sizeof *series + counts * sizeof series->counts[0]);
    struct buffer key = {0}, labels = {0};
    const char *name = metric->label_names;
    buffer_text(&key, "");
    buffer_text(&labels, "");
    for (size_t i = 0; i < metric->label_count; i++, name += strlen(name) + 1) {
        buffer_append(&key, values[i], strlen(values[i]) + 1);
        buffer_format(&labels, "%s%s=\"", i ? "," : "", name);
        metrics_append_escaped(&labels, values[i], "\\\"\n");
        buffer_append(&labels, "\"", 1);
    }
    if (!series || key.failed || labels.failed) {
        free(series);
        buffer_free(&key);
        buffer_free(&labels);
        return NULL;
    }
    series->metric = metric;
    series->hash = hash;
    series->key = key.data;
    series->labels = labels.data;
    return series;
}

static bool is_plain(const char *value) {
    size_t length = strnlen(value, METRICS_MAX_VALUE_BYTES + 1);
    for (size_t i = 0; i < length; i++)
        if (value[i] < ' ' || value[i] > '~')
            return false;
    return length <= METRICS_MAX_VALUE_BYTES;
}

/* A series that is not there yet, or is not wanted under these values. */
static struct series *add_series(struct metric *metric, const char *const *values) {
    const char *tame[METRICS_MAX_LABELS];
    bool full = atomic_load_explicit(&metric->series_count, memory_order_relaxed) >= METRICS_MAX_SERIES;
    for (size_t i = 0; i < metric->label_count; i++)
        tame[i] = !full && is_plain(values[i]) ? values[i] : "other";
    uint64_t hash = hash_values(metric, tame);
    struct series *series = find_series(metric, tame, hash);
    if (series)
        return series;
    pthread_mutex_lock(&mutex);
    series = find_series(metric, tame, hash);
    if (!series && (series = make_series(metric, tame, hash))) {
        series->next = atomic_load_explicit(&metric->chains[hash % METRIC_CHAINS], memory_order_relaxed);
        atomic_store_explicit(&metric->chains[hash % METRIC_CHAINS], series, memory_order_release);
        atomic_fetch_add_explicit(&metric->series_count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&mutex);
    return series;
}

struct series *metric_series(struct metric *metric, const char *const *values) {
    if (!metric)
        return NULL;
    struct series *series = find_series(metric, values, hash_values(metric, values));
    return series ? series : add_series(metric, values);
}

static void add_to(_Atomic double *value, double amount) {
    double old = atomic_load_explicit(value, memory_order_relaxed);
    while (
        !atomic_compare_exchange_weak_explicit(value, &old, old + amount, memory_order_relaxed, memory_order_relaxed))
        ;
}

void series_add(struct series *series, double amount) {
    if (!series || isnan(amount) || (series->metric->type == METRIC_COUNTER && amount < 0))
        return;
    add_to(&series->value, amount);
}

void series_set(struct series *series, double value) {
    if (!series)
        return;
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
    atomic_store_explicit(&series->hidden, false, memory_order_relaxed);
}

void series_observe(struct series *series, double seconds) {
    if (!series || series->metric->type != METRIC_HISTOGRAM || isnan(seconds))
        return;
    size_t bucket = 0;
    while (bucket < METRIC_BUCKETS && seconds > metric_bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&series->counts[bucket], 1, memory_order_relaxed);
    add_to(&series->value, seconds);
}

void metric_add(struct metric *metric, const char *const *values, double amount) {
    series_add(metric_series(metric, values), amount);
}

void metric_set(struct metric *metric, const char *const *values, double value) {
    series_set(metric_series(metric, values), value);
}

void metric_hide(struct metric *metric, const char *const *values) {
    struct series *series = metric_series(metric, values);
    if (series)
        atomic_store_explicit(&series->hidden, true, memory_order_relaxed);
}

void metric_observe(struct metric *metric, const char *const *values, double seconds) {
    series_observe(metric_series(metric, values), seconds);
}

bool metrics_on_collect(void (*collect)(void *context), void *context) {
    pthread_mutex_lock(&mutex);
    bool room = collector_count < METRICS_MAX_COLLECTORS;
    if (room) {
        collectors[collector_count].collect = collect;
        collectors[collector_count++].context = context;
    }
    pthread_mutex_unlock(&mutex);
    return room;
}

void metrics_collect(void) {
    for (size_t i = 0;; i++) {
        pthread_mutex_lock(&mutex);
        bool more = i < collector_count;
        void (*collect)(void *context) = more ? collectors[i].collect : NULL;
        void *context = more ? collectors[i].context : NULL;
        pthread_mutex_unlock(&mutex);
        if (!more)
            return;
        collect(context); /* it may make series */
    }
}

void metrics_each(void (*visit)(const struct metric *metric, void *context), void *context) {
    pthread_mutex_lock(&mutex);
    for (const struct metric *metric = families; metric; metric = metric->next)
        visit(metric, context);
    pthread_mutex_unlock(&mutex);
}
