/* JSON text, valid or not: walks stay inside, what is valid is valid in every part, and strings survive a round trip.
 */
#include "json_span.h"
#include "fuzz.h"
#include "utf8.h"

static void check_string(struct span value) {
    size_t length = json_string(value, NULL, 0);
    if (length == SIZE_MAX)
        return;
    char *text = malloc(length + 1), part[8];
    expect(text);
    expect(json_string(value, text, length + 1) == length && text[length] == '\0');
    expect(json_string(value, part, sizeof part) == length);
    size_t kept = length < sizeof part ? length : sizeof part - 1;
    expect(part[kept] == '\0' && memcmp(part, text, kept) == 0);
    free(text);
}

static void check_integer(struct span value) {
    int64_t number;
    char text[32];
    if (!json_integer(value, &number))
        return;
    snprintf(text, sizeof text, "%lld", (long long)number);
    int64_t again = 0;
    expect(json_integer((struct span){text, strlen(text)}, &again) && again == number);
}

/* Any text: nothing that is found lies outside. */
static void walk(struct span container, unsigned depth) {
    static const char *const keys[] = {"metadata", "labels", "a", NULL};
    struct span key, value;
    size_t cursor = 0, before = 0;
    json_type(container);
    check_string(container);
    check_integer(container);
    struct span member = json_path(container, keys);
    expect(!member.length || lies_inside(member, container));
    while (json_next(container, &cursor, &key, &value)) {
        expect(cursor > before && cursor <= container.length);
        before = cursor;
        expect(lies_inside(value, container) && value.length > 0);
        expect(!key.length || lies_inside(key, container));
        check_string(key.length ? key : value);
        if (depth < 4)
            walk(value, depth + 1);
    }
}

/* A string that is valid: made anew from what it says, it says the same. */
static void check_round_trip(struct span value) {
    size_t length = json_string(value, NULL, 0);
    char *text = malloc(length + 1), *again = malloc(length + 1);
    struct buffer written = {0};
    expect(text && again);
    expect(length + 2 <= value.length); /* others make room by that */
    json_string(value, text, length + 1);
    buffer_json_string(&written, text, length);
    struct span made = {written.data, written.length};
    expect(json_valid(made, 1, false, NULL));
    expect(json_string(made, again, length + 1) == length && memcmp(text, again, length) == 0);
    free(text);
    free(again);
    buffer_free(&written);
}

/* Valid text: every part is, and each key leads to the value of its first. */
static void check_valid(struct span container, unsigned depth) {
    struct span key, value;
    size_t cursor = 0, count = 0;
    expect(json_valid(container, JSON_MAX_DEPTH - depth, false, NULL));
    enum json_type type = json_type(container);
    expect(type != JSON_NONE);
    if (type == JSON_STRING)
        check_round_trip(container);
    while (json_next(container, &cursor, &key, &value)) {
        expect((type == JSON_OBJECT) == (key.length > 0));
        if (key.length) {
            expect(json_type(key) == JSON_STRING);
            check_round_trip(key);
            size_t length = json_string(key, NULL, 0);
            char *name = malloc(length + 1);
            expect(name);
            json_string(key, name, length + 1);
            if (length < 512 && strlen(name) == length) {
                struct span found = json_member(container, name);
                expect(found.length && found.data <= value.data);
            }
            free(name);
        }
        if (count++ < 32)
            check_valid(value, depth + 1);
    }
    expect(type == JSON_OBJECT || type == JSON_ARRAY || count == 0);
}

/* Bytes as a string of an answer or a log line. */
static void check_writer(struct span text) {
    struct buffer written = {0};
    buffer_json_string(&written, text.data, text.length);
    expect(json_valid((struct span){written.data, written.length}, 1, false, NULL));
    buffer_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 65536)
        return 0;
    char *copy = exact_copy(data, size);
    struct span text = {copy, size};
    struct json_error error = {SIZE_MAX, NULL};
    bool valid = json_valid(text, JSON_MAX_DEPTH, false, &error);
    walk(text, 0);
    check_writer(text);
    if (valid)
        check_valid(text, 0);
    else
        expect(error.offset <= size && error.message[0]);
    if (json_valid(text, JSON_MAX_DEPTH, true, NULL))
        expect(valid);
    if (json_valid(text, 3, false, NULL))
        expect(valid);
    free(copy);
    return 0;
}
