/* Lines of a decision log through what replay does with each, with the rules of this repository. To be run in its
   root. */
#include "fuzz.h"
#include "offline.h"

static const char *const kinds[] = {"decision", "other", "bad", NULL};
static const char *const categories[] = {"same", "reason", "widens", "narrows", "errors", "plan", NULL};

static bool listed(const struct buffer *text, const char *const *names) {
    for (; *names; names++)
        if (text->length == strlen(*names) && memcmp(text->data, *names, text->length) == 0)
            return true;
    return false;
}

static bool printable(const struct buffer *text) {
    for (size_t i = 0; i < text->length; i++)
        if (text->data[i] < ' ' || text->data[i] > '~')
            return false;
    return true;
}

static void judge(struct offline *offline, const char *data, size_t length) {
    struct buffer first = {0}, second = {0};
    char *copy = exact_copy(data, length);
    const struct span line = {copy, length};
    bool done = offline_call(offline, "read", &line, 1, &first, &second);
    expect(!done || listed(&first, kinds));
    if (done && strcmp(first.data, "decision") == 0) {
        buffer_clear(&first);
        buffer_clear(&second);
        done = offline_call(offline, "judge", NULL, 0, &first, &second);
        expect(!done || listed(&first, categories));
    }
    expect(printable(&second)); /* it goes to a terminal */
    buffer_free(&first);
    buffer_free(&second);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct offline *offline;
    const char *text = (const char *)data;
    if (!offline) {
        struct buffer error = {0};
        offline = offline_open(NULL, &error);
        if (!offline) {
            fprintf(stderr, "%s\n", error.data);
            abort();
        }
    }
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        judge(offline, text + at, length);
        at += length + 1;
    }
    return 0;
}
