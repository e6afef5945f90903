#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_series.h"

void metrics_append_escaped(struct buffer *out, const char *text, const char *special) {
    for (;;) {
        size_t plain = strcspn(text, special);
        buffer_append(out, text, plain);
        text += plain;
        if (!*text)
            return;
        char escape[2] = {'\\', *text == '\n' ? 'n' : *text};
        buffer_append(out, escape, sizeof escape);
        text++;
    }
}

/* The shortest text that reads back as the same number. */
static void append_number(struct buffer *out, double number) {
    if (isnan(number)) {
        buffer_text(out, "NaN");
    } else if (isinf(number)) {
        buffer_text(out, number > 0 ? "+Inf" : "-Inf");
    } else if (number == trunc(number) && fabs(number) < 1e15) {
        buffer_format(out, "%.0f", number);
    } else {
        char text[32];
        int digits = 15;
        do
            snprintf(text, sizeof text, "%.*g", digits, number);
        while (digits++ < 17 && strtod(text, NULL) != number);
        buffer_text(out, text);
    }
}

/* name_suffix{labels,le="…"}, then a blank */
static void append_series_name(struct buffer *out, const struct series *series, const char *suffix, const char *le) {
    bool labels = *series->labels != '\0';
    buffer_text(out, series->metric->name);
    buffer_text(out, suffix);
    if (labels || le) {
        buffer_append(out, "{", 1);
        buffer_text(out, series->labels);
        if (le)
            buffer_format(out, "%sle=\"%s\"", labels ? "," : "", le);
        buffer_append(out, "}", 1);
    }
    buffer_append(out, " ", 1);
}

static void append_histogram(struct buffer *out, const struct series *series) {
    uint64_t count = 0;
    for (size_t i = 0; i <= METRIC_BUCKETS; i++) {
        char le[16] = "+Inf";
        if (i < METRIC_BUCKETS)
            snprintf(le, sizeof le, "%g", metric_bounds[i]);
        count += atomic_load_explicit(&series->counts[i], memory_order_relaxed);
        append_series_name(out, series, "_bucket", le);
        buffer_format(out, "%llu\n", (unsigned long long)count);
    }
    append_series_name(out, series, "_sum", NULL);
    append_number(out, atomic_load_explicit(&series->value, memory_order_relaxed));
    buffer_append(out, "\n", 1);
    append_series_name(out, series, "_count", NULL);
    buffer_format(out, "%llu\n", (unsigned long long)count);
}

static int by_labels(const void *a, const void *b) {
    return strcmp((*(const struct series *const *)a)->labels, (*(const struct series *const *)b)->labels);
}

static void append_metric(const struct metric *metric, void *context) {
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    struct buffer *out = context;
    size_t count = 0;
    const struct series **sorted = calloc(metric->series_count + 1, sizeof(const struct series *));
    if (!sorted) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < METRIC_CHAINS; i++)
        for (const struct series *series = metric->chains[i]; series; series = series->next)
            if (!atomic_load_explicit(&series->hidden, memory_order_relaxed))
                sorted[count++] = series;
    qsort(sorted, count, sizeof(const struct series *), by_labels);
    if (count) {
        buffer_format(out, "# HELP %s ", metric->name);
        metrics_append_escaped(out, metric->help, "\\\n");
        buffer_format(out, "\n# TYPE %s %s\n", metric->name, types[metric->type]);
    }
    for (size_t i = 0; i < count; i++) {
        if (metric->type == METRIC_HISTOGRAM) {
            append_histogram(out, sorted[i]);
        } else {
            append_series_name(out, sorted[i], "", NULL);
            append_number(out, atomic_load_explicit(&sorted[i]->value, memory_order_relaxed));
            buffer_append(out, "\n", 1);
        }
    }
    free(sorted);
}

void metrics_text(struct buffer *out) {
    metrics_collect();
    metrics_each(append_metric, out);
}
