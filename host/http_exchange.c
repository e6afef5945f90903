#include "http_exchange.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *http_failure_code(enum http_failure failure) {
    switch (failure) {
    case HTTP_OK:
        return "ok";
    case HTTP_TIMEOUT:
        return "timeout";
    case HTTP_CONNECT:
        return "connect";
    case HTTP_TLS:
        return "tls";
    case HTTP_PROTOCOL:
        return "protocol";
    case HTTP_TOO_LARGE:
        return "too_large";
    case HTTP_CANCELLED:
        return "cancelled";
    case HTTP_MEMORY:
        return "memory";
    }
    return "protocol";
}

/* RFC 9110 token. */
static bool is_token(const char *text) {
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    return *text != '\0';
}

const char *http_method_flaw(const char *method) {
    if (!is_token(method))
        return "the method is no token";
    /* They would turn the connection into something that is no request and answer. */
    return strcasecmp(method, "CONNECT") == 0 || strcasecmp(method, "TRACE") == 0 ? "the method is not allowed" : NULL;
}

const char *http_header_flaw(const struct header *header) {
    /* The client frames messages and manages connections; a second opinion smuggles requests. */
    static const char *const framing[] = {
        "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer", "Expect"};
    if (!is_token(header->name))
        return "a header's name is no token";
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++)
        if (strcasecmp(header->name, framing[i]) == 0)
            return "a header about framing or the connection was given";
    for (const unsigned char *c = (const unsigned char *)header->value; *c; c++)
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
            return "a header's value holds control bytes";
    return NULL;
}

void http_exchange_fail(struct http_exchange *exchange, enum http_failure failure, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(exchange->message, sizeof exchange->message, format, arguments);
    va_end(arguments);
    for (char *c = exchange->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    exchange->failure = failure;
    bytes_release(exchange->body_bytes);
    exchange->body_bytes = NULL;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

void http_exchange_header_line(struct http_exchange *exchange, const char *line, size_t length) {
    struct buffer *lines = &exchange->header_lines;
    const char *colon = memchr(line, ':', length);
    bool folded = length && is_blank(line[0]) && lines->length; /* a continuation, obsolete but not gone */
    if (!folded && !colon)
        return;
    const char *value = folded ? line : colon + 1;
    const char *end = line + length;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    if (folded) {
        lines->data[lines->length - 1] = ' ';
    } else {
        size_t name = lines->length;
        buffer_append(lines, line, (size_t)(colon - line));
        for (; !lines->failed && name < lines->length; name++)
            lines->data[name] = (char)tolower((unsigned char)lines->data[name]);
        buffer_append(lines, ": ", 2);
    }
    buffer_append(lines, value, (size_t)(end - value));
    buffer_append(lines, "\n", 1);
}

bool http_response_header(const struct http_exchange *exchange, const char *name, char *out, size_t size) {
    size_t name_length = strlen(name);
    const char *line = exchange->header_lines.data;
    while (line && *line) {
        const char *end = strchr(line, '\n');
        if (!end)
            return false;
        if (strncasecmp(line, name, name_length) == 0 && line[name_length] == ':') {
            const char *value = line + name_length + 2;
            size_t length = (size_t)(end - value);
            if (length >= size)
                return false;
            memcpy(out, value, length);
            out[length] = '\0';
            return true;
        }
        line = end + 1;
    }
    return false;
}

void http_exchange_free(struct http_exchange *exchange) {
    bytes_release(exchange->body_bytes);
    buffer_free(&exchange->header_lines);
    exchange->body_bytes = NULL;
    exchange->failure = HTTP_OK;
    exchange->message[0] = '\0';
    exchange->status = 0;
    exchange->sent = false;
}
