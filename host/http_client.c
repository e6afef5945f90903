#include "http_exchange.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "clock.h"

enum {
    LANE_CONNECTIONS = 64,      /* connections a lane keeps: as many as a script may open at once */
    LANE_IDLE_MS = 60 * 1000,   /* a lane unused for so long is closed with its connections */
    CONNECTION_MAX_IDLE_S = 60, /* older ones are not trusted any more: balancers drop them without a word */
    KEEPALIVE_IDLE_S = 15,      /* 15 + 3 * 5 s: a peer that vanished is noticed within 30 s */
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3,
    UNACKNOWLEDGED_MS = 30 * 1000, /* the same for a peer that vanished while we were sending */
    POLL_MS = 1000,
    DEADLINE_GRACE_MS = 20, /* the library's own timer comes first: its message says what it waited for */
    FIRST_BODY_BYTES = 4 * 1024,
    TRUSTED_BODY_BYTES = 1024 * 1024, /* a Content-Length up to this is believed before the bytes are there */
};

/* Connections live in lanes, each used by one thread at a time: no lock is held while anything is transferred. */
struct lane {
    CURLM *multi;
    int64_t idle_since_ms;
};

struct http_client {
    pthread_mutex_t lock;
    struct lane *idle; /* a stack, so that the fewest connections stay warm and the rest can go */
    size_t idle_count;
    size_t idle_capacity;
};

struct stream {
    bool (*on_bytes)(void *context, const char *data, size_t length);
    void *context;
    const atomic_bool *cancel;
    int64_t idle_timeout_ms;
};

/* One exchange under way. */
struct transfer {
    struct http_exchange *exchange;
    const struct stream *stream; /* NULL: the whole answer is wanted */
    CURL *easy;                  /* NULL when nothing is under way (any more) */
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    char *url;        /* with tls.server_name in the host's place; NULL: the exchange's own */
    char *host;       /* the Host header that goes with url */
    char origin[300]; /* "https://host:port", for messages */
    char detail[CURL_ERROR_SIZE];
    int64_t deadline_ms; /* 0: none */
    int64_t last_byte_ms;
    size_t header_bytes;
    size_t body_length; /* of body_bytes, whose own length is the room there is */
    size_t max_body_bytes;
    bool headers_ended;
    bool stopped;              /* on_bytes wants no more */
    enum http_failure verdict; /* of a callback that ended the transfer */
};

static void initialize_library(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize_library);
    struct http_client *client = calloc(1, sizeof *client);
    if (client)
        pthread_mutex_init(&client->lock, NULL);
    return client;
}

void http_client_free(struct http_client *client) {
    if (!client)
        return;
    for (size_t i = 0; i < client->idle_count; i++)
        curl_multi_cleanup(client->idle[i].multi);
    free(client->idle);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

static CURLM *take_lane(struct http_client *client) {
    pthread_mutex_lock(&client->lock);
    CURLM *multi = client->idle_count ? client->idle[--client->idle_count].multi : NULL;
    pthread_mutex_unlock(&client->lock);
    if (multi)
        return multi;
    multi = curl_multi_init();
    if (multi)
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)LANE_CONNECTIONS);
    return multi;
}

static void give_lane_back(struct http_client *client, CURLM *multi) {
    int64_t now = clock_monotonic_ms();
    CURLM *surplus = NULL; /* one a time is enough: every call comes by here */
    pthread_mutex_lock(&client->lock);
    if (client->idle_count && now - client->idle[0].idle_since_ms > LANE_IDLE_MS) {
        surplus = client->idle[0].multi;
        memmove(client->idle, client->idle + 1, --client->idle_count * sizeof *client->idle);
    }
    if (client->idle_count == client->idle_capacity) {
        size_t capacity = client->idle_capacity ? client->idle_capacity * 2 : 16;
        struct lane *idle = realloc(client->idle, capacity * sizeof *idle);
        if (idle) {
            client->idle = idle;
            client->idle_capacity = capacity;
        }
    }
    bool kept = client->idle_count < client->idle_capacity;
    if (kept)
        client->idle[client->idle_count++] = (struct lane){multi, now};
    pthread_mutex_unlock(&client->lock);
    if (!kept)
        curl_multi_cleanup(multi);
    curl_multi_cleanup(surplus);
}

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

static size_t on_header(char *data, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    struct http_exchange *exchange = transfer->exchange;
    size_t length = size * count;
    transfer->last_byte_ms = clock_monotonic_ms();
    transfer->header_bytes += length;
    if (transfer->header_bytes > HTTP_MAX_HEADER_BYTES) {
        transfer->verdict = HTTP_TOO_LARGE;
        return 0;
    }
    size_t line = length;
    while (line && (data[line - 1] == '\n' || data[line - 1] == '\r'))
        line--;
    if (line >= 5 && memcmp(data, "HTTP/", 5) == 0) { /* the final answer, or another one after an interim answer */
        transfer->headers_ended = false;
        buffer_clear(&exchange->header_lines);
    } else if (line == 0) {
        long status = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        exchange->status = (int)status;
        transfer->headers_ended = true;
    } else if (!transfer->headers_ended) { /* trailers are nobody's */
        http_exchange_header_line(exchange, data, line);
    }
    if (exchange->header_lines.failed) {
        transfer->verdict = HTTP_MEMORY;
        return 0;
    }
    return length;
}

/* Room for more bytes of the body: what the peer announces when that is modest, then twice as much each time. */
static bool reserve_body(struct transfer *transfer, size_t more) {
    struct bytes *body = transfer->exchange->body_bytes;
    size_t needed = transfer->body_length + more;
    if (body && needed <= body->length)
        return true;
    size_t room = body ? body->length * 2 : FIRST_BODY_BYTES;
    curl_off_t announced = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    if (!body && announced > 0 && announced <= TRUSTED_BODY_BYTES)
        room = (size_t)announced;
    if (room < needed)
        room = needed;
    body = body ? bytes_resize(body, room) : bytes_new(room);
    if (body)
        transfer->exchange->body_bytes = body;
    return body != NULL;
}

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    struct transfer *transfer = context;
    struct http_exchange *exchange = transfer->exchange;
    size_t length = size * count;
    if (transfer->stream && exchange->status >= 200 && exchange->status < 300) {
        transfer->stopped = !transfer->stream->on_bytes(transfer->stream->context, data, length);
        transfer->last_byte_ms = clock_monotonic_ms(); /* only now: the reader's own time is not the peer's */
        return transfer->stopped ? 0 : length;
    }
    transfer->last_byte_ms = clock_monotonic_ms();
    if (length > transfer->max_body_bytes - transfer->body_length) {
        transfer->verdict = HTTP_TOO_LARGE;
        return 0;
    }
    if (!reserve_body(transfer, length)) {
        transfer->verdict = HTTP_MEMORY;
        return 0;
    }
    memcpy(exchange->body_bytes->data + transfer->body_length, data, length);
    transfer->body_length += length;
    return length;
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
    else if (code != CURLUE_OK || curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
             curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
             curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK)
        flaw = "the URL is malformed";
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        flaw = "the URL is neither http nor https";
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
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->detail);
    SET(CURLOPT_PRIVATE, transfer);
    if (!transfer->stream)
        SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->max_body_bytes);
#undef SET
    if (transfer->deadline_ms) {
        int64_t left = transfer->deadline_ms - clock_monotonic_ms();
        set = set && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1)) == CURLE_OK;
    }
    return set && set_method(easy, exchange) && set_tls(easy, exchange->tls);
}

static int64_t deadline_of(const struct http_exchange *exchange, bool streams) {
    int64_t deadline = exchange->deadline_ms;
    int64_t of_context = exchange->context ? exchange->context->deadline_ms : 0;
    if (of_context && (!deadline || of_context < deadline))
        deadline = of_context;
    return deadline || streams ? deadline : clock_monotonic_ms() + HTTP_DEFAULT_TIMEOUT_MS;
}

/* Checks and sets up everything that needs no network; false when the exchange has failed. */
static bool prepare(struct transfer *transfer, struct http_exchange *exchange, const struct stream *stream) {
    http_exchange_free(exchange);
    transfer->exchange = exchange;
    transfer->stream = stream;
    transfer->max_body_bytes =
        exchange->max_response_bytes ? exchange->max_response_bytes : HTTP_DEFAULT_MAX_RESPONSE_BYTES;
    transfer->deadline_ms = deadline_of(exchange, stream != NULL);
    transfer->last_byte_ms = clock_monotonic_ms();
    if (exchange->context)
        exchange->context->upstream_calls++;

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
    transfer->easy = curl_easy_init();
    if (transfer->easy && add_headers(transfer) && set_options(transfer))
        return true;
    http_exchange_fail(exchange, HTTP_MEMORY, "%s: out of memory", transfer->origin);
    return false;
}

static enum http_failure failure_of(const struct transfer *transfer, CURLcode code) {
    switch (code) {
    case CURLE_OK:
        /* A switch of protocols that nobody asked for counts as the final answer for the library. */
        return transfer->exchange->status >= 200 ? HTTP_OK : HTTP_PROTOCOL;
    case CURLE_WRITE_ERROR:
        return transfer->stopped ? HTTP_OK : transfer->verdict ? transfer->verdict : HTTP_PROTOCOL;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return HTTP_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY:
        return HTTP_MEMORY;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return HTTP_TLS;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return HTTP_CONNECT;
    default:
        return transfer->header_bytes || code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL
                   ? HTTP_PROTOCOL
                   : HTTP_CONNECT;
    }
}

static const char *sentence(enum http_failure failure, bool sent) {
    switch (failure) {
    case HTTP_TIMEOUT:
        return sent ? "no complete answer in time" : "no connection in time";
    case HTTP_CONNECT:
        return sent ? "the connection was lost before an answer began" : "cannot connect";
    case HTTP_TLS:
        return "TLS failed";
    case HTTP_TOO_LARGE:
        return "the answer is too large";
    case HTTP_CANCELLED:
        return "cancelled";
    case HTTP_MEMORY:
        return "out of memory";
    case HTTP_OK:
    case HTTP_PROTOCOL:
        break;
    }
    return "the answer is not HTTP or ended early";
}

static void finish(struct transfer *transfer, CURLcode code) {
    struct http_exchange *exchange = transfer->exchange;
    enum http_failure failure = failure_of(transfer, code);
    if (failure == HTTP_OK) {
        struct bytes *body =
            exchange->body_bytes ? bytes_resize(exchange->body_bytes, transfer->body_length) : bytes_new(0);
        if (body)
            exchange->body_bytes = body;
        else
            failure = HTTP_MEMORY;
    }
    if (failure == HTTP_OK)
        return;
    /* What a callback of ours refused, the library can only call a failed write. */
    bool ours = code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED;
    const char *detail = ours ? "" : transfer->detail[0] ? transfer->detail : curl_easy_strerror(code);
    http_exchange_fail(exchange, failure, "%s: %s%s%s", transfer->origin, sentence(failure, exchange->sent),
                       detail[0] ? ": " : "", detail);
}

static void drop(CURLM *multi, struct transfer *transfer) {
    curl_multi_remove_handle(multi, transfer->easy);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

/* Ends a transfer whose time is up or that is not wanted any more. True when it did. */
static bool expire(struct transfer *transfer, int64_t now) {
    const struct stream *stream = transfer->stream;
    struct http_exchange *exchange = transfer->exchange;
    if (stream && stream->cancel && atomic_load(stream->cancel))
        http_exchange_fail(exchange, HTTP_CANCELLED, "%s: cancelled", transfer->origin);
    else if (stream && now - transfer->last_byte_ms >= stream->idle_timeout_ms)
        http_exchange_fail(exchange, HTTP_TIMEOUT, "%s: not a byte for %lld ms", transfer->origin,
                           (long long)stream->idle_timeout_ms);
    else if (transfer->deadline_ms && now >= transfer->deadline_ms + DEADLINE_GRACE_MS)
        http_exchange_fail(exchange, HTTP_TIMEOUT, "%s: %s", transfer->origin, sentence(HTTP_TIMEOUT, exchange->sent));
    else
        return false;
    return true;
}

/* How long nothing needs to be looked at but sockets. */
static int patience(const struct transfer *transfers, size_t count, int64_t now) {
    int64_t wait = transfers[0].stream ? HTTP_CANCEL_LATENCY_MS / 2 : POLL_MS;
    for (size_t i = 0; i < count; i++) {
        int64_t left = transfers[i].deadline_ms + DEADLINE_GRACE_MS - now;
        if (transfers[i].easy && transfers[i].deadline_ms && left < wait)
            wait = left > 0 ? left : 0;
    }
    return (int)wait;
}

/* Runs what is under way to its end. False when the lane itself is broken. */
static bool run(CURLM *multi, struct transfer *transfers, size_t count) {
    for (;;) {
        int running = 0, queued;
        CURLMcode code = curl_multi_perform(multi, &running);
        const CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &queued)) != NULL) {
            char *private = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            struct transfer *transfer = (struct transfer *)(void *)private;
            finish(transfer, message->data.result);
            drop(multi, transfer);
        }
        int64_t now = clock_monotonic_ms();
        size_t left = 0;
        for (size_t i = 0; i < count; i++) {
            if (transfers[i].easy && expire(&transfers[i], now))
                drop(multi, &transfers[i]);
            left += transfers[i].easy != NULL;
        }
        if (left == 0)
            return code == CURLM_OK;
        if (code == CURLM_OK && running)
            code = curl_multi_poll(multi, NULL, 0, patience(transfers, count, now), NULL);
        if (code == CURLM_OK && running)
            continue;
        for (size_t i = 0; i < count; i++) {
            if (!transfers[i].easy)
                continue;
            http_exchange_fail(transfers[i].exchange, HTTP_MEMORY, "%s: %s", transfers[i].origin,
                               curl_multi_strerror(code));
            drop(multi, &transfers[i]);
        }
        return false;
    }
}

static void transfer_free(struct transfer *transfer) {
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->connect_to);
    free(transfer->url);
    free(transfer->host);
}

static void perform(struct http_client *client, struct http_exchange *exchanges, size_t count,
                    const struct stream *stream) {
    int64_t started_us = clock_monotonic_us();
    struct transfer *transfers = calloc(count, sizeof *transfers);
    CURLM *multi = transfers ? take_lane(client) : NULL;
    for (size_t i = 0; i < count; i++) {
        if (!multi) {
            http_exchange_free(&exchanges[i]);
            http_exchange_fail(&exchanges[i], HTTP_MEMORY, "out of memory");
            continue;
        }
        struct transfer *transfer = &transfers[i];
        if (prepare(transfer, &exchanges[i], stream) && curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
            continue;
        if (!exchanges[i].failure)
            http_exchange_fail(&exchanges[i], HTTP_MEMORY, "%s: out of memory", transfer->origin);
        curl_easy_cleanup(transfer->easy);
        transfer->easy = NULL;
    }
    if (multi) {
        if (run(multi, transfers, count))
            give_lane_back(client, multi);
        else
            curl_multi_cleanup(multi);
        for (size_t i = 0; i < count; i++)
            transfer_free(&transfers[i]);
    }
    free(transfers);
    /* Exchanges that run at the same time cost their request that time once. */
    for (size_t i = 0; i < count; i++)
        if (exchanges[i].context && (i == 0 || exchanges[i].context != exchanges[i - 1].context))
            exchanges[i].context->upstream_us += clock_monotonic_us() - started_us;
}

void http_perform(struct http_client *client, struct http_exchange *exchanges, size_t count) {
    if (count)
        perform(client, exchanges, count, NULL);
}

void http_stream(struct http_client *client, struct http_exchange *exchange, int64_t idle_timeout_ms,
                 bool (*on_bytes)(void *context, const char *data, size_t length), void *context,
                 const atomic_bool *cancel) {
    struct stream stream = {on_bytes, context, cancel, idle_timeout_ms};
    perform(client, exchange, 1, &stream);
}
