#include "wire.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "eight.h"

enum { MOST_HEADERS = 63 }; /* civetweb drops what follows the 64th without a word */

static bool refuse(struct wire_refusal *refusal, int status, const char *error, const char *message) {
    *refusal = (struct wire_refusal){status, error, message};
    return false;
}

/* ---- The head's bytes ---- */

struct cursor {
    const char *at, *end;
};

static bool take(struct cursor *cursor, const char *text) {
    size_t length = strlen(text);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, text, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

static inline struct span take_while(struct cursor *cursor, bool (*wanted)(char)) {
    const char *from = cursor->at, *at = from;
    while (at < cursor->end && wanted(*at))
        at++;
    cursor->at = at;
    return (struct span){from, (size_t)(at - from)};
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* How many of the bytes, up to the first one that is not, are no control. */
static inline size_t plain_bytes(const char *data, size_t length) {
    size_t at = 0;
    for (; length - at >= 8; at += 8) {
        uint64_t eight = eight_load(data + at);
        uint64_t marks = (eight_below(eight, ' ') | eight_equal(eight, 0x7f)) & ~eight & EIGHT_HIGHS;
        if (marks)
            return at + eight_first(marks);
    }
    while (at < length && (unsigned char)data[at] >= ' ' && data[at] != 0x7f)
        at++;
    return at;
}

/* How many of them are visible ASCII; with literal, none that has a meaning of its own in a path's encoding. */
static inline size_t visible_bytes(const char *data, size_t length, bool literal) {
    size_t at = 0;
    for (; length - at >= 8; at += 8) {
        uint64_t eight = eight_load(data + at);
        uint64_t marks = eight | eight_below(eight, '!') | eight_equal(eight, 0x7f);
        if (literal)
            marks |= eight_equal(eight, '%') | eight_equal(eight, '#');
        if (marks & EIGHT_HIGHS)
            return at + eight_first(marks & EIGHT_HIGHS);
    }
    while (at < length && data[at] > ' ' && data[at] < 0x7f && !(literal && (data[at] == '%' || data[at] == '#')))
        at++;
    return at;
}

static struct span take_value(struct cursor *cursor) {
    const char *from = cursor->at;
    do
        cursor->at += plain_bytes(cursor->at, (size_t)(cursor->end - cursor->at));
    while (cursor->at < cursor->end && *cursor->at == '\t' && cursor->at++);
    return (struct span){from, (size_t)(cursor->at - from)};
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_named(struct span name, const char *wanted) {
    return name.length == strlen(wanted) && header_name_may_be(name.data, wanted) &&
           strncasecmp(name.data, wanted, name.length) == 0;
}

/* ---- Its lines ---- */

static bool read_request_line(struct cursor *cursor, struct wire_refusal *refusal) {
    /* Old clients leave a line end behind a body (RFC 9112 2.2). Of more, civetweb would make a request of its own. */
    take(cursor, "\r\n");
    if (!take_while(cursor, header_name_byte).length || !take(cursor, " "))
        return refuse(refusal, 400, "bad_request", "The request line is malformed.");
    bool path = cursor->at < cursor->end && *cursor->at == '/';
    size_t target = visible_bytes(cursor->at, (size_t)(cursor->end - cursor->at), false);
    cursor->at += target;
    if (!target || !take(cursor, " HTTP/1.") || !(take(cursor, "1\r\n") || take(cursor, "0\r\n")))
        return refuse(refusal, 400, "bad_request", "The request line is malformed.");
    return path || refuse(refusal, 400, "bad_request", "The request target must be a path.");
}

static bool read_host(struct span value) {
    if (!value.length)
        return false;
    for (size_t i = 0; i < value.length; i++)
        switch (value.data[i]) {
        case ' ':
        case '\t':
        case ',':
        case '/':
        case '@':
        case '?':
        case '#':
            return false;
        default:
            break;
        }
    return true;
}

static bool read_content_length(struct span value, uint64_t *out) {
    if (value.length == 0 || value.length > 18)
        return false;
    *out = 0;
    for (size_t i = 0; i < value.length; i++) {
        if (!is_digit(value.data[i]))
            return false;
        *out = *out * 10 + (uint64_t)(value.data[i] - '0');
    }
    return true;
}

struct framing {
    size_t hosts, lengths, encodings;
};

static bool read_header(struct cursor *cursor, struct wire_head *head, struct framing *framing,
                        struct wire_refusal *refusal) {
    struct span name = take_while(cursor, header_name_byte);
    bool named = name.length && take(cursor, ":");
    take_while(cursor, is_blank);
    struct span value = take_value(cursor);
    if (!named || !take(cursor, "\r\n"))
        return refuse(refusal, 400, "bad_request", "A header field is malformed.");
    if (++head->header_count > MOST_HEADERS)
        return refuse(refusal, 431, "bad_request", "The request has more than 63 header fields.");
    if (is_named(name, "Host")) {
        framing->hosts++;
        return read_host(value) || refuse(refusal, 400, "bad_request", "The Host header is malformed.");
    }
    if (is_named(name, "Content-Length")) {
        framing->lengths++;
        return read_content_length(value, &head->content_length) ||
               refuse(refusal, 400, "bad_request", "The Content-Length header is not a plain number.");
    }
    framing->encodings += is_named(name, "Transfer-Encoding");
    return true;
}

bool wire_check(struct span received, struct wire_head *head, struct wire_refusal *refusal) {
    struct cursor cursor = {received.data, received.data + received.length};
    struct framing framing = {0};
    *head = (struct wire_head){0};
    if (!read_request_line(&cursor, refusal))
        return false;
    while (!take(&cursor, "\r\n"))
        if (!read_header(&cursor, head, &framing, refusal))
            return false;
    head->length = (size_t)(cursor.at - received.data);
    if (framing.hosts != 1)
        return refuse(refusal, 400, "bad_request", "The request must have exactly one Host header.");
    if (framing.lengths > 1)
        return refuse(refusal, 400, "bad_request", "The request has more than one Content-Length header.");
    if (framing.encodings && framing.lengths)
        return refuse(refusal, 400, "bad_request", "The request has both Transfer-Encoding and Content-Length.");
    if (framing.encodings)
        return refuse(refusal, 411, "length_required", "Send the body with a Content-Length, not in chunks.");
    return true;
}

/* ---- How much there is of it ---- */

/* The value of the line's field when it has that name, else NULL. */
static const char *field_value(const char *line, size_t length, const char *name) {
    size_t name_length = strlen(name);
    if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length) != 0)
        return NULL;
    return line + name_length + 1;
}

static uint64_t leading_number(const char *text, const char *end) {
    uint64_t value = 0;
    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    for (; text < end && *text >= '0' && *text <= '9' && value < UINT32_MAX; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

enum wire_measured wire_measure(const char *data, size_t length, size_t *header, uint64_t *body) {
    uint64_t promised = 0;
    bool asked_for = false;
    /* As read_request_line has it: with anything else in front civetweb shall not even begin. */
    size_t line = length >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
    if (length > line && data[line] <= ' ' && !(length == 1 && data[0] == '\r'))
        return WIRE_BROKEN;
    for (size_t i = line; i < length; i++) {
        i += plain_bytes(data + i, length - i);
        if (i == length)
            break;
        unsigned char byte = (unsigned char)data[i];
        if (byte == 0x7f || (byte < ' ' && byte != '\r' && byte != '\n' && byte != '\t'))
            return WIRE_BROKEN;
        if (byte != '\n')
            continue;
        size_t text = i - line - (i > line && data[i - 1] == '\r');
        if (text == 0) {
            *header = i + 1;
            *body = asked_for ? 0 : promised;
            return WIRE_HEADER;
        }
        const char *value = field_value(data + line, text, "Content-Length");
        if (value)
            promised = leading_number(value, data + line + text);
        asked_for = asked_for || field_value(data + line, text, "Expect");
        line = i + 1;
    }
    return WIRE_PART;
}

/* ---- Parts of it ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool wire_decode_path(const char *target, char *out, size_t size) {
    const char *end = target + strlen(target);
    size_t length = 0;
    for (const char *c = target; c < end;) {
        size_t literal = visible_bytes(c, (size_t)(end - c), true);
        if (length + (literal ? literal : 1) >= size)
            return false;
        memcpy(out + length, c, literal);
        length += literal;
        c += literal;
        if (literal)
            continue;
        unsigned char byte = (unsigned char)*c++;
        if (byte == '%') {
            int high = hex_digit(c[0]);
            int low = high < 0 ? -1 : hex_digit(c[1]);
            if (low < 0)
                return false;
            byte = (unsigned char)(high * 16 + low);
            if (byte == '/')
                return false;
            c += 2;
        } else if (byte >= 0x80 || byte == '#') {
            return false;
        }
        if (byte < 0x20 || byte == 0x7f)
            return false;
        out[length++] = (char)byte;
    }
    out[length] = '\0';
    return true;
}

bool wire_has_option(const char *value, const char *option) {
    size_t length = strlen(option);
    while (*value) {
        value += strspn(value, ", \t");
        size_t item = strcspn(value, ", \t");
        if (item == length && strncasecmp(value, option, length) == 0)
            return true;
        value += item;
    }
    return false;
}

/* Fresh lower-case hex digits, of an even number up to 32; random enough to be unique, not a secret. */
static void random_hex(char *out, size_t digits) {
    static _Thread_local unsigned char pool[256]; /* as many as getrandom gives in one piece for sure */
    static _Thread_local size_t left;
    if (left < digits / 2) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
            memset(pool, 0, sizeof pool);
        left = sizeof pool;
    }
    static const char hex[] = "0123456789abcdef";
    left -= digits / 2;
    for (size_t i = 0; i < digits / 2; i++) {
        out[2 * i] = hex[pool[left + i] >> 4];
        out[2 * i + 1] = hex[pool[left + i] & 15];
    }
    out[digits] = '\0';
}

void wire_request_id(const char *given, char *out) {
    static const char others[] = "-_.:+=/~@";
    size_t length = given ? strlen(given) : 0;
    bool usable = length >= 1 && length <= REQUEST_ID_BYTES;
    for (size_t i = 0; usable && i < length; i++) {
        char c = given[i];
        usable = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(others, c);
    }
    if (usable)
        memcpy(out, given, length + 1);
    else
        random_hex(out, 32);
}

static bool lower_hex(const char *text, size_t digits) {
    for (size_t i = 0; i < digits; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return true;
}

/* W3C Trace Context: version "-" trace id "-" parent id "-" flags. */
void wire_traceparent(const char *given, char *out) {
    enum { TRACE = 3, PARENT = 36, FLAGS = 53, LENGTH = 55 };
    out[0] = '\0';
    size_t length = given ? strlen(given) : 0;
    if (length < LENGTH || given[2] != '-' || given[PARENT - 1] != '-' || given[FLAGS - 1] != '-')
        return;
    if (!lower_hex(given, 2) || !lower_hex(given + TRACE, 32) || !lower_hex(given + PARENT, 16) ||
        !lower_hex(given + FLAGS, 2))
        return;
    bool version_zero = strncmp(given, "00", 2) == 0;
    if (strncmp(given, "ff", 2) == 0 || (version_zero ? length != LENGTH : length > LENGTH && given[LENGTH] != '-'))
        return;
    if (strspn(given + TRACE, "0") >= 32 || strspn(given + PARENT, "0") >= 16)
        return;
    char span[17];
    random_hex(span, 16);
    snprintf(out, TRACEPARENT_BYTES, "00-%.32s-%s-%.2s", given + TRACE, span, given + FLAGS);
}

static bool printable(const char *text) {
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return false;
    return true;
}

/* As it came, several headers joined; nothing of it when it is longer than what has to be passed on. */
static void read_tracestate(const struct header *headers, size_t count, char *out) {
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
        const char *value = headers[i].value;
        if (!header_name_is(headers[i].name, "tracestate") || !value[0])
            continue;
        size_t size = strlen(value), comma = length > 0;
        if (length + comma + size >= TRACESTATE_BYTES || !printable(value)) {
            length = 0;
            break;
        }
        if (comma)
            out[length++] = ',';
        memcpy(out + length, value, size);
        length += size;
    }
    out[length] = '\0';
}

void wire_trace(const struct header *headers, size_t count, struct call_context *call) {
    const char *parent = NULL;
    call->traceparent[0] = call->tracestate[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!header_name_is(headers[i].name, "traceparent"))
            continue;
        if (parent)
            return;
        parent = headers[i].value;
    }
    wire_traceparent(parent, call->traceparent);
    if (call->traceparent[0])
        read_tracestate(headers, count, call->tracestate);
}
