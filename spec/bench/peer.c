/* What the service is measured against: a bare civetweb handler with the service's own server settings (host/server.c)
   that writes the same bytes.
   usage: bench_peer FILE   FILE holds a whole answer, head and body, as the service sends it on a connection that it
   keeps; who asks to close gets it with "Connection: close". Prints its port on loopback. */
#include <civetweb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer {
    char *data;
    size_t length;
};

static struct answer kept, closing;

static int on_request(struct mg_connection *connection) {
    const char *wish = mg_get_header(connection, "Connection");
    bool close = wish && strcmp(wish, "close") == 0;
    const struct answer *answer = close ? &closing : &kept;
    if (close)
        mg_disable_connection_keep_alive(connection);
    mg_write(connection, answer->data, answer->length);
    return 200;
}

/* Empty when the file cannot be read. */
static struct answer read_answer(const char *path) {
    struct answer answer = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (!file)
        return answer;
    long length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    rewind(file);
    answer.data = length > 0 ? calloc(1, (size_t)length + 1) : NULL;
    if (answer.data && fread(answer.data, 1, (size_t)length, file) == (size_t)length)
        answer.length = (size_t)length;
    fclose(file);
    return answer;
}

/* The same answer with its "keep-alive" turned into "close"; empty when it has none. */
static struct answer make_closing(const struct answer *from) {
    static const char keep[] = "Connection: keep-alive\r\n", close[] = "Connection: close\r\n";
    const size_t keep_length = sizeof keep - 1, close_length = sizeof close - 1;
    struct answer answer = {NULL, 0};
    const char *at = from->length ? strstr(from->data, keep) : NULL;
    if (!at || !(answer.data = malloc(from->length)))
        return answer;
    size_t before = (size_t)(at - from->data), after = before + keep_length;
    memcpy(answer.data, from->data, before);
    memcpy(answer.data + before, close, close_length);
    memcpy(answer.data + before + close_length, from->data + after, from->length - after);
    answer.length = from->length - keep_length + close_length;
    return answer;
}

int main(int argc, char **argv) {
    const char *settings[] = {"listening_ports",
                              "127.0.0.1:0",
                              "num_threads",
                              "192",
                              "listen_backlog",
                              "1024",
                              "max_request_size",
                              "16384",
                              "request_timeout_ms",
                              "10000",
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
    sigset_t ends;
    int received;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    if (argc == 2)
        kept = read_answer(argv[1]);
    closing = make_closing(&kept);
    if (!closing.length) {
        fputs("usage: bench_peer FILE\n", stderr);
        return 2;
    }
    struct mg_callbacks callbacks = {.begin_request = on_request};
    struct mg_server_port port;
    mg_init_library(0);
    struct mg_context *context = mg_start(&callbacks, NULL, settings);
    if (!context || mg_get_server_ports(context, 1, &port) != 1) {
        fputs("bench_peer: cannot listen\n", stderr);
        return 1;
    }
    printf("listening on port %d\n", port.port);
    fflush(stdout);
    sigwait(&ends, &received);
    mg_stop(context);
    free(kept.data);
    free(closing.data);
    return 0;
}
