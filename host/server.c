#include "server.h"

#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "front.h"
#include "interpose.h"
#include "server_answer.h"
#include "wire.h"

enum {
    STALLED_SHARE = 4, /* a fourth of the threads may wait for their peers */
    MAX_TARGET_BYTES = 8192,
    START_TIMEOUT_MS = 2000,
    STOP_POLL_MS = 10,
    STOP_QUIET_MS = 100,  /* open connections are closed once nothing has come on any of them for so long */
    STOP_GRACE_MS = 1000, /* to send the answer of a request that used all its time */
    DRAIN_MS = 1000,
    DRAIN_BYTES = 1024 * 1024,
};

static const char LISTEN_BACKLOG[] = "1024";

enum listener { NOT_YET, LISTENING, TOO_LATE };

struct server {
    struct server_options options;
    struct front *front;
    struct mg_context *context;
    int port;
    /* The thread that accepts. One that is late, to a start that has failed, must not begin. */
    atomic_int listener; /* enum listener */
    atomic_int started;  /* threads that serve */
    atomic_bool draining;
    struct server_load own_load;
    struct server_load *load; /* the options', or its own */
};

/* True when the body is complete; else a problem stands in the response. */
static bool read_body(struct mg_connection *connection, const struct server *server, struct worker *worker,
                      uint64_t length, const struct request *request) {
    const char *expect = request_header(request, "Expect");
    if (expect && strcasecmp(expect, "100-continue") != 0) {
        response_problem(&worker->response, 417, "bad_request", "This Expect header cannot be met.",
                         request->call->request_id);
        return false;
    }
    if (length > server->options.max_body_bytes) {
        char message[96];
        snprintf(message, sizeof message, "The body is larger than %zu bytes.", server->options.max_body_bytes);
        response_problem(&worker->response, 413, "content_too_large", message, request->call->request_id);
        return false;
    }
    if (expect && length)
        write_all("HTTP/1.1 100 Continue\r\n\r\n", 25);
    buffer_clear(&worker->body);
    char part[8192];
    int count = 1;
    while (worker->body.length < length && count > 0 && !worker->body.failed) {
        size_t wanted = length - worker->body.length;
        count = mg_read(connection, part, wanted < sizeof part ? wanted : sizeof part);
        if (count > 0)
            buffer_append(&worker->body, part, (size_t)count);
    }
    if (worker->body.length == length)
        return true;
    if (worker->body.failed) {
        worker->response.failed = true;
        return false;
    }
    response_problem(&worker->response, 408, "bad_request", "The body did not arrive in time.",
                     request->call->request_id);
    return false;
}

/* Closing on a caller that still sends its body would reset the connection, and with it our answer. */
static void drain(struct mg_connection *connection) {
    char part[8192];
    int count = 1;
    front_answer(DRAIN_MS);
    for (size_t total = 0; total < DRAIN_BYTES && count > 0; total += (size_t)count)
        count = mg_read(connection, part, sizeof part);
}

static bool wants_close(const struct request *request, const char *version) {
    const char *connection = request_header(request, "Connection");
    if (connection)
        return wire_has_option(connection, "close") || !wire_has_option(connection, "keep-alive");
    return strcmp(version, "1.1") != 0;
}

static void handle(struct mg_connection *connection, struct server *server, struct worker *worker,
                   struct call_context *call) {
    const struct mg_request_info *info = mg_get_request_info(connection);
    struct header headers[MG_MAX_HEADERS];
    for (int i = 0; i < info->num_headers; i++)
        headers[i] = (struct header){info->http_headers[i].name, info->http_headers[i].value};
    char path[MAX_TARGET_BYTES];
    struct request request = {.method = info->request_method,
                              .path = path,
                              .query = info->query_string ? info->query_string : "",
                              .headers = headers,
                              .header_count = (size_t)info->num_headers,
                              .call = call};
    wire_request_id(request_header(&request, "X-Request-Id"), call->request_id);
    wire_trace(headers, request.header_count, call);

    int64_t start_us = clock_monotonic_us();
    call->deadline_ms = start_us / 1000 + server->options.request_timeout_ms;
    front_request(call->deadline_ms);
    struct response *response = &worker->response;
    struct wire_refusal refusal;
    struct wire_head head;
    bool understood = wire_check(received_request(), &head, &refusal);
    if (understood && head.header_count != (size_t)info->num_headers)
        understood = (refusal = (struct wire_refusal){400, "bad_request", "A header field is malformed."}, false);
    if (understood && strlen(info->request_uri) >= sizeof path)
        understood = (refusal = (struct wire_refusal){414, "bad_request", "The path is too long."}, false);
    if (understood && !wire_decode_path(info->request_uri, path, sizeof path))
        understood = (refusal = (struct wire_refusal){400, "bad_request", "The path is malformed."}, false);
    bool handled = false, unread = false;
    if (!understood) {
        response_problem(response, refusal.status, refusal.error, refusal.message, call->request_id);
        response->close = true;
    } else if (!read_body(connection, server, worker, head.content_length, &request)) {
        response->close = unread = true;
    } else {
        request.body = (struct span){head.content_length ? worker->body.data : "", (size_t)head.content_length};
        server->options.handle(server->options.context, &request, response);
        handled = true;
    }
    if (response->failed) {
        response_problem(response, 500, "internal", "The service ran out of memory.", call->request_id);
        response->close = true;
    }

    /* Behind a request that was late stands in civetweb's buffer whatever came after it: that is not looked at. */
    bool close = response->close || response->stream || server->options.one_request || atomic_load(&server->draining) ||
                 front_expired() || wants_close(&request, info->http_version);
    if (close)
        mg_disable_connection_keep_alive(connection);
    if (response->delay_ms > 0 && server->options.streaming)
        clock_sleep_ms(response->delay_ms);
    front_answer(response->stream ? 0 : server->options.request_timeout_ms);
    if (response->stream && server->options.streaming)
        write_stream(worker, call, &server->draining);
    else if (!write_response(worker, call, strcmp(request.method, "HEAD") == 0, close))
        mg_disable_connection_keep_alive(connection);
    if (unread)
        drain(connection);
    int64_t duration_us = clock_monotonic_us() - start_us;
    if (handled && server->options.done)
        server->options.done(server->options.context, &request, response, duration_us, &worker->output);
    else if (!handled && server->options.refused)
        server->options.refused(server->options.context, call, response, duration_us, &worker->output);
}

static int on_request(struct mg_connection *connection) {
    struct server *server = mg_get_user_data(mg_get_context(connection));
    struct worker *worker = worker_get();
    if (!worker) {
        mg_disable_connection_keep_alive(connection);
        return 500;
    }
    struct call_context call = {0};
    atomic_fetch_add(&server->load->requests, 1);
    handle(connection, server, worker, &call);
    atomic_fetch_sub(&server->load->requests, 1);
    front_between();
    int status = worker->response.status;
    worker_let_go(worker);
    return status > 0 ? status : 500;
}

/* What civetweb refuses by itself is answered in our words. */
static int on_error(struct mg_connection *connection, int status, const char *message) {
    const struct server *server = mg_get_user_data(mg_get_context(connection));
    struct worker *worker = worker_get();
    struct call_context call = {0};
    (void)message;
    if (!worker)
        return 0;
    front_answer(DRAIN_MS);
    wire_request_id(NULL, call.request_id);
    if (front_expired())
        response_problem(&worker->response, 408, "bad_request", "The header did not arrive in time.", call.request_id);
    else if (status == 413)
        response_problem(&worker->response, 431, "bad_request", "The request's header is too large.", call.request_id);
    else if (status == 505)
        response_problem(&worker->response, 505, "bad_request", "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
                         call.request_id);
    else if (status >= 500)
        response_problem(&worker->response, status, "internal", "The request could not be handled.", call.request_id);
    else
        response_problem(&worker->response, 400, "bad_request", "The request is malformed.", call.request_id);
    write_response(worker, &call, false, true);
    mg_disable_connection_keep_alive(connection);
    mg_set_user_connection_data(connection, worker);
    if (server->options.refused)
        server->options.refused(server->options.context, &call, &worker->response, 0, &worker->output);
    response_clear(&worker->response);
    front_between();
    return 0;
}

static int on_connection(const struct mg_connection *connection, void **data) {
    const struct server *server = mg_get_user_data(mg_get_context(connection));
    (void)data;
    front_open(server->front);
    atomic_fetch_add(&server->load->threads, 1);
    return 0;
}

static void on_closed(const struct mg_connection *connection) {
    const struct server *server = mg_get_user_data(mg_get_context(connection));
    atomic_fetch_sub(&server->load->threads, 1);
    front_close();
}

static void *on_thread(const struct mg_context *context, int type) {
    struct server *server = mg_get_user_data(context);
    if (type == 0) {
        int expected = NOT_YET;
        if (!atomic_compare_exchange_strong(&server->listener, &expected, LISTENING))
            for (;;)
                pause();
        front_listen(server->front);
    } else if (type == 1 && received_keep() && front_prepare()) { /* it serves connections */
        atomic_fetch_add(&server->started, 1);
    }
    return NULL;
}

/* No thread came free for a request: said without one. */
static void on_overload(void *context, int descriptor) {
    const struct server *server = context;
    struct response response = {0};
    struct buffer out = {0};
    struct call_context call = {0};
    wire_request_id(NULL, call.request_id);
    response_problem(&response, 503, "overloaded", "The service is busy; try again in a moment.", call.request_id);
    response_header(&response, "Retry-After", "1");
    write_head(&out, &response, &call, true);
    buffer_format(&out, "Content-Length: %zu\r\n\r\n", response.body_length);
    for (size_t i = 0; i < response.piece_count; i++)
        buffer_append(&out, response.pieces[i].span.data, response.pieces[i].span.length);
    if (!out.failed && !response.failed)
        send(descriptor, out.data, out.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (server->options.refused)
        server->options.refused(server->options.context, &call, &response, 0, &out);
    buffer_free(&out);
    response_free(&response);
}

/* A target that civetweb takes for another server's ("*", "http://elsewhere/") it drops without an answer. */
static void on_close(const struct mg_connection *connection) {
    const struct mg_request_info *info = mg_get_request_info(connection);
    bool refused = mg_get_user_connection_data(connection) != NULL;
    if (info && info->request_uri && !info->local_uri && !refused)
        on_error((struct mg_connection *)(uintptr_t)connection, 400, "");
}

static int on_log(const struct mg_connection *connection, const char *message) {
    (void)connection;
    (void)message; /* civetweb's texts may quote what a client sent */
    return 1;
}

/* civetweb goes on with as many threads as it gets, be it one, and be it without the one that accepts. */
static bool all_started(const struct server *server) {
    int64_t deadline = clock_monotonic_ms() + START_TIMEOUT_MS;
    for (;;) {
        if (atomic_load(&server->listener) == LISTENING && atomic_load(&server->started) == server->options.threads)
            return true;
        if (clock_monotonic_ms() >= deadline)
            return false;
        clock_sleep_ms(1);
    }
}

struct server *server_start(const struct server_options *options, struct buffer *error) {
    struct server *server = calloc(1, sizeof *server);
    if (!server) {
        buffer_text(error, "out of memory");
        return NULL;
    }
    server->options = *options;
    server->load = options->load ? options->load : &server->own_load;
    const struct front_options front = {.threads = options->threads,
                                        .max_stalled = options->threads / STALLED_SHARE,
                                        .max_body_bytes = options->max_body_bytes,
                                        .request_timeout_ms = options->request_timeout_ms,
                                        .requests = &server->load->requests,
                                        .overloaded = on_overload,
                                        .context = server};
    server->front = front_new(&front);
    if (!server->front) {
        buffer_text(error, "out of memory or of file descriptors");
        free(server);
        return NULL;
    }
    char threads[16], timeout[32], request_buffer[16];
    snprintf(threads, sizeof threads, "%d", options->threads);
    snprintf(timeout, sizeof timeout, "%lld", (long long)options->request_timeout_ms);
    snprintf(request_buffer, sizeof request_buffer, "%d", REQUEST_BUFFER_BYTES);
    const char *settings[] = {"listening_ports",
                              options->listen,
                              "num_threads",
                              threads,
                              "listen_backlog",
                              LISTEN_BACKLOG,
                              "max_request_size",
                              request_buffer,
                              "request_timeout_ms",
                              timeout,
                              "enable_keep_alive",
                              "yes",
                              "tcp_nodelay",
                              "1",
                              "decode_url",
                              "no",
                              "decode_query_string",
                              "no",
                              "enable_directory_listing",
                              "no",
                              "enable_auth_domain_check",
                              "no",
                              "access_control_allow_origin",
                              "",
                              "access_control_allow_methods",
                              "",
                              NULL};
    struct mg_callbacks callbacks = {.init_thread = on_thread,
                                     .init_connection = on_connection,
                                     .begin_request = on_request,
                                     .http_error = on_error,
                                     .connection_close = on_close,
                                     .connection_closed = on_closed,
                                     .log_message = on_log};
    struct mg_init_data init = {&callbacks, server, settings};
    char text[256] = "";
    struct mg_error_data failure = {NULL, text, sizeof text};
    mg_init_library(0);
    server->context = mg_start2(&init, &failure);
    if (!server->context) {
        buffer_format(error, "cannot listen on %s: %s", options->listen, text[0] ? text : "address in use or not ours");
        front_free(server->front);
        free(server);
        return NULL;
    }
    if (!all_started(server)) {
        buffer_format(error, "cannot start %d threads", options->threads + 1);
        int expected = NOT_YET;
        /* Without the thread that accepts, civetweb would wait for ever for it to end. */
        if (!atomic_compare_exchange_strong(&server->listener, &expected, TOO_LATE))
            server_stop(server);
        return NULL;
    }
    struct mg_server_port ports[4];
    int count = mg_get_server_ports(server->context, 4, ports);
    server->port = count > 0 ? ports[0].port : 0;
    return server;
}

int server_port(const struct server *server) {
    return server->port;
}

void server_drain(struct server *server) {
    atomic_store(&server->draining, true);
}

/* civetweb's own stop cuts answers short. Before it, what has been sent is answered: in flight, waiting for a thread,
   or just on its way. */
static void finish(const struct server *server) {
    int64_t quiet_since = clock_monotonic_ms();
    int64_t deadline = quiet_since + server->options.request_timeout_ms + STOP_GRACE_MS;
    for (;;) {
        int64_t now = clock_monotonic_ms();
        enum front_state state = front_state(server->front);
        if (atomic_load(&server->load->requests) > 0 || state == FRONT_ASKED)
            quiet_since = now;
        else if (state == FRONT_EMPTY)
            return;
        if (now - quiet_since >= STOP_QUIET_MS || now >= deadline)
            return;
        clock_sleep_ms(STOP_POLL_MS);
    }
}

void server_stop(struct server *server) {
    if (!server)
        return;
    server_drain(server);
    front_refuse(server->front);
    if (!server->options.streaming) /* streams have no end of their own */
        finish(server);
    front_end(server->front);
    mg_stop(server->context);
    front_free(server->front);
    free(server);
}
