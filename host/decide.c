/* `decide`: one decision, and the line that made it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "offline.h"
#include "program.h"

static struct span span_of(const char *text) {
    return (struct span){text, strlen(text)};
}

static int decide(struct offline *offline, const char *policy, const char *given) {
    struct buffer status = {0}, output = {0};
    const struct span arguments[] = {span_of(policy), span_of(given)};
    bool done = offline_call(offline, "decide", arguments, 2, &status, &output);
    if (done)
        fputs(output.length ? output.data : "out of memory\n", stdout);
    else
        printf("verdict: error\nreason: %s\n", output.length ? output.data : "out of memory");
    int exit_status = done && status.length ? atoi(status.data) : 2;
    buffer_free(&status);
    buffer_free(&output);
    return exit_status;
}

int command_decide(int argc, char **argv) {
    const char *policy = NULL, *given = NULL, *policies = NULL;
    for (int i = 0; i < argc; i += 2) {
        const char **option = strcmp(argv[i], "--policy") == 0     ? &policy
                              : strcmp(argv[i], "--given") == 0    ? &given
                              : strcmp(argv[i], "--policies") == 0 ? &policies
                                                                   : NULL;
        if (!option || i + 1 == argc)
            return COMMAND_MISUSED;
        *option = argv[i + 1];
    }
    if (!policy || !given)
        return COMMAND_MISUSED;
    struct buffer error = {0};
    struct offline *offline = offline_open(policies, &error);
    if (!offline) {
        program_fail(&error);
        return 2;
    }
    int status = decide(offline, policy, given);
    offline_close(offline);
    return status;
}
