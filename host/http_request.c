/* Sets requests up. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "clock.h"
#include "http_transfer.h"

enum {
    CONNECTION_MAX_IDLE_S = 60, /* older ones are not trusted any more: balancers drop them without a word */
    KEEPALIVE_IDLE_S = 15,      /* 15 + 3 * 5 s: a peer that vanished is noticed within 30 s */
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3,
    UNACKNOWLEDGED_MS = 30 * 1000,         /* the same for a peer that vanished while we were sending */
    LARGE_ANSWER_BYTES = 16 * 1024 * 1024, /* who allows so much is read in larger pieces */
    LARGE_PIECE_BYTES = 128 * 1024,
};

/* Called when a connection is there and the request is about to be written, on each attempt. */
static int on_request(void *context, char *peer_address, char *own_address, int peer_port, int own_port) {
    (void)peer_address, (void)own_address, (void)peer_port, (void)own_port;
    struct transfer *transfer = context;
    transfer->exchange->sent = true;
    return CURL_PREREQFUNC_OK;
}

static int on_socket(void *context, curl_socket_t descriptor, curlsocktype purpose) {
    (void)context, (void)purpose;
    int probes = KEEPALIVE_PROBES;
    unsigned unacknowledged = UNACKNOWLEDGED_MS;
    setsockopt(descriptor, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    return CURL_SOCKOPT_OK;
}

static bool append(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static bool add_header(struct transfer *transfer, const char *name, const char *value) {
    struct buffer line = {0};
    /* The library's own spelling of a header without a value is "Name;". */
    buffer_format(&line, value[0] ? "%s: %s" : "%s;", name, value);
    bool added = !line.failed && append(&transfer->headers, line.data);
    buffer_free(&line);
    return added;
}

static bool has_header(const struct http_exchange *exchange, const char *name) {
    for (size_t i = 0; i < exchange->header_count; i++)
        if (strcasecmp(exchange->headers[i].name, name) == 0)
            return true;
    return false;
}

static bool add_headers(struct transfer *transfer) {
    const struct http_exchange *exchange = transfer->exchange;
    const struct call_context *call = exchange->context;
    bool added = true;
    for (size_t i = 0; added && i < exchange->header_count; i++)
        added = add_header(transfer, exchange->headers[i].name, exchange->headers[i].value);
    if (added && transfer->host && !has_header(exchange, "Host"))
        added = add_header(transfer, "Host", transfer->host);
    if (added && call && call->request_id[0] && !has_header(exchange, "X-Request-Id"))
        added = add_header(transfer, "X-Request-Id", call->request_id);
    if (added && call && call->traceparent[0] && !has_header(exchange, "traceparent"))
        added = add_header(transfer, "traceparent", call->traceparent);
    if (added && call && call->tracestate[0] && !has_header(exchange, "traceparent") &&
        !has_header(exchange, "tracestate"))
        added = add_header(transfer, "tracestate", call->tracestate);
    /* The library adds these by itself, unasked. */
    if (added && !has_header(exchange, "Content-Type"))
        added = append(&transfer->headers, "Content-Type:");
    return added && append(&transfer->headers, "Expect:");
}

/* Sends the name that TLS is to see to the address that the URL names. */
static bool redirect_name(struct transfer *transfer, CURLU *url, const char *host, const char *port) {
    const char *name = transfer->exchange->tls->server_name;
    struct buffer peer = {0}, renamed = {0};
    char *explicit_port = NULL, *text = NULL;
    curl_url_get(url, CURLUPART_PORT, &explicit_port, 0);
    buffer_format(&peer, "::%s:%s", host, port);
    buffer_format(&renamed, strchr(name, ':') ? "[%s]" : "%s", name);
    bool done = !peer.failed && !renamed.failed && append(&transfer->connect_to, peer.data) &&
                curl_url_set(url, CURLUPART_HOST, renamed.data, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK && (transfer->url = strdup(text)) != NULL &&
                asprintf(&transfer->host, explicit_port ? "%s:%s" : "%s", host, explicit_port) >= 0;
    curl_free(text);
    curl_free(explicit_port);
    buffer_free(&peer);
    buffer_free(&renamed);
    return done;
}

/* Takes the URL apart: what we would not want to send to anybody is refused here. NULL, or the flaw. */
static const char *read_url(struct transfer *transfer) {
    struct http_exchange *exchange = transfer->exchange;
    CURLU *url = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    const char *flaw = NULL;
    CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, exchange->url, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER)
                         : CURLUE_OUT_OF_MEMORY;
    if (code == CURLUE_USER_NOT_ALLOWED)
        flaw = "the URL holds credentials";
    else if (code != CURLUE_OK || curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        flaw = "the URL is malformed";
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        flaw = "the URL is neither http nor https";
    else if (curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        flaw = "the URL is malformed";
    else
        snprintf(transfer->origin, sizeof transfer->origin, "%s://%s:%s", scheme, host, port);
    bool renames = !flaw && strcmp(scheme, "https") == 0 && exchange->tls && exchange->tls->server_name;
    if (renames && !redirect_name(transfer, url, host, port))
        flaw = "the server name cannot stand in a URL";
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return flaw;
}

/* The library copies nothing and changes nothing, but asks for a pointer that is not const. */
static struct curl_blob blob(const char *pem) {
    return (struct curl_blob){(void *)(uintptr_t)pem, strlen(pem), CURL_BLOB_NOCOPY};
}

static bool set_tls(CURL *easy, const struct http_tls *tls) {
    /* Trust is one bundle: the system's, which is cached only without a directory, or the peer's own and nothing else.
     */
    bool set = curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    if (!tls)
        return set;
    if (tls->ca_pem) {
        struct curl_blob ca = blob(tls->ca_pem);
        set = set && curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK;
    }
    if (tls->certificate_pem && tls->key_pem) {
        struct curl_blob certificate = blob(tls->certificate_pem), key = blob(tls->key_pem);
        set = set && curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &certificate) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &key) == CURLE_OK;
    }
    if (tls->insecure)
        set = set && curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
    return set;
}

static bool set_method(CURL *easy, const struct http_exchange *exchange) {
    const char *method = exchange->method;
    bool takes_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    CURLcode code = CURLE_OK;
    if (takes_body || exchange->body.length) {
        code = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)exchange->body.length);
        if (code == CURLE_OK)
            code = curl_easy_setopt(easy, CURLOPT_POSTFIELDS, exchange->body.length ? exchange->body.data : "");
    } else if (strcmp(method, "HEAD") == 0) {
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    return code == CURLE_OK && curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool set_options(struct transfer *transfer) {
    struct http_exchange *exchange = transfer->exchange;
    CURL *easy = transfer->easy;
    bool set = true;
#define SET(option, value) (set = set && curl_easy_setopt(easy, option, value) == CURLE_OK)
    SET(CURLOPT_URL, transfer->url ? transfer->url : exchange->url);
    SET(CURLOPT_CONNECT_TO, transfer->connect_to);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_PROXY, exchange->proxy ? exchange->proxy : "");
    SET(CURLOPT_NOPROXY, "");
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_PIPEWAIT, (long)(strncmp(transfer->origin, "https:", 6) == 0));
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_USERAGENT, "rayclusterscaler/" PROJECT_VERSION);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a deadline does not wait for the resolver's thread */
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_MAX_IDLE_S);
    SET(CURLOPT_PREREQFUNCTION, on_request);
    SET(CURLOPT_PREREQDATA, transfer);
    SET(CURLOPT_PRIVATE, transfer);
#undef SET
    if (transfer->max_body_bytes >= LARGE_ANSWER_BYTES)
        set = set && curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)LARGE_PIECE_BYTES) == CURLE_OK;
    if (transfer->deadline_ms) {
        int64_t left = transfer->deadline_ms - clock_monotonic_ms();
        set = set && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1)) == CURLE_OK;
    }
    return set && set_method(easy, exchange) && set_tls(easy, exchange->tls) && transfer_receive(transfer);
}

static int64_t deadline_of(const struct http_exchange *exchange, bool streams) {
    int64_t deadline = exchange->deadline_ms;
    int64_t of_context = exchange->context ? exchange->context->deadline_ms : 0;
    if (of_context && (!deadline || of_context < deadline))
        deadline = of_context;
    return deadline || streams ? deadline : clock_monotonic_ms() + HTTP_DEFAULT_TIMEOUT_MS;
}

bool transfer_prepare(struct transfer *transfer, struct http_exchange *exchange, const struct stream *stream) {
    http_exchange_free(exchange);
    transfer->exchange = exchange;
    transfer->stream = stream;
    transfer->max_body_bytes =
        exchange->max_response_bytes ? exchange->max_response_bytes : HTTP_DEFAULT_MAX_RESPONSE_BYTES;
    transfer->deadline_ms = deadline_of(exchange, stream != NULL);
    transfer->last_byte_ms = clock_monotonic_ms();

    const char *flaw = http_method_flaw(exchange->method);
    for (size_t i = 0; !flaw && i < exchange->header_count; i++)
        flaw = http_header_flaw(&exchange->headers[i]);
    if (!flaw)
        flaw = read_url(transfer);
    if (flaw) {
        http_exchange_fail(exchange, HTTP_PROTOCOL, "the request was not sent: %s", flaw);
        return false;
    }
    if (transfer->deadline_ms && transfer->deadline_ms <= transfer->last_byte_ms) {
        http_exchange_fail(exchange, HTTP_TIMEOUT, "%s: the deadline had passed before the request was sent",
                           transfer->origin);
        return false;
    }
    if (exchange->context)
        exchange->context->upstream_calls++;
    transfer->started_us = clock_monotonic_us();
    transfer->easy = curl_easy_init();
    if (transfer->easy && add_headers(transfer) && set_options(transfer))
        return true;
    http_exchange_fail(exchange, HTTP_MEMORY, "%s: out of memory", transfer->origin);
    return false;
}

void transfer_free(struct transfer *transfer) {
    transfer_received(transfer);
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    free(transfer->url);
    free(transfer->host);
}
