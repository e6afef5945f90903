#include "serve.h"

#include <stdlib.h>

#include "cache.h"
#include "commands.h"
#include "decision_log.h"
#include "http_client.h"
#include "kube_cache.h"
#include "log.h"
#include "reload.h"
#include "server.h"
#include "service.h"
#include "service_metrics.h"
#include "state_metrics.h"

enum {
    SPARE_THREADS = 64, /* beyond the requests that are worked on: to refuse more, and for callers that take time to
                           send a large body or to take their answer */
    ADMIN_THREADS = 16, /* so that a few clients that never finish asking keep no probe waiting */
    ADMIN_TIMEOUT_MS = 2000,
    ADMIN_MAX_BODY_BYTES = 4096, /* nothing here takes one, and says so */
    MAX_BODY_BYTES = 64 * 1024,
    CACHE_ENTRIES = 10000,
    CACHE_BYTES = 16 * 1024 * 1024,
    SOURCES = 2,
};

const struct profile serve_profile = {
    .entry = "scripts.app",
    .limits = {.memory_bytes = 32 * 1024 * 1024, .cpu_soft_ms = 50, .cpu_hard_ms = 250},
    .max_states = 1,
};

struct serve {
    const struct config *config;
    struct host host;
    struct profile profile;
    struct bundle_source sources[SOURCES];
    struct service *service;
    struct reload *reload;
    struct server *server;
    struct server *admin;
};

static void find_sources(const struct config *config, struct bundle_source sources[SOURCES]) {
    sources[0] = (struct bundle_source){"scripts", config->scripts_dir};
    sources[1] = (struct bundle_source){"policies", config->policies_dir};
}

struct bundle *serve_bundle(const struct config *config, struct buffer *error) {
    struct bundle_source sources[SOURCES];
    find_sources(config, sources);
    return bundle_read(sources, SOURCES, error);
}

static bool load_rules(struct serve *serve, struct buffer *error) {
    const struct reload_options options = {.host = &serve->host,
                                           .profile = &serve->profile,
                                           .sources = serve->sources,
                                           .source_count = SOURCES,
                                           .proof = {.examples_optional = serve->config->policy_examples_optional},
                                           .state_dir = serve->config->state_dir,
                                           .slot = service_slot(serve->service)};
    serve->reload = reload_start(&options);
    service_use(serve->service, serve->reload);
    if (!serve->reload)
        buffer_text(error, "cannot watch scripts and policies");
    return serve->reload != NULL;
}

static void log_settings(const struct serve *serve) {
    struct buffer settings = {0};
    config_describe(serve->config, &settings);
    if (settings.length && !settings.failed)
        log_event(LOG_INFO, "settings", settings.data);
    buffer_free(&settings);
    log_line(LOG_INFO, "kubernetes: %s", kube_describe(serve->host.kube));
}

static int threads(const struct config *config) {
    return (int)config->max_requests + SPARE_THREADS;
}

static bool start_services(struct serve *serve, lookup_function *lookup, struct buffer *error) {
    char text[512] = "";
    serve->host.cache = cache_new(CACHE_ENTRIES, CACHE_BYTES);
    serve->host.http = http_client_new();
    serve->service = service_new(&serve->host);
    if (!state_metrics_start() || !serve->host.cache || !serve->host.http || !serve->service ||
        !service_metrics_start(&serve->host, service_load(serve->service), threads(serve->config))) {
        buffer_text(error, "out of memory");
        return false;
    }
    serve->host.kube = kube_open(serve->host.http, serve->config->kubeconfig, lookup, text, sizeof text);
    if (!serve->host.kube) {
        buffer_text(error, text);
        return false;
    }
    serve->host.kube_caches = kube_caches_new(serve->host.kube, serve->config->kube_max_stale_seconds * 1000, NULL);
    if (!serve->host.kube_caches)
        buffer_text(error, "out of memory");
    return serve->host.kube_caches != NULL;
}

static bool start_servers(struct serve *serve, struct buffer *error) {
    const struct server_options admin = {.listen = serve->config->admin_listen,
                                         .threads = ADMIN_THREADS,
                                         .max_body_bytes = ADMIN_MAX_BODY_BYTES,
                                         .request_timeout_ms = ADMIN_TIMEOUT_MS,
                                         .one_request = true,
                                         .handle = service_handle_admin,
                                         .context = serve->service};
    const struct server_options service = {.listen = serve->config->listen,
                                           .threads = threads(serve->config),
                                           .max_body_bytes = MAX_BODY_BYTES,
                                           .request_timeout_ms = serve->config->request_timeout_seconds * 1000,
                                           .handle = service_handle,
                                           .done = service_done,
                                           .refused = service_refused,
                                           .load = service_load(serve->service),
                                           .context = serve->service};
    if (!load_rules(serve, error))
        return false;
    serve->admin = server_start(&admin, error);
    if (!serve->admin)
        return false;
    serve->server = server_start(&service, error);
    return serve->server != NULL;
}

struct serve *serve_open(const struct config *config, lookup_function *lookup, struct buffer *error) {
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve) {
        buffer_text(error, "out of memory");
        return NULL;
    }
    serve->config = config;
    serve->host.config = config;
    serve->profile = serve_profile;
    serve->profile.max_states = (int)config->max_requests;
    find_sources(config, serve->sources);
    if (!decision_log_open(config->decision_log, config->decision_sample_rate, error) ||
        !start_services(serve, lookup, error)) {
        serve_close(serve);
        return NULL;
    }
    log_settings(serve);
    if (!start_servers(serve, error)) {
        serve_close(serve);
        return NULL;
    }
    log_line(LOG_INFO, "listening on port %d, admin on port %d", server_port(serve->server), server_port(serve->admin));
    return serve;
}

void serve_close(struct serve *serve) {
    if (!serve)
        return;
    server_stop(serve->server);
    server_stop(serve->admin);
    reload_stop(serve->reload);
    service_free(serve->service);
    kube_caches_free(serve->host.kube_caches);
    if (serve->host.kube)
        kube_close(serve->host.kube);
    if (serve->host.http)
        http_client_free(serve->host.http);
    if (serve->host.cache)
        cache_free(serve->host.cache);
    decision_log_close();
    free(serve);
}

void serve_drain(struct serve *serve) {
    log_line(LOG_INFO, "ending: not ready from now on, serving for another %ld s", serve->config->drain_seconds);
    service_drain(serve->service);
    server_drain(serve->server);
    program_linger(serve->config->drain_seconds);
    program_end_on_signal();
}

int command_serve(void) {
    struct buffer error = {0};
    struct config config;
    if (!program_start(&config, lookup_environment, &error))
        return program_fail(&error);
    struct serve *serve = serve_open(&config, lookup_environment, &error);
    if (serve) {
        program_wait();
        serve_drain(serve);
    }
    serve_close(serve);
    program_stop();
    return serve ? 0 : program_fail(&error);
}
