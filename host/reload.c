#include "reload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "directory_watch.h"
#include "last_good.h"
#include "log.h"
#include "metrics.h"

enum {
    MAX_SOURCES = 4,
    /* Where inotify says nothing (some network and overlay filesystems, a watch lost), the content is compared. */
    SLOW_CHECK_MS = 2000,
    TIME_BYTES = 32,
};

struct reload {
    struct reload_options options;
    const char *directories[MAX_SOURCES];
    struct directory_watch *watch;
    pthread_t thread;
    bool started;
    struct metric *reloads, *refusals, *info;

    pthread_mutex_t mutex; /* guards what follows */
    struct bundle *active;
    char since[TIME_BYTES];
    bool from_state;
    struct buffer refused_reasons; /* lines; empty when the newest bundle serves */
    char refused_revision[BUNDLE_REVISION_BYTES + 1];
    char refused_at[TIME_BYTES];
    unsigned long reload_count, refusal_count;
};

static void log_reasons(const char *revision, const char *reasons) {
    struct buffer fields = {0};
    buffer_format(&fields, "\"revision\":\"%s\",\"reasons\":", revision);
    buffer_json_string(&fields, reasons, strlen(reasons));
    if (!fields.failed)
        log_event(LOG_ERROR, "refused a change of scripts or policies; what served before still does", fields.data);
    buffer_free(&fields);
}

/* The same broken bundle is refused once, not at every look. */
static void refuse(struct reload *reload, const char *revision, const char *reasons) {
    pthread_mutex_lock(&reload->mutex);
    bool known = strcmp(reload->refused_revision, revision) == 0 && reload->refused_reasons.length &&
                 strcmp(reload->refused_reasons.data, reasons) == 0;
    if (!known) {
        strcpy(reload->refused_revision, revision);
        buffer_clear(&reload->refused_reasons);
        buffer_text(&reload->refused_reasons, reasons);
        clock_rfc3339(reload->refused_at, sizeof reload->refused_at);
        reload->refusal_count++;
    }
    pthread_mutex_unlock(&reload->mutex);
    if (known)
        return;
    metric_add(reload->refusals, NULL, 1);
    log_reasons(revision, reasons);
}

static void activate(struct reload *reload, struct bundle *bundle, struct generation *generation, bool from_state) {
    pthread_mutex_lock(&reload->mutex);
    struct bundle *old = reload->active;
    reload->active = bundle_reference(bundle);
    reload->from_state = from_state;
    clock_rfc3339(reload->since, sizeof reload->since);
    if (!from_state) {
        buffer_clear(&reload->refused_reasons);
        reload->refused_revision[0] = '\0';
    }
    reload->reload_count++;
    pthread_mutex_unlock(&reload->mutex);

    slot_publish(reload->options.slot, generation);
    if (old && strcmp(old->revision, bundle->revision) != 0)
        metric_hide(reload->info, (const char *[]){old->revision});
    metric_set(reload->info, (const char *[]){bundle->revision}, 1);
    metric_add(reload->reloads, NULL, 1);
    log_line(LOG_INFO, "serving revision %s%s", bundle->revision, from_state ? ", the last good one" : "");
    bundle_release(old);
}

/* Proves a bundle in a state aside, then makes the generation that serves. */
static bool prove_and_activate(struct reload *reload, struct bundle *bundle, bool from_state) {
    const struct reload_options *options = &reload->options;
    struct buffer findings = {0};
    struct generation *generation = NULL;
    if (proof_run(options->host, bundle, options->profile, &options->proof, &findings))
        generation = generation_open(options->host, bundle, options->profile, &findings);
    if (generation)
        activate(reload, bundle, generation, from_state);
    else
        refuse(reload, bundle->revision, findings.length ? findings.data : "out of memory");
    buffer_free(&findings);
    return generation != NULL;
}

static void keep_last_good(const struct reload *reload, const struct bundle *bundle) {
    const struct reload_options *options = &reload->options;
    struct buffer error = {0};
    if (options->state_dir[0] &&
        !last_good_save(options->state_dir, bundle, options->sources, options->source_count, &error))
        log_line(LOG_WARN, "%s", error.data);
    buffer_free(&error);
}

/* Only the reload's own thread, or start before it, looks and publishes. */
static void look(struct reload *reload) {
    struct buffer error = {0};
    struct bundle *bundle = bundle_read(reload->options.sources, reload->options.source_count, &error);
    if (!bundle)
        refuse(reload, "", error.length ? error.data : "out of memory");
    else if (reload->active && !reload->from_state && strcmp(bundle->revision, reload->active->revision) == 0) {
        /* What serves is what is there: an edit that was refused has been taken back. */
        pthread_mutex_lock(&reload->mutex);
        buffer_clear(&reload->refused_reasons);
        reload->refused_revision[0] = '\0';
        pthread_mutex_unlock(&reload->mutex);
    } else if (strcmp(bundle->revision, reload->refused_revision) != 0 && prove_and_activate(reload, bundle, false)) {
        keep_last_good(reload, bundle);
    }
    bundle_release(bundle);
    buffer_free(&error);
}

static void fall_back(struct reload *reload) {
    const struct reload_options *options = &reload->options;
    struct buffer error = {0};
    struct bundle *bundle = last_good_read(options->state_dir, options->sources, options->source_count, &error);
    if (bundle)
        prove_and_activate(reload, bundle, true);
    else
        log_line(LOG_WARN, "%s", error.length ? error.data : "out of memory");
    bundle_release(bundle);
    buffer_free(&error);
}

static void *run(void *context) {
    struct reload *reload = context;
    while (directory_watch_wait(reload->watch, SLOW_CHECK_MS) != DIRECTORY_ENDED)
        look(reload);
    return NULL;
}

struct reload *reload_start(const struct reload_options *options) {
    struct reload *reload = calloc(1, sizeof *reload);
    if (!reload)
        return NULL;
    reload->options = *options;
    for (size_t i = 0; i < options->source_count && i < MAX_SOURCES; i++)
        reload->directories[i] = options->sources[i].directory;
    pthread_mutex_init(&reload->mutex, NULL);
    reload->reloads = metric_family(METRIC_COUNTER, "rayclusterscaler_policy_reloads_total",
                                    "Bundles of scripts and policies that went live.", "");
    reload->refusals = metric_family(METRIC_COUNTER, "rayclusterscaler_policy_refused_total",
                                     "Bundles of scripts and policies that failed the proof.", "");
    reload->info = metric_family(METRIC_GAUGE, "rayclusterscaler_policy_info", "The revision that serves.", "revision");
    reload->watch = directory_watch_open(reload->directories, options->source_count);
    if (reload->watch) {
        look(reload);
        if (!reload->active && options->state_dir[0])
            fall_back(reload);
        reload->started = pthread_create(&reload->thread, NULL, run, reload) == 0;
    }
    if (reload->started)
        return reload;
    reload_stop(reload);
    return NULL;
}

void reload_stop(struct reload *reload) {
    if (!reload)
        return;
    if (reload->started) {
        directory_watch_end(reload->watch);
        pthread_join(reload->thread, NULL);
    }
    directory_watch_close(reload->watch);
    bundle_release(reload->active);
    buffer_free(&reload->refused_reasons);
    pthread_mutex_destroy(&reload->mutex);
    free(reload);
}

/* Each line of text as a JSON string. */
static void append_lines(struct buffer *out, const char *text) {
    while (*text) {
        size_t length = strcspn(text, "\n");
        buffer_json_string(out, text, length);
        text += length;
        if (*text == '\n') {
            buffer_text(out, ",");
            text++;
        }
    }
}

void reload_reasons(struct reload *reload, struct buffer *out) {
    pthread_mutex_lock(&reload->mutex);
    if (!reload->active)
        append_lines(out, reload->refused_reasons.length ? reload->refused_reasons.data
                                                         : "scripts and policies are being loaded");
    pthread_mutex_unlock(&reload->mutex);
}

static void append_active(const struct reload *reload, struct buffer *out) {
    if (!reload->active) {
        buffer_text(out, "null");
        return;
    }
    buffer_format(out, "{\"revision\":\"%s\",\"since\":\"%s\",\"source\":\"%s\",\"files\":[", reload->active->revision,
                  reload->since, reload->from_state ? "state" : "directory");
    for (size_t i = 0; i < reload->active->file_count; i++) {
        const struct bundle_file *file = &reload->active->files[i];
        buffer_text(out, i ? ",{\"path\":" : "{\"path\":");
        buffer_json_string(out, file->path, strlen(file->path));
        buffer_format(out, ",\"sha256\":\"%s\"}", file->sha256);
    }
    buffer_text(out, "]}");
}

void reload_document(struct reload *reload, struct buffer *out) {
    pthread_mutex_lock(&reload->mutex);
    buffer_text(out, "{\"active\":");
    append_active(reload, out);
    if (reload->refused_reasons.length) {
        buffer_format(out, ",\"refused\":{\"revision\":\"%s\",\"at\":\"%s\",\"reasons\":[", reload->refused_revision,
                      reload->refused_at);
        append_lines(out, reload->refused_reasons.data);
        buffer_text(out, "]}");
    } else {
        buffer_text(out, ",\"refused\":null");
    }
    buffer_format(out, ",\"reloads\":%lu,\"refusals\":%lu}", reload->reload_count, reload->refusal_count);
    pthread_mutex_unlock(&reload->mutex);
}
