/* `replay`: decides the decisions of a log again, with other rules. The log is whatever bytes are in the file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "offline.h"
#include "program.h"

enum {
    MAX_LINE_BYTES = 1024 * 1024, /* four times what the decision log writes */
    MAX_EXAMPLES = 5,             /* shown of a category */
};

enum category { BAD, OTHER, SAME, REASON, WIDENS, NARROWS, ERRORS, PLAN, CATEGORIES };

static const struct {
    const char *name;  /* as host/decide.lua says it */
    const char *title; /* of what is shown with examples; NULL: not shown */
} categories[CATEGORIES] = {
    [BAD] = {"bad", "bad lines"},          [OTHER] = {"other", NULL},         [SAME] = {"same", NULL},
    [REASON] = {"reason", "other reason"}, [WIDENS] = {"widens", "widens"},   [NARROWS] = {"narrows", "narrows"},
    [ERRORS] = {"errors", "errors"},       [PLAN] = {"plan", "plan differs"},
};

struct tally {
    unsigned long lines;
    unsigned long counts[CATEGORIES];
    char *examples[CATEGORIES][MAX_EXAMPLES];
};

static void count(struct tally *tally, enum category category, const char *description) {
    unsigned long seen = tally->counts[category]++;
    if (!categories[category].title || seen >= MAX_EXAMPLES)
        return;
    struct buffer text = {0};
    buffer_format(&text, "  line %lu: %s", tally->lines, description);
    tally->examples[category][seen] = text.data;
}

static enum category category_of(const struct buffer *name) {
    for (int i = 0; i < CATEGORIES; i++)
        if (name->length && strcmp(categories[i].name, name->data) == 0)
            return (enum category)i;
    return BAD;
}

static void judge(struct offline *offline, struct tally *tally, const char *line, size_t length) {
    struct buffer kind = {0}, text = {0};
    const struct span argument = {line, length};
    if (!offline_call(offline, "read", &argument, 1, &kind, &text)) {
        count(tally, BAD, text.length ? text.data : "out of memory");
    } else if (strcmp(kind.data, "decision") != 0) {
        count(tally, category_of(&kind), text.length ? text.data : "");
    } else {
        buffer_clear(&kind);
        buffer_clear(&text);
        bool judged = offline_call(offline, "judge", NULL, 0, &kind, &text);
        count(tally, judged ? category_of(&kind) : ERRORS, text.length ? text.data : "");
    }
    buffer_free(&kind);
    buffer_free(&text);
}

static void judge_line(struct offline *offline, struct tally *tally, const char *line, size_t length) {
    tally->lines++;
    if (length > MAX_LINE_BYTES)
        count(tally, BAD, "is longer than 1 MiB");
    else if (length == 0)
        count(tally, OTHER, "");
    else
        judge(offline, tally, line, length);
}

/* Of a longer line no more than a byte too many is kept. False when reading fails. */
static bool judge_lines(struct offline *offline, struct tally *tally, FILE *file, char *line) {
    size_t length = 0;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        if (c == '\n') {
            judge_line(offline, tally, line, length);
            length = 0;
        } else if (length <= MAX_LINE_BYTES) {
            line[length++] = (char)c;
        }
    }
    if (length)
        judge_line(offline, tally, line, length);
    return !ferror(file);
}

static unsigned long changes(const struct tally *tally) {
    return tally->counts[WIDENS] + tally->counts[NARROWS] + tally->counts[ERRORS] + tally->counts[PLAN];
}

static unsigned long decisions(const struct tally *tally) {
    return tally->counts[SAME] + tally->counts[REASON] + changes(tally);
}

static void print(const struct tally *tally) {
    printf("%lu decisions in %lu lines, %lu bad ones\n%lu would be the same\n", decisions(tally), tally->lines,
           tally->counts[BAD], tally->counts[SAME] + tally->counts[REASON]);
    for (int i = 0; i < CATEGORIES; i++) {
        if (!categories[i].title || tally->counts[i] == 0)
            continue;
        printf("%s: %lu\n", categories[i].title, tally->counts[i]);
        for (int example = 0; example < MAX_EXAMPLES; example++)
            if (tally->examples[i][example])
                puts(tally->examples[i][example]);
    }
}

static void free_examples(struct tally *tally) {
    for (int i = 0; i < CATEGORIES; i++)
        for (int example = 0; example < MAX_EXAMPLES; example++)
            free(tally->examples[i][example]);
}

static int replay(struct offline *offline, FILE *file) {
    struct tally tally = {0};
    char *line = malloc(MAX_LINE_BYTES + 1);
    bool complete = line && judge_lines(offline, &tally, file, line);
    free(line);
    if (!complete)
        fprintf(stderr, "rayclusterscaler: cannot read on: %s\n", strerror(errno));
    print(&tally);
    free_examples(&tally);
    if (!complete || decisions(&tally) == 0)
        return 2;
    return changes(&tally) ? 1 : 0;
}

int command_replay(int argc, char **argv) {
    const char *path = NULL, *policies = NULL;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--policies") == 0 && !policies && i + 1 < argc)
            policies = argv[++i];
        else if (!path && (argv[i][0] != '-' || !argv[i][1]))
            path = argv[i];
        else
            return COMMAND_MISUSED;
    }
    if (!path)
        return COMMAND_MISUSED;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file) {
        fprintf(stderr, "rayclusterscaler: %s: %s\n", path, strerror(errno));
        return 2;
    }
    struct buffer error = {0};
    struct offline *offline = offline_open(policies, &error);
    int status = 2;
    if (offline)
        status = replay(offline, file);
    else
        program_fail(&error);
    offline_close(offline);
    if (file != stdin)
        fclose(file);
    return status;
}
