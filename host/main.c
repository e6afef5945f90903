#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const char usage[] =
    "usage: rayclusterscaler COMMAND\n"
    "\n"
    "  serve                    the service, configured by the environment (see README.md)\n"
    "  demo                     the service with a simulated Domino and Kubernetes, all on loopback\n"
    "  check                    load scripts and policies, run every policy's examples; exit 1 when something is "
    "wrong\n"
    "  routes                   the route table with action and file\n"
    "  simulate [ADDRESS:PORT]  the simulated Domino and Kubernetes alone (127.0.0.1:6002)\n"
    "  version                  the version\n"
    "  --help                   this text\n";

int main(int argc, char **argv) {
    const char *command = argc >= 2 ? argv[1] : "";
    bool alone = argc == 2;
    if (alone && strcmp(command, "serve") == 0)
        return command_serve();
    if (alone && strcmp(command, "demo") == 0)
        return command_demo();
    if (alone && strcmp(command, "check") == 0)
        return command_check();
    if (alone && strcmp(command, "routes") == 0)
        return command_routes();
    if ((alone || argc == 3) && strcmp(command, "simulate") == 0)
        return command_simulate(alone ? "127.0.0.1:6002" : argv[2]);
    if (alone && strcmp(command, "version") == 0) {
        puts("rayclusterscaler " PROJECT_VERSION);
        return 0;
    }
    if (alone && (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    fprintf(stderr, "rayclusterscaler: %s\n\n%s", argc < 2 ? "a command is missing" : "this command is not known",
            usage);
    return 2;
}
