#include "service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "reload.h"

struct service {
    struct host *host;
    struct slot *slot;
    struct reload *reload;
    atomic_bool draining;
    struct metric *requests;
    struct metric *durations;
};

struct service *service_new(struct host *host) {
    struct service *service = calloc(1, sizeof *service);
    if (!service || !(service->slot = slot_new())) {
        free(service);
        return NULL;
    }
    service->host = host;
    service->requests =
        metric_family(METRIC_COUNTER, "rayclusterscaler_requests_total", "Requests answered.", "route,method,code");
    service->durations = metric_family(METRIC_HISTOGRAM, "rayclusterscaler_request_duration_seconds",
                                       "Time from the request's header to its answer's last byte.", "route");
    return service;
}

void service_free(struct service *service) {
    if (!service)
        return;
    slot_free(service->slot);
    free(service);
}

struct slot *service_slot(struct service *service) {
    return service->slot;
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

static void answer_ready(struct service *service, struct response *response) {
    struct buffer reasons = {0}, body = {0};
    if (atomic_load(&service->draining))
        buffer_text(&reasons, "\"the service is ending\"");
    else
        reload_reasons(service->reload, &reasons);
    int status = reasons.length ? 503 : 200;
    if (reasons.length)
        buffer_format(&body, "{\"status\":\"not ready\",\"reasons\":[%s]}", reasons.data);
    else
        buffer_text(&body, "{\"status\":\"ready\"}");
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
static bool answer_probe(struct service *service, const struct request *request, struct response *response) {
    bool health = strcmp(request->path, "/healthz") == 0;
    if (!health && strcmp(request->path, "/readyz") != 0)
        return false;
    if (!reads(request))
        answer_wrong_method(request, response, request->path);
    else if (health)
        set_text(response, 200, "/healthz", "{\"status\":\"Healthy\"}", 20);
    else
        answer_ready(service, response);
    return true;
}

void service_handle(void *context, const struct request *request, struct response *response) {
    struct service *service = context;
    if (answer_probe(service, request, response))
        return;
    struct generation *generation = slot_acquire(service->slot);
    if (!generation) {
        response_problem(response, 503, "not_ready", "The service has no valid rules to decide by yet.",
                         request->call->request_id);
        response_header(response, "Retry-After", "1");
        return;
    }
    generation_serve(generation, request, response);
    response_header(response, "X-Policy-Revision", generation_bundle(generation)->revision);
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
    if (answer_probe(service, request, response))
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

static void log_access(const struct request *request, const struct response *response, int64_t duration_us) {
    char time[32], line[1024];
    clock_rfc3339(time, sizeof time);
    struct buffer caller = {0};
    buffer_json_string(&caller, response->caller, strlen(response->caller));
    const struct call_context *call = request->call;
    int length = snprintf(
        line, sizeof line,
        "{\"time\":\"%s\",\"level\":\"info\",\"message\":\"request\",\"method\":\"%s\",\"route\":\"%s\",\"code\":%d,"
        "\"duration_ms\":%.3f,\"bytes\":%zu,\"caller\":%s,\"request_id\":\"%s\",\"trace_id\":\"%.32s\","
        "\"upstream_calls\":%u,\"upstream_ms\":%.3f,\"error\":\"%s\"}\n",
        time, request->method, response->route, response->status, (double)duration_us / 1000, response->body_length,
        caller.failed ? "\"\"" : caller.data, call->request_id, call->traceparent[0] ? call->traceparent + 3 : "",
        call->upstream_calls, (double)call->upstream_us / 1000, response->error);
    if (length > 0 && (size_t)length < sizeof line)
        log_raw(line, (size_t)length);
    buffer_free(&caller);
}

void service_done(void *context, const struct request *request, const struct response *response, int64_t duration_us) {
    struct service *service = context;
    char code[16];
    snprintf(code, sizeof code, "%d", response->status);
    const char *route = response->route[0] ? response->route : "other";
    metric_add(service->requests, (const char *[]){route, request->method, code}, 1);
    metric_observe(service->durations, (const char *[]){route}, (double)duration_us / 1e6);
    if (log_enabled(LOG_INFO))
        log_access(request, response, duration_us);
}

void service_refused(void *context, int status) {
    struct service *service = context;
    char code[16];
    snprintf(code, sizeof code, "%d", status);
    metric_add(service->requests, (const char *[]){"refused", "", code}, 1);
    log_line(LOG_INFO, "refused a malformed request with %d", status);
}
