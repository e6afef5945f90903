/* A connection's first bytes -> is it a request? A model of civetweb's lenient parser feeds wire_check; what passes
   must also be a request by the letter of RFC 9112, read from the untouched bytes. */
#include <ctype.h>
#include <strings.h>

#include "fuzz.h"
#include "wire.h"

enum { MOST_HEADERS = 64, MOST_BYTES = 16384 };

/* ---- What civetweb does ---- */

/* Length up to and with the blank line, 0 when there is none yet, -1 at a byte that it takes no further. */
static long head_length(const char *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c < 0x80 && c != '\r' && c != '\n' && !isprint(c))
            return -1;
        if (size - i > 1 && memcmp(data + i, "\n\n", 2) == 0)
            return (long)i + 2;
        if (size - i > 3 && memcmp(data + i, "\r\n\r\n", 4) == 0)
            return (long)i + 4;
    }
    return 0;
}

/* Cuts the word at *cursor and goes on to what follows its blanks. */
static char *cut_word(char **cursor, bool last) {
    char *word = *cursor, *end = word;
    while (isgraph((unsigned char)*end))
        end++;
    if (last ? *end != '\r' && *end != '\n' : *end != ' ')
        return NULL;
    do
        *end++ = '\0';
    while (isspace((unsigned char)*end));
    *cursor = end;
    return last || isgraph((unsigned char)*end) ? word : NULL;
}

/* 1: a header; 0: none, the end; -1: the request is refused. */
static int cut_header(char **cursor, struct header *header) {
    char *c = *cursor;
    while (*c > ' ' && *c < 0x7f && *c != ':')
        c++;
    if (c == *cursor)
        return 0;
    header->name = *cursor;
    while (*c == ' ')
        *c++ = '\0';
    if (*c != ':')
        return -1;
    *c++ = '\0';
    c += strspn(c, " \t");
    header->value = c;
    c += strcspn(c, "\r\n");
    if (*c == '\r') {
        *c++ = '\0';
        if (*c != '\n')
            return -1;
    }
    if (*c)
        *c++ = '\0';
    *cursor = c;
    return 1;
}

static bool known_method(const char *method) {
    static const char *const known[] = {"GET",   "POST",     "PUT",   "DELETE", "HEAD",   "OPTIONS",   "CONNECT",
                                        "PATCH", "PROPFIND", "MKCOL", "LOCK",   "UNLOCK", "PROPPATCH", "REPORT"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i], method) == 0)
            return true;
    return false;
}

struct parsed {
    const char *target;
    struct header *headers;
    size_t header_count;
    size_t body; /* where it would be read from */
};

/* Cuts the buffer. False when civetweb refuses by itself. */
static bool parse(char *buffer, size_t size, struct parsed *parsed) {
    long length = head_length(buffer, size);
    if (length <= 0)
        return false;
    parsed->body = (size_t)length;
    size_t skipped = 0;
    while (skipped < size && isspace((unsigned char)buffer[skipped]))
        skipped++;
    length = head_length(buffer + skipped, size - skipped);
    if (length <= 0 || iscntrl((unsigned char)buffer[skipped]))
        return false;
    char *cursor = buffer + skipped;
    cursor[length - 1] = '\0';
    char *method = cut_word(&cursor, false), *target = method ? cut_word(&cursor, false) : NULL,
         *version = target ? cut_word(&cursor, true) : NULL;
    if (!version || strncmp(version, "HTTP/", 5) != 0 || !known_method(method))
        return false;
    parsed->target = target;
    while (parsed->header_count < MOST_HEADERS) {
        int cut = cut_header(&cursor, &parsed->headers[parsed->header_count]);
        if (cut < 0)
            return false;
        parsed->header_count += (size_t)cut;
        if (!cut || *cursor == '\r' || *cursor == '\n' || !*cursor)
            break;
    }
    return strcmp(version, "HTTP/1.0") == 0 || strcmp(version, "HTTP/1.1") == 0;
}

/* What is let in to civetweb of a connection's bytes is one request: as wire_check reads it, and the same with every
   byte that comes. */
static void check_measure(const char *data, size_t size, const struct wire_head *head) {
    size_t header = 0, again = 0;
    uint64_t body = 0, body_again = 0;
    enum wire_measured measured = wire_measure(data, size, &header, &body);
    if (head) {
        expect(measured == WIRE_HEADER && header == head->length);
        expect(body == head->content_length || body == 0 || head->content_length > UINT32_MAX);
    }
    if (measured != WIRE_HEADER)
        return;
    expect(header <= size && wire_measure(data, header, &again, &body_again) == WIRE_HEADER);
    expect(again == header && body_again == body);
    expect(wire_measure(data, header - 1, &again, &body_again) == WIRE_PART);
}

/* Does the text that civetweb hands to scripts stand at that place of what was sent? */
static bool stands(const char *text, const char *buffer, const uint8_t *data) {
    return memcmp(data + (text - buffer), text, strlen(text)) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > MOST_BYTES)
        return 0;
    char *buffer = exact_copy(data, size), *untouched = exact_copy(data, size);
    struct header headers[MOST_HEADERS];
    struct parsed parsed = {.headers = headers};
    struct wire_head head;
    struct wire_refusal refusal = {0};
    bool taken = wire_check((struct span){untouched, size}, &head, &refusal);
    check_measure(untouched, size, taken ? &head : NULL);
    if (!taken)
        expect(refusal.status >= 400 && refusal.status < 500 && refusal.error[0] && refusal.message[0]);
    if (taken && parse(buffer, size, &parsed)) {
        size_t hosts = 0;
        uint64_t length = 0;
        expect(head.length == parsed.body && head.header_count == parsed.header_count);
        expect(parsed.target[0] == '/');
        for (size_t i = 0; i < parsed.header_count; i++) {
            const struct header *header = &headers[i];
            expect(header_name_valid(header->name));
            expect(stands(header->name, buffer, data) && stands(header->value, buffer, data));
            hosts += strcasecmp(header->name, "Host") == 0;
            expect(strcasecmp(header->name, "Transfer-Encoding") != 0);
            if (strcasecmp(header->name, "Content-Length") == 0)
                length = strtoull(header->value, NULL, 10);
        }
        expect(hosts == 1 && head.content_length == length);
    }
    free(buffer);
    free(untouched);
    return 0;
}
