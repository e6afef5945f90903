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
    "  decide --policy NAME --given JSON [--policies DIR]\n"
    "                           decide once, JSON being the list of the rule's arguments; exit 0 yes, 1 no, 2 error\n"
    "  replay FILE [--policies DIR]\n"
    "                           decide a decision log again; exit 0 nothing changes, 1 something does, 2 error\n"
    "  simulate [ADDRESS:PORT]  the simulated Domino and Kubernetes alone (127.0.0.1:6002)\n"
    "  version                  the version\n"
    "  --help                   this text\n";

/* COMMAND_MISUSED also when the command is not known. */
static int run(int argc, char **argv) {
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
    if (strcmp(command, "decide") == 0)
        return command_decide(argc - 2, argv + 2);
    if (strcmp(command, "replay") == 0)
        return command_replay(argc - 2, argv + 2);
    if ((alone || argc == 3) && strcmp(command, "simulate") == 0)
        return command_simulate(alone ? "127.0.0.1:6002" : argv[2]);
    return COMMAND_MISUSED;
}

int main(int argc, char **argv) {
    const char *command = argc >= 2 ? argv[1] : "";
    if (argc == 2 && strcmp(command, "version") == 0) {
        puts("rayclusterscaler " PROJECT_VERSION);
        return 0;
    }
    if (argc == 2 && (strcmp(command, "--help") == 0 || strcmp(command, "help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    int status = run(argc, argv);
    if (status != COMMAND_MISUSED)
        return status;
    fprintf(stderr, "rayclusterscaler: %s\n\n%s",
            argc < 2 ? "a command is missing" : "this command is not known, or not with these arguments", usage);
    return 2;
}
