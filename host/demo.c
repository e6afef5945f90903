/* `demo`: the simulator, and the service pointed at it, on loopback; and what to type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "http_client.h"
#include "json_span.h"
#include "serve.h"
#include "simulator.h"

static const char simulator_listen[] = "127.0.0.1:6002";
static char simulator_url[64];
static char kubeconfig_path[64];

/* The environment, but for what points at Domino and Kubernetes: the demo must never reach a real one. */
static const char *lookup_demo(const char *name) {
    if (strcmp(name, "DOMINO_NUCLEUS_URI") == 0)
        return simulator_url;
    if (strcmp(name, "KUBECONFIG") == 0)
        return kubeconfig_path;
    if (strncmp(name, "KUBERNETES_", 11) == 0)
        return NULL;
    const char *value = getenv(name);
    if (value && *value)
        return value;
    if (strcmp(name, "LISTEN") == 0)
        return "127.0.0.1:6000";
    if (strcmp(name, "ADMIN_LISTEN") == 0)
        return "127.0.0.1:6001";
    if (strcmp(name, "LOG_LEVEL") == 0)
        return "warn";
    return value;
}

/* The simulator takes this one token for the service account's. */
static bool write_kubeconfig(void) {
    int descriptor = memfd_create("kubeconfig", 0);
    if (descriptor < 0)
        return false;
    dprintf(descriptor,
            "apiVersion: v1\nkind: Config\ncurrent-context: demo\n"
            "contexts: [{name: demo, context: {cluster: demo, user: demo}}]\n"
            "clusters: [{name: demo, cluster: {server: \"%s\"}}]\n"
            "users: [{name: demo, user: {token: simulator-service-account-token}}]\n",
            simulator_url);
    snprintf(kubeconfig_path, sizeof kubeconfig_path, "/proc/self/fd/%d", descriptor);
    return true;
}

/* Identities and clusters as the simulator names them. */
static void print_identities(struct span demo, char *token, size_t token_size, char *cluster, size_t cluster_size) {
    struct span key, value;
    size_t cursor = 0;
    struct span identities = json_member(demo, "identities");
    while (json_next(identities, &cursor, &key, &value)) {
        char role[32], name[64], id[64], secret[64];
        json_string(json_member(value, "role"), role, sizeof role);
        json_string(json_member(value, "name"), name, sizeof name);
        json_string(json_member(value, "id"), id, sizeof id);
        json_string(json_member(value, "token"), secret, sizeof secret);
        printf("  %-6s %-12s token %-20s id %s\n", role, name, secret, id);
        if (strcmp(role, "admin") != 0 && !*token)
            snprintf(token, token_size, "%s", secret);
    }
    cursor = 0;
    if (json_next(json_member(demo, "clusters"), &cursor, &key, &value))
        json_string(value, cluster, cluster_size);
}

static void print_guide(const struct config *config) {
    char url[128], token[64] = "", cluster[128] = "";
    struct http_client *client = http_client_new();
    snprintf(url, sizeof url, "%s/_simulator/demo", simulator_url);
    struct http_exchange exchange = {
        .method = "GET", .url = url, .deadline_ms = clock_monotonic_ms() + 5000, .max_response_bytes = 65536};
    if (client)
        http_perform(client, &exchange, 1);
    printf("rayclusterscaler demo, all on loopback\n\n"
           "  service    http://%s\n  admin      http://%s   /healthz /readyz /metrics\n"
           "  simulator  %s   Domino and Kubernetes\n\nIdentities\n",
           config->listen, config->admin_listen, simulator_url);
    if (exchange.body_bytes)
        print_identities((struct span){exchange.body_bytes->data, exchange.body_bytes->length}, token, sizeof token,
                         cluster, sizeof cluster);
    printf("\nTry\n"
           "  curl -H 'Authorization: Bearer %s' http://%s/raycluster/list\n"
           "  curl -H 'Authorization: Bearer %s' http://%s/raycluster/%s\n"
           "  curl -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n"
           "       -d '{\"cluster_name\": \"%s\", \"replicas\": 5}' http://%s/raycluster/scale\n\n"
           "Ctrl-C ends everything.\n",
           token, config->listen, token, config->listen, cluster, token, cluster, config->listen);
    fflush(stdout);
    http_exchange_free(&exchange);
    http_client_free(client);
}

int command_demo(void) {
    struct buffer error = {0};
    struct config config;
    snprintf(simulator_url, sizeof simulator_url, "http://%s", simulator_listen);
    if (!write_kubeconfig() || !program_start(&config, lookup_demo, &error))
        return program_fail(&error);
    struct serve *serve = NULL;
    struct simulator *simulator = simulator_open(config.simulator_dir, simulator_listen, &error);
    if (simulator)
        serve = serve_open(&config, lookup_demo, &error);
    if (serve) {
        print_guide(&config);
        program_wait();
        program_end_on_signal();
    }
    serve_close(serve);
    simulator_close(simulator);
    program_stop();
    return serve ? 0 : program_fail(&error);
}
