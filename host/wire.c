#include "wire.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static bool refuse(struct wire_refusal *refusal, int status, const char *error, const char *message) {
    *refusal = (struct wire_refusal){status, error, message};
    return false;
}

/* Were all bytes between the request line and the blank line taken into account? civetweb stops without a word at its
   64th header, at a folded line and at a name that begins with a byte above 126, and takes bare LF and blanks before
   the colon. What it has parsed it has cut with '\0', so every header must follow the one before it closely, and the
   blank line ("\r", its "\n" cut to '\0') the last one. */
static bool headers_complete(const struct wire_request *request) {
    const char *expected = request->version + strlen(request->version) + 2;
    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name, *value = request->headers[i].value;
        const char *colon = name + strlen(name);
        if (name != expected || (value > colon + 1 && colon[1] == '\0'))
            return false;
        const char *end = value + strlen(value);
        if (end[1] != '\0') /* bare LF */
            return false;
        expected = end + 2;
    }
    return expected[0] == '\r' && expected[1] == '\0';
}

/* civetweb skips blanks before the method, but a blank line among them is the end of the head when it looks for where
   the body begins: it would read the head again as the body, and the body as the next request. One line end is left
   over by old clients (RFC 9112 2.2) and does no harm. */
static bool begins_exactly(const struct wire_request *request) {
    const char *start = request->start;
    return start &&
           (request->method == start || (request->method == start + 2 && start[0] == '\r' && start[1] == '\n'));
}

static bool request_line_exact(const struct wire_request *request) {
    const char *target_end =
        request->query ? request->query + strlen(request->query) : request->target + strlen(request->target);
    return request->target == request->method + strlen(request->method) + 1 &&
           request->version == target_end + 1 + strlen("HTTP/");
}

static bool content_length_value(const char *text, uint64_t *out) {
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0')
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    *out = value;
    return true;
}

bool wire_check(const struct wire_request *request, uint64_t *content_length, struct wire_refusal *refusal) {
    size_t hosts = 0, lengths = 0, encodings = 0;
    *content_length = 0;
    if (request->header_count == 0)
        return refuse(refusal, 400, "bad_request", "The request has no Host header.");
    if (!begins_exactly(request))
        return refuse(refusal, 400, "bad_request", "Something stands before the request line.");
    if (!request_line_exact(request))
        return refuse(refusal, 400, "bad_request", "The request line is malformed.");
    if (!headers_complete(request)) {
        if (request->header_count >= 64)
            return refuse(refusal, 431, "bad_request", "The request has more than 63 header fields.");
        return refuse(refusal, 400, "bad_request", "A header field is malformed.");
    }
    if (request->target[0] != '/')
        return refuse(refusal, 400, "bad_request", "The request target must be a path.");
    for (size_t i = 0; i < request->header_count; i++) {
        const struct header *header = &request->headers[i];
        if (!header_name_valid(header->name))
            return refuse(refusal, 400, "bad_request", "A header field's name is malformed.");
        if (strcasecmp(header->name, "Host") == 0) {
            hosts++;
            if (!header->value[0] || strpbrk(header->value, " \t,/@?#"))
                return refuse(refusal, 400, "bad_request", "The Host header is malformed.");
        } else if (strcasecmp(header->name, "Transfer-Encoding") == 0) {
            encodings++;
        } else if (strcasecmp(header->name, "Content-Length") == 0) {
            lengths++;
            if (!content_length_value(header->value, content_length))
                return refuse(refusal, 400, "bad_request", "The Content-Length header is not a plain number.");
        }
    }
    if (hosts != 1)
        return refuse(refusal, 400, "bad_request", "The request must have exactly one Host header.");
    if (lengths > 1)
        return refuse(refusal, 400, "bad_request", "The request has more than one Content-Length header.");
    if (encodings && lengths)
        return refuse(refusal, 400, "bad_request", "The request has both Transfer-Encoding and Content-Length.");
    if (encodings)
        return refuse(refusal, 411, "length_required", "Send the body with a Content-Length, not in chunks.");
    return true;
}

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
    /* See begins_exactly: with anything else in front civetweb shall not even begin. */
    size_t line = length >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
    if (length > line && data[line] <= ' ' && !(length == 1 && data[0] == '\r'))
        return WIRE_BROKEN;
    for (size_t i = line; i < length; i++) {
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
    size_t length = 0;
    for (const char *c = target; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '%') {
            int high = hex_digit(c[1]);
            int low = high < 0 ? -1 : hex_digit(c[2]);
            if (low < 0)
                return false;
            byte = (unsigned char)(high * 16 + low);
            if (byte == '/')
                return false;
            c += 2;
        } else if (byte >= 0x80 || byte == '#') {
            return false;
        }
        if (byte < 0x20 || byte == 0x7f || length + 1 >= size)
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

/* Fresh lower-case hex digits; random enough to be unique, not a secret. */
static void random_hex(char *out, size_t digits) {
    static _Thread_local unsigned char pool[256];
    static _Thread_local size_t left;
    for (size_t i = 0; i < digits; i += 2) {
        if (left == 0) {
            if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool)
                memset(pool, 0, sizeof pool);
            left = sizeof pool;
        }
        static const char hex[] = "0123456789abcdef";
        unsigned char byte = pool[--left];
        out[i] = hex[byte >> 4];
        out[i + 1] = hex[byte & 15];
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
        if (strcasecmp(headers[i].name, "tracestate") != 0 || !value[0])
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
        if (strcasecmp(headers[i].name, "traceparent") != 0)
            continue;
        if (parent)
            return;
        parent = headers[i].value;
    }
    wire_traceparent(parent, call->traceparent);
    if (call->traceparent[0])
        read_tracestate(headers, count, call->tracestate);
}
