#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "admission.h"
#include "config.h"
#include "host.h"
#include "kube_cache.h"
#include "metrics.h"
#include "reload.h"
#include "sandbox.h"

struct service {
    struct host *host;
    struct slot *slot;
    struct reload *reload;
    atomic_bool draining;
    struct access access;
    struct admission *admission;
    struct server_load load;
};

struct service *service_new(struct host *host) {
    struct service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->host = host;
    service->slot = slot_new();
    service->admission = admission_new(host->config->max_requests, host->config->max_requests_per_caller);
    if (!service->slot || !service->admission) {
        service_free(service);
        return NULL;
    }
    access_open(&service->access);
    return service;
}

void service_free(struct service *service) {
    if (!service)
        return;
    slot_free(service->slot);
    admission_free(service->admission);
    free(service);
}

struct slot *service_slot(struct service *service) {
    return service->slot;
}

struct server_load *service_load(struct service *service) {
    return &service->load;
}

void service_use(struct service *service, struct reload *reload) {
    service->reload = reload;
}

void service_drain(struct service *service) {
    atomic_store(&service->draining, true);
}

static void set_text(struct response *response, int status, const char *route, const char *data, size_t length) {
    response->status = status;
    snprintf(response->route, sizeof response->route, "%s", route);
    struct bytes *bytes = bytes_copy(data, length);
    if (bytes)
        response_piece(response, bytes, (struct span){bytes->data, length});
    else
        response->failed = true;
}

static void set_buffer(struct response *response, int status, const char *route, struct buffer *text) {
    if (text->failed)
        response->failed = true;
    else
        set_text(response, status, route, text->length ? text->data : "", text->length);
    buffer_free(text);
}

/* Alive depends on nothing outside; a script that cannot be stopped is all that a restart would cure. */
static void answer_health(struct response *response) {
    static const char healthy[] = "{\"status\":\"Healthy\"}", stuck[] = "{\"status\":\"a script cannot be stopped\"}";
    if (sandbox_stuck())
        set_text(response, 503, "/healthz", stuck, sizeof stuck - 1);
    else
        set_text(response, 200, "/healthz", healthy, sizeof healthy - 1);
}

static void append_reasons(struct service *service, struct buffer *out) {
    reload_reasons(service->reload, out);
    if (!out->length && service->host->kube_caches)
        kube_caches_reasons(service->host->kube_caches, out);
}

/* details: what operators alone need to know. */
static void answer_ready(struct service *service, struct response *response, bool details) {
    struct buffer reasons = {0}, body = {0};
    if (atomic_load(&service->draining))
        buffer_text(&reasons, "\"the service is ending\"");
    else
        append_reasons(service, &reasons);
    int status = reasons.length ? 503 : 200;
    if (reasons.length)
        buffer_format(&body, "{\"status\":\"not ready\",\"reasons\":[%s]", reasons.data);
    else
        buffer_text(&body, "{\"status\":\"ready\"");
    if (details && service->host->kube_caches) {
        buffer_text(&body, ",\"watches\":");
        kube_caches_document(service->host->kube_caches, &body);
    }
    buffer_text(&body, "}");
    buffer_free(&reasons);
    set_buffer(response, status, "/readyz", &body);
}

static bool reads(const struct request *request) {
    return strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
}

static void answer_wrong_method(const struct request *request, struct response *response, const char *route) {
    response_problem(response, 405, "method_not_allowed", "This path can only be read.", request->call->request_id);
    response_header(response, "Allow", "GET, HEAD");
    snprintf(response->route, sizeof response->route, "%s", route);
}

/* Probes answer without any script, so that they tell the truth when there is no valid bundle. */
static bool answer_probe(struct service *service, const struct request *request, struct response *response,
                         bool details) {
    bool health = strcmp(request->path, "/healthz") == 0;
    if (!health && strcmp(request->path, "/readyz") != 0)
        return false;
    if (!reads(request))
        answer_wrong_method(request, response, request->path);
    else if (health)
        answer_health(response);
    else
        answer_ready(service, response, details);
    return true;
}

static void answer_without_rules(struct service *service, const struct request *request, struct response *response) {
    struct buffer text = {0};
    buffer_text(&text, "The service has no valid rules to decide by. ");
    reload_reason(service->reload, &text);
    response_problem(response, 503, "not_ready", text.failed ? "" : text.data, request->call->request_id);
    buffer_free(&text);
    response_header(response, "Retry-After", "1");
}

/* What is remembered is given at once, as it takes nothing that callers could take from each other. */
static void answer(struct service *service, struct generation *generation, const struct request *request,
                   struct response *response) {
    uint64_t caller;
    const struct bundle *bundle = generation_bundle(generation);
    memcpy(request->call->revision, bundle->revision, sizeof bundle->revision);
    memcpy(request->call->code_revision, bundle->code_revision, sizeof bundle->code_revision);
    if (generation_recall(generation, request, response) ||
        !admission_enter(service->admission, request, response, &caller))
        return;
    generation_serve(generation, request, response);
    admission_leave(service->admission, caller);
}

void service_handle(void *context, const struct request *request, struct response *response) {
    struct service *service = context;
    if (answer_probe(service, request, response, false))
        return;
    struct generation *generation = slot_acquire(service->slot);
    if (generation)
        answer(service, generation, request, response);
    else
        answer_without_rules(service, request, response);
    generation_release(generation);
}

static void answer_metrics(struct service *service, struct response *response) {
    (void)service;
    struct buffer text = {0};
    metrics_text(&text);
    response_header(response, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    set_buffer(response, 200, "/metrics", &text);
}

static void answer_policy(struct service *service, struct response *response) {
    struct buffer text = {0};
    reload_document(service->reload, &text);
    set_buffer(response, 200, "/policy", &text);
}

void service_handle_admin(void *context, const struct request *request, struct response *response) {
    static const struct {
        const char *path;
        void (*answer)(struct service *service, struct response *response);
    } documents[] = {{"/metrics", answer_metrics}, {"/policy", answer_policy}};
    struct service *service = context;
    if (answer_probe(service, request, response, true))
        return;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) {
        if (strcmp(request->path, documents[i].path) != 0)
            continue;
        if (reads(request))
            documents[i].answer(service, response);
        else
            answer_wrong_method(request, response, documents[i].path);
        return;
    }
    response_problem(response, 404, "not_found", "The admin listener has /healthz, /readyz, /metrics and /policy.",
                     request->call->request_id);
}

void service_done(void *context, const struct request *request, const struct response *response, int64_t duration_us,
                  struct buffer *scratch) {
    struct service *service = context;
    access_record(&service->access, request, response, duration_us, scratch);
}

void service_refused(void *context, const struct call_context *call, const struct response *response,
                     int64_t duration_us, struct buffer *scratch) {
    struct service *service = context;
    access_refused(&service->access, call, response, duration_us, scratch);
}
