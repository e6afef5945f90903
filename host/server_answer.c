/* Answers on their way out. */
#include "server_answer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "front.h"

enum {
    KEPT_BYTES = 16 * 1024, /* what a thread keeps from one request to the next, of a body … */
    KEPT_PARTS = 256,       /* … and of an answer's list of parts */
};

static void worker_free(void *pointer) {
    struct worker *worker = pointer;
    response_free(&worker->response);
    buffer_free(&worker->output);
    buffer_free(&worker->body);
    free(worker->parts);
    free(worker);
}

static pthread_key_t worker_key;
static pthread_once_t worker_once = PTHREAD_ONCE_INIT;

static void worker_key_make(void) {
    pthread_key_create(&worker_key, worker_free);
}

struct worker *worker_get(void) {
    pthread_once(&worker_once, worker_key_make);
    struct worker *worker = pthread_getspecific(worker_key);
    if (!worker) {
        worker = calloc(1, sizeof *worker);
        if (worker)
            pthread_setspecific(worker_key, worker);
    }
    return worker;
}

/* IMF-fixdate, made once a second and thread. */
static const char *http_date(void) {
    static _Thread_local time_t made;
    static _Thread_local char text[64];
    time_t now = time(NULL);
    if (now != made) {
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        made = now;
    }
    return text;
}

/* What a rare request took is not its thread's for ever: there are many threads. */
void worker_let_go(struct worker *worker) {
    struct response *response = &worker->response;
    response_clear(response);
    if (worker->body.capacity > KEPT_BYTES)
        buffer_free(&worker->body);
    if (worker->part_capacity > KEPT_PARTS) {
        free(worker->parts);
        worker->parts = NULL;
        worker->part_capacity = 0;
    }
    if (response->piece_capacity > KEPT_PARTS) {
        free(response->pieces);
        response->pieces = NULL;
        response->piece_capacity = 0;
    }
}

bool write_all(const char *data, size_t length) {
    char *text;
    memcpy(&text, &data, sizeof text); /* an iovec is for reading, too */
    return front_send(&(struct iovec){text, length}, 1);
}

void write_head(struct buffer *out, struct response *response, const struct call_context *call, bool close) {
    response_complete(response);
    static const char ok[] = "HTTP/1.1 200 OK\r\nDate: ";
    if (response->status == 200)
        buffer_append(out, ok, sizeof ok - 1);
    else
        buffer_format(out, "HTTP/1.1 %d %s\r\nDate: ", response->status, status_phrase(response->status));
    buffer_text(out, http_date());
    buffer_text(out, "\r\n");
    if (response->headers.length)
        buffer_append(out, response->headers.data, response->headers.length);
    buffer_text(out, "X-Request-Id: ");
    buffer_text(out, call->request_id);
    buffer_text(out, close ? "\r\nConnection: close\r\n" : "\r\nConnection: keep-alive\r\n");
}

/* Head and body as they lie in memory: nothing of a body is copied. */
static bool send_parts(struct worker *worker, size_t piece_count) {
    const struct response *response = &worker->response;
    size_t count = 1 + piece_count;
    if (count > worker->part_capacity) {
        struct iovec *parts = realloc(worker->parts, count * sizeof *parts);
        if (!parts)
            return false;
        worker->parts = parts;
        worker->part_capacity = count;
    }
    worker->parts[0] = (struct iovec){worker->output.data, worker->output.length};
    for (size_t i = 0; i < piece_count; i++) {
        worker->parts[i + 1].iov_len = response->pieces[i].span.length;
        memcpy(&worker->parts[i + 1].iov_base, &response->pieces[i].span.data, sizeof(void *));
    }
    return front_send(worker->parts, count);
}

bool write_response(struct worker *worker, const struct call_context *call, bool head_only, bool close) {
    struct response *response = &worker->response;
    struct buffer *out = &worker->output;
    if (response->failed) /* not even the memory to say so */
        return false;
    buffer_clear(out);
    write_head(out, response, call, close);
    if (response->status != 304 && response->status != 204) {
        buffer_text(out, "Content-Length: ");
        buffer_decimal(out, response->body_length);
        buffer_text(out, "\r\n");
    }
    buffer_text(out, "\r\n");
    return !out->failed && send_parts(worker, head_only ? 0 : response->piece_count);
}

static bool write_chunk(struct buffer *out, const struct buffer *chunk, bool raw) {
    if (raw)
        return write_all(chunk->data, chunk->length);
    buffer_clear(out);
    buffer_format(out, "%zx\r\n", chunk->length);
    buffer_append(out, chunk->data, chunk->length);
    buffer_text(out, "\r\n");
    return !out->failed && write_all(out->data, out->length);
}

void write_stream(struct worker *worker, const struct call_context *call, const atomic_bool *draining) {
    struct response *response = &worker->response;
    struct buffer *out = &worker->output, chunk = {0};
    bool open = true;
    if (!response->raw) {
        buffer_clear(out);
        write_head(out, response, call, true);
        buffer_text(out, "Transfer-Encoding: chunked\r\n\r\n");
        open = !out->failed && write_all(out->data, out->length);
    }
    while (open) {
        buffer_clear(&chunk);
        enum stream_step step = response->stream(response->stream_context, &chunk);
        if (step == STREAM_ABORT)
            break;
        if (step == STREAM_DATA && chunk.length)
            open = write_chunk(out, &chunk, response->raw);
        else if (step == STREAM_WAIT)
            open = !front_peer_left() && !atomic_load(draining);
        else if (step == STREAM_END) {
            if (!response->raw)
                write_all("0\r\n\r\n", 5);
            break;
        }
    }
    buffer_free(&chunk);
}
