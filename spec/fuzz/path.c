/* A target's path -> what scripts see. Every byte of the result is a plain one or was escaped, and encoding it again
   says the same path. */
#include "fuzz.h"
#include "wire.h"

static void encode(const char *path, struct buffer *out) {
    for (const char *c = path; *c; c++)
        buffer_format(out, *c == '/' ? "/" : "%%%02x", (unsigned char)*c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *target = string_copy(data, size);
    size_t room = strlen(target) + 1;
    char *path = malloc(room), *again = malloc(room), *tight = malloc(room);
    struct buffer encoded = {0};
    expect(path && again && tight);
    buffer_text(&encoded, "");
    if (wire_decode_path(target, path, room)) {
        size_t length = strlen(path), slashes = 0, slashes_sent = 0;
        for (const char *c = path; *c; c++) {
            expect((unsigned char)*c >= 0x20 && *c != 0x7f);
            slashes += *c == '/';
        }
        for (const char *c = target; *c; c++)
            slashes_sent += *c == '/';
        expect(slashes == slashes_sent);
        encode(path, &encoded);
        expect(wire_decode_path(encoded.data, again, room));
        expect(strcmp(path, again) == 0);
        /* A buffer that just holds it does; a smaller one never overflows. */
        expect(wire_decode_path(target, tight, length + 1) && strcmp(tight, path) == 0);
        expect(length == 0 || !wire_decode_path(target, tight, length));
    }
    buffer_free(&encoded);
    free(path);
    free(again);
    free(tight);
    free(target);
    return 0;
}
