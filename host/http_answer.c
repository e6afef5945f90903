/* Takes answers in: callbacks that never fail but by a verdict, and how an exchange ended. */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_transfer.h"

enum {
    FIRST_BODY_BYTES = 4 * 1024,
    TRUSTED_BODY_BYTES = 4 * 1024 * 1024, /* a Content-Length up to this is believed before the bytes are there */
    /* Of all answers that are being taken in at one time: each has its own bound, but many requests wait at once. */
    MAX_RECEIVING_BYTES = 128 * 1024 * 1024,
};

static atomic_size_t receiving_bytes;

static bool reserve_share(struct transfer *transfer, size_t room) {
    size_t more = room - transfer->reserved_bytes;
    if (atomic_fetch_add(&receiving_bytes, more) + more > MAX_RECEIVING_BYTES) {
        atomic_fetch_sub(&receiving_bytes, more);
        return false;
    }
    transfer->reserved_bytes = room;
    return true;
}

void transfer_received(struct transfer *transfer) {
    atomic_fetch_sub(&receiving_bytes, transfer->reserved_bytes);
    transfer->reserved_bytes = 0;
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
        if (transfer->stream && status >= 200 && status < 300)
            transfer->stopped = !transfer->stream->on_bytes(transfer->stream->context, "", 0);
        if (transfer->stopped)
            return 0;
    } else if (!transfer->headers_ended) { /* trailers are nobody's */
        http_exchange_header_line(exchange, data, line);
    }
    if (exchange->header_lines.failed) {
        transfer->verdict = HTTP_MEMORY;
        return 0;
    }
    return length;
}

/* What Content-Length says, -1 when it says nothing. */
static curl_off_t announced_length(const struct transfer *transfer) {
    curl_off_t length = -1;
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length;
}

/* Room for more bytes of the body: what the peer announces when that is modest, then twice as much each time. Else the
   verdict says why not. */
static bool reserve_body(struct transfer *transfer, size_t more) {
    struct bytes *body = transfer->exchange->body_bytes;
    size_t needed = transfer->body_length + more;
    if (body && needed <= body->length)
        return true;
    size_t room = body ? body->length * 2 : FIRST_BODY_BYTES;
    curl_off_t announced = announced_length(transfer);
    if (!body && announced > 0 && announced <= TRUSTED_BODY_BYTES)
        room = (size_t)announced;
    if (room < needed)
        room = needed;
    if (!reserve_share(transfer, room)) {
        transfer->verdict = HTTP_TOO_LARGE;
        return false;
    }
    body = body ? bytes_resize(body, room) : bytes_new(room);
    if (body)
        transfer->exchange->body_bytes = body;
    else
        transfer->verdict = HTTP_MEMORY;
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
    bool announced_larger = !exchange->body_bytes && announced_length(transfer) > (curl_off_t)transfer->max_body_bytes;
    if (announced_larger || length > transfer->max_body_bytes - transfer->body_length) {
        transfer->verdict = HTTP_TOO_LARGE;
        return 0;
    }
    if (!reserve_body(transfer, length))
        return 0;
    memcpy(exchange->body_bytes->data + transfer->body_length, data, length);
    transfer->body_length += length;
    return length;
}

bool transfer_receive(struct transfer *transfer) {
    CURL *easy = transfer->easy;
    return curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->detail) == CURLE_OK;
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

void transfer_finish(struct transfer *transfer, CURLcode code) {
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
    bool ours = code == CURLE_OK || code == CURLE_WRITE_ERROR;
    const char *detail = ours ? "" : transfer->detail[0] ? transfer->detail : curl_easy_strerror(code);
    http_exchange_fail(exchange, failure, "%s: %s%s%s", transfer->origin, sentence(failure, exchange->sent),
                       detail[0] ? ": " : "", detail);
}
