#include "simulator.h"

#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "generation.h"
#include "program.h"
#include "server.h"

enum {
    SIMULATOR_THREADS = 256, /* a watch holds one */
    SIMULATOR_TIMEOUT_MS = 600 * 1000,
    SIMULATOR_MAX_BODY_BYTES = 4 * 1024 * 1024,
};

/* It is trusted and holds thousands of objects: limits only keep a mistake from taking the machine. */
static const struct profile simulator_profile = {
    .entry = "spec.simulator.app",
    .limits = {.memory_bytes = (size_t)2 * 1024 * 1024 * 1024, .cpu_soft_ms = 60 * 1000, .cpu_hard_ms = 120 * 1000},
    .max_states = 1,
    .simulator = true,
};

struct simulator {
    struct config config;
    struct host host;
    struct slot *slot;
    struct server *server;
};

static void handle(void *context, const struct request *request, struct response *response) {
    struct simulator *simulator = context;
    struct generation *generation = slot_acquire(simulator->slot);
    generation_serve(generation, request, response);
    generation_release(generation);
}

struct simulator *simulator_open(const char *directory, const char *listen, struct buffer *error) {
    struct simulator *simulator = calloc(1, sizeof *simulator);
    if (!simulator || !(simulator->slot = slot_new())) {
        buffer_text(error, "out of memory");
        free(simulator);
        return NULL;
    }
    simulator->host.config = &simulator->config;
    const struct bundle_source source = {"spec.simulator", directory};
    struct bundle *bundle = bundle_read(&source, 1, error);
    struct generation *generation =
        bundle ? generation_open(&simulator->host, bundle, &simulator_profile, error) : NULL;
    bundle_release(bundle);
    if (generation) {
        slot_publish(simulator->slot, generation);
        const struct server_options options = {.listen = listen,
                                               .threads = SIMULATOR_THREADS,
                                               .max_body_bytes = SIMULATOR_MAX_BODY_BYTES,
                                               .request_timeout_ms = SIMULATOR_TIMEOUT_MS,
                                               .streaming = true,
                                               .handle = handle,
                                               .context = simulator};
        simulator->server = server_start(&options, error);
    }
    if (simulator->server)
        return simulator;
    simulator_close(simulator);
    return NULL;
}

int simulator_port(const struct simulator *simulator) {
    return server_port(simulator->server);
}

void simulator_close(struct simulator *simulator) {
    if (!simulator)
        return;
    server_stop(simulator->server);
    slot_free(simulator->slot);
    free(simulator);
}

int command_simulate(const char *listen) {
    struct buffer error = {0};
    struct config config;
    if (!program_start(&config, lookup_environment, &error))
        return program_fail(&error);
    struct simulator *simulator = simulator_open(config.simulator_dir, listen, &error);
    if (simulator) {
        printf("simulator on http://127.0.0.1:%d\n", simulator_port(simulator));
        fflush(stdout);
        program_wait();
    }
    simulator_close(simulator);
    program_stop();
    return simulator ? 0 : program_fail(&error);
}
