#include "http_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "http_transfer.h"
#include "metrics.h"

enum {
    LANE_CONNECTIONS = 64,    /* connections a lane keeps: as many as a script may open at once */
    LANE_IDLE_MS = 60 * 1000, /* a lane unused for so long is closed with its connections */
    POLL_MS = 1000,
    DEADLINE_GRACE_MS = 20, /* the library's own timer comes first: its message says what it waited for */
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
    struct metric *duration;
};

static void initialize_library(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialize_library);
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    pthread_mutex_init(&client->lock, NULL);
    client->duration =
        metric_family(METRIC_HISTOGRAM, "rayclusterscaler_upstream_request_duration_seconds",
                      "Time of calls to other services, by target and by status or failure.", "target,code");
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

/* Streams last as long as they please: their time says nothing. */
static void record(const struct http_client *client, const struct transfer *transfer) {
    const struct http_exchange *exchange = transfer->exchange;
    char status[12];
    snprintf(status, sizeof status, "%d", exchange->status);
    const char *labels[] = {exchange->target ? exchange->target : "other",
                            exchange->failure == HTTP_OK ? status : http_failure_code(exchange->failure)};
    if (client->duration && !transfer->stream)
        metric_observe(client->duration, labels, (double)(clock_monotonic_us() - transfer->started_us) / 1e6);
}

static void end(const struct http_client *client, CURLM *multi, struct transfer *transfer) {
    record(client, transfer);
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
        transfer_finish(transfer, CURLE_OPERATION_TIMEDOUT);
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
static bool run(const struct http_client *client, CURLM *multi, struct transfer *transfers, size_t count) {
    for (;;) {
        int running = 0, queued;
        CURLMcode code = curl_multi_perform(multi, &running);
        const CURLMsg *message;
        while ((message = curl_multi_info_read(multi, &queued)) != NULL) {
            char *private = NULL;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            struct transfer *transfer = (struct transfer *)(void *)private;
            transfer_finish(transfer, message->data.result);
            end(client, multi, transfer);
        }
        int64_t now = clock_monotonic_ms();
        size_t left = 0;
        for (size_t i = 0; i < count; i++) {
            if (transfers[i].easy && expire(&transfers[i], now))
                end(client, multi, &transfers[i]);
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
            end(client, multi, &transfers[i]);
        }
        return false;
    }
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
        if (transfer_prepare(transfer, &exchanges[i], stream) &&
            curl_multi_add_handle(multi, transfer->easy) == CURLM_OK)
            continue;
        if (!exchanges[i].failure)
            http_exchange_fail(&exchanges[i], HTTP_MEMORY, "%s: out of memory", transfer->origin);
        curl_easy_cleanup(transfer->easy);
        transfer->easy = NULL;
    }
    if (multi) {
        if (run(client, multi, transfers, count))
            give_lane_back(client, multi);
        else
            curl_multi_cleanup(multi);
        for (size_t i = 0; i < count; i++)
            transfer_free(&transfers[i]);
    }
    free(transfers);
    for (size_t i = 0; i < count; i++) {
        struct call_context *context = exchanges[i].context;
        /* Exchanges that run at the same time cost their request that time once. */
        if (context && (i == 0 || context != exchanges[i - 1].context))
            context->upstream_us += clock_monotonic_us() - started_us;
    }
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
