#include "reload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "directory_watch.h"
#include "last_good.h"
#include "log.h"
#include "metrics.h"

enum {
    /* Where inotify says nothing (some network and overlay filesystems, a watch lost), the content is compared. */
    SLOW_CHECK_MS = 2000,
    /* What was refused is proven again, later and later: what it lacked may have been the system's, as memory is. */
    MAX_PATIENCE_MS = 64 * 1000,
    /* How long something new must stay the same before it is taken: it may be half written. */
    SETTLE_MS = 20,
    /* Requests go first where processors are busy; with a third of their weight a proof is still done soon. */
    NICE = 5,
    TIME_BYTES = 32,
};

struct refusal {
    struct buffer subject; /* a revision, or why no snapshot could be read */
    struct buffer reasons; /* lines */
    bool readable;         /* subject is a revision */
    bool on_disk;          /* is what is there now */
    char at[TIME_BYTES];
};

struct reload {
    struct reload_options options;
    struct directory_watch *watch;
    pthread_t thread;
    bool started;
    struct buffer seen;               /* what the last look saw: as the subject of a refusal */
    int64_t patience_ms, again_at_ms; /* until what was refused is proven again */
    struct metric *reloads, *refusals, *info, *in_sync, *from_state_gauge;

    pthread_mutex_t mutex; /* guards what follows; written by the thread that looks alone, which reads without */
    struct bundle *active;
    char since[TIME_BYTES];
    bool from_state;
    struct refusal refused; /* the last; without reasons while there was none */
    unsigned long reload_count, refusal_count;
};

static void set_text(struct buffer *buffer, const char *text) {
    buffer_clear(buffer);
    buffer_text(buffer, text);
}

static const char *text_of(const struct buffer *buffer) {
    return buffer->length ? buffer->data : "";
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

static void append_revision(struct buffer *out, const char *name, const char *revision) {
    const char *quote = revision ? "\"" : "";
    buffer_format(out, "\"%s\":%s%s%s", name, quote, revision ? revision : "null", quote);
}

static void log_refusal(const struct reload *reload) {
    const struct refusal *refused = &reload->refused;
    struct buffer fields = {0};
    append_revision(&fields, "revision", refused->readable ? text_of(&refused->subject) : NULL);
    buffer_text(&fields, ",");
    append_revision(&fields, "serving", reload->active ? reload->active->revision : NULL);
    buffer_text(&fields, ",\"reasons\":[");
    append_lines(&fields, text_of(&refused->reasons));
    buffer_text(&fields, "]");
    if (!fields.failed)
        log_event(LOG_ERROR, "refused scripts and policies", fields.data);
    buffer_free(&fields);
}

static void show_sync(const struct reload *reload) {
    metric_set(reload->in_sync, NULL, reload->active && !reload->from_state && !reload->refused.on_disk);
    metric_set(reload->from_state_gauge, NULL, reload->active && reload->from_state);
}

/* The same broken bundle is refused once, not at every look, and reported again only for other reasons. */
static bool is_refused(const struct reload *reload, const char *subject) {
    return reload->refused.on_disk && strcmp(text_of(&reload->refused.subject), subject) == 0;
}

/* The same but for numbers: the line in which a limit ended a loop is another one each time. */
static bool same_reasons(const char *a, const char *b) {
    static const char digits[] = "0123456789abcdefx";
    for (;; a++, b++) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b || !*a)
            return *a == *b;
    }
}

static void refuse(struct reload *reload, const char *subject, bool readable, const char *reasons) {
    struct refusal *refused = &reload->refused;
    bool again = is_refused(reload, subject), known = again && same_reasons(text_of(&refused->reasons), reasons);
    reload->patience_ms = again ? reload->patience_ms * 2 : SLOW_CHECK_MS;
    if (reload->patience_ms > MAX_PATIENCE_MS)
        reload->patience_ms = MAX_PATIENCE_MS;
    reload->again_at_ms = clock_monotonic_ms() + reload->patience_ms;
    if (known)
        return;
    pthread_mutex_lock(&reload->mutex);
    set_text(&refused->subject, subject);
    set_text(&refused->reasons, reasons);
    refused->readable = readable;
    refused->on_disk = true;
    clock_rfc3339(refused->at, sizeof refused->at);
    reload->refusal_count += !again;
    pthread_mutex_unlock(&reload->mutex);
    if (!again)
        metric_add(reload->refusals, NULL, 1);
    show_sync(reload);
    log_refusal(reload);
}

/* What is there is what serves. */
static void agree(struct reload *reload) {
    pthread_mutex_lock(&reload->mutex);
    reload->refused.on_disk = false;
    pthread_mutex_unlock(&reload->mutex);
    show_sync(reload);
}

static void activate(struct reload *reload, struct bundle *bundle, struct generation *generation, bool from_state) {
    /* First, so that whoever reads of a revision in /policy is answered by it. */
    slot_publish(reload->options.slot, generation);
    pthread_mutex_lock(&reload->mutex);
    struct bundle *old = reload->active;
    reload->active = bundle_reference(bundle);
    reload->from_state = from_state;
    if (!from_state)
        reload->refused.on_disk = false;
    clock_rfc3339(reload->since, sizeof reload->since);
    reload->reload_count++;
    pthread_mutex_unlock(&reload->mutex);

    if (old && strcmp(old->revision, bundle->revision) != 0)
        metric_hide(reload->info, (const char *[]){old->revision});
    metric_set(reload->info, (const char *[]){bundle->revision}, 1);
    metric_add(reload->reloads, NULL, 1);
    show_sync(reload);
    struct buffer fields = {0};
    append_revision(&fields, "revision", bundle->revision);
    buffer_format(&fields, ",\"source\":\"%s\"", from_state ? "state" : "directory");
    if (!fields.failed)
        log_event(from_state ? LOG_WARN : LOG_INFO,
                  from_state ? "serving the last good scripts and policies, because those on disk were refused"
                             : "serving scripts and policies",
                  fields.data);
    buffer_free(&fields);
    bundle_release(old);
}

/* Proves a bundle in states aside, then makes the generation that serves. */
static bool prove_and_activate(struct reload *reload, struct bundle *bundle, bool from_state) {
    const struct reload_options *options = &reload->options;
    struct buffer findings = {0};
    struct generation *generation = NULL;
    if (proof_run(options->host, bundle, options->profile, &options->proof, &findings))
        generation = generation_open(options->host, bundle, options->profile, &findings);
    if (generation)
        activate(reload, bundle, generation, from_state);
    else if (!findings.length || findings.failed)
        log_line(LOG_ERROR, "no memory to prove revision %s", bundle->revision);
    else if (from_state)
        log_line(LOG_WARN, "revision %s, the last good one, is refused, too: %s", bundle->revision, findings.data);
    else
        refuse(reload, bundle->revision, true, findings.data);
    buffer_free(&findings);
    return generation != NULL;
}

static void keep_last_good(const struct reload *reload, const struct bundle *bundle) {
    const struct reload_options *options = &reload->options;
    struct buffer error = {0};
    if (options->state_dir[0] &&
        !last_good_save(options->state_dir, bundle, options->sources, options->source_count, &error))
        log_line(LOG_WARN, "%s", text_of(&error));
    buffer_free(&error);
}

static bool is_active(const struct reload *reload, const struct bundle *bundle) {
    return bundle && reload->active && !reload->from_state && strcmp(bundle->revision, reload->active->revision) == 0;
}

/* Looks at what is there. False when it is new and was not seen by the look before, so that it wants another. Only the
   reload's own thread, or the start before it, looks. */
static bool look(struct reload *reload, bool at_once) {
    struct buffer error = {0};
    struct bundle *bundle = bundle_read(reload->options.sources, reload->options.source_count, &error);
    const char *subject = bundle ? bundle->revision : error.length ? error.data : "out of memory";
    bool settled = at_once || strcmp(text_of(&reload->seen), subject) == 0;
    set_text(&reload->seen, subject);
    if (is_active(reload, bundle)) {
        agree(reload);
        settled = true;
    } else if (is_refused(reload, subject) && clock_monotonic_ms() < reload->again_at_ms) {
        settled = true;
    } else if (settled && !bundle) {
        refuse(reload, subject, false, subject);
    } else if (settled && prove_and_activate(reload, bundle, false)) {
        keep_last_good(reload, bundle);
    }
    bundle_release(bundle);
    buffer_free(&error);
    return settled;
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
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* this thread's, in Linux */
    int timeout_ms = SLOW_CHECK_MS;
    while (directory_watch_wait(reload->watch, timeout_ms) != DIRECTORY_ENDED)
        timeout_ms = look(reload, false) ? SLOW_CHECK_MS : SETTLE_MS;
    return NULL;
}

static void make_metrics(struct reload *reload) {
    reload->reloads = metric_family(METRIC_COUNTER, "rayclusterscaler_policy_reloads_total",
                                    "Bundles of scripts and policies that went live.", "");
    reload->refusals = metric_family(METRIC_COUNTER, "rayclusterscaler_policy_refused_total",
                                     "Bundles of scripts and policies that failed the proof.", "");
    reload->info = metric_family(METRIC_GAUGE, "rayclusterscaler_policy_info", "The revision that serves.", "revision");
    reload->in_sync = metric_family(METRIC_GAUGE, "rayclusterscaler_policy_in_sync",
                                    "1 while the scripts and policies on disk are those that serve.", "");
    reload->from_state_gauge =
        metric_family(METRIC_GAUGE, "rayclusterscaler_policy_from_state",
                      "1 while the last good revision of STATE_DIR serves: the one on disk was refused at start.", "");
}

struct reload *reload_start(const struct reload_options *options) {
    const char *directories[BUNDLE_MAX_SOURCES];
    struct reload *reload = calloc(1, sizeof *reload);
    if (!reload)
        return NULL;
    reload->options = *options;
    for (size_t i = 0; i < options->source_count; i++)
        directories[i] = options->sources[i].directory;
    pthread_mutex_init(&reload->mutex, NULL);
    make_metrics(reload);
    reload->watch = directory_watch_open(directories, options->source_count);
    if (reload->watch) {
        look(reload, true);
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
    buffer_free(&reload->seen);
    buffer_free(&reload->refused.subject);
    buffer_free(&reload->refused.reasons);
    pthread_mutex_destroy(&reload->mutex);
    free(reload);
}

static const char *reasons_of(const struct reload *reload) {
    return reload->refused.reasons.length ? reload->refused.reasons.data : "scripts and policies are being loaded";
}

void reload_reasons(struct reload *reload, struct buffer *out) {
    pthread_mutex_lock(&reload->mutex);
    if (!reload->active)
        append_lines(out, reasons_of(reload));
    pthread_mutex_unlock(&reload->mutex);
}

void reload_reason(struct reload *reload, struct buffer *out) {
    pthread_mutex_lock(&reload->mutex);
    const char *reasons = reasons_of(reload);
    buffer_append(out, reasons, strcspn(reasons, "\n"));
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

static void append_refused(const struct refusal *refused, struct buffer *out) {
    if (!refused->reasons.length) {
        buffer_text(out, "null");
        return;
    }
    buffer_text(out, "{");
    append_revision(out, "revision", refused->readable ? text_of(&refused->subject) : NULL);
    buffer_format(out, ",\"at\":\"%s\",\"on_disk\":%s,\"reasons\":[", refused->at, refused->on_disk ? "true" : "false");
    append_lines(out, refused->reasons.data);
    buffer_text(out, "]}");
}

void reload_document(struct reload *reload, struct buffer *out) {
    pthread_mutex_lock(&reload->mutex);
    buffer_text(out, "{\"active\":");
    append_active(reload, out);
    buffer_text(out, ",\"refused\":");
    append_refused(&reload->refused, out);
    buffer_format(out, ",\"reloads\":%lu,\"refusals\":%lu}", reload->reload_count, reload->refusal_count);
    pthread_mutex_unlock(&reload->mutex);
}
