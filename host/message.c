#include "message.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *request_header(const struct request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++)
        if (header_name_is(request->headers[i].name, name))
            return request->headers[i].value;
    return NULL;
}

int64_t call_time(struct call_context *call) {
    if (!call->utc_seconds)
        call->utc_seconds = (int64_t)time(NULL);
    return call->utc_seconds;
}

const bool header_name_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0'] = 1,  ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1,
    ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1, ['A'] = 1,  ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,
    ['F'] = 1, ['G'] = 1, ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1,  ['L'] = 1, ['M'] = 1, ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1, ['X'] = 1, ['Y'] = 1,
    ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1,  ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1,
    ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1,  ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,
    ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1,  ['z'] = 1,
};

bool header_name_valid(const char *text) {
    if (!*text)
        return false;
    for (const char *c = text; *c; c++)
        if (!header_name_byte(*c))
            return false;
    return true;
}

static bool is_field_value(const char *text) {
    for (const char *c = text; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

bool response_header(struct response *response, const char *name, const char *value) {
    if (!header_name_valid(name) || !is_field_value(value))
        return false;
    struct buffer *headers = &response->headers;
    size_t before = headers->length;
    buffer_text(headers, name);
    buffer_append(headers, ": ", 2);
    buffer_text(headers, value);
    buffer_append(headers, "\r\n", 2);
    if (headers->failed) { /* half a line would swallow the next one */
        headers->length = before;
        if (headers->data)
            headers->data[before] = '\0';
        response->failed = true;
    }
    return true;
}

bool response_has_header(const struct response *response, const char *name) {
    size_t length = strlen(name);
    const char *line = response->headers.length ? response->headers.data : "";
    while (*line) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return true;
        line = strstr(line, "\r\n") + 2;
    }
    return false;
}

void response_complete(struct response *response) {
    if (response->complete)
        return;
    if (!response_has_header(response, "Content-Type") && response->status != 304 && response->status != 204)
        response_header(response, "Content-Type", "application/json");
    if (!response_has_header(response, "Cache-Control"))
        response_header(response, "Cache-Control", "no-store");
    response->complete = true;
}

void response_piece(struct response *response, struct bytes *owner, struct span span) {
    if (response->piece_count == response->piece_capacity) {
        size_t capacity = response->piece_capacity ? response->piece_capacity * 2 : 8;
        struct piece *pieces = realloc(response->pieces, capacity * sizeof *pieces);
        if (!pieces) {
            response->failed = true;
            bytes_release(owner);
            return;
        }
        response->pieces = pieces;
        response->piece_capacity = capacity;
    }
    response->pieces[response->piece_count++] = (struct piece){owner, span};
    response->body_length += span.length;
}

void response_problem(struct response *response, int status, const char *error, const char *message,
                      const char *request_id) {
    response_clear(response);
    response->status = status;
    strncpy(response->error, error, sizeof response->error - 1);
    response_header(response, "Content-Type", "application/problem+json");

    struct buffer body = {0};
    buffer_format(&body, "{\"type\":\"urn:rayclusterscaler:problem:%s\",\"title\":", error);
    buffer_json_string(&body, status_phrase(status), strlen(status_phrase(status)));
    buffer_format(&body, ",\"status\":%d,\"detail\":", status);
    buffer_json_string(&body, message, strlen(message));
    buffer_format(&body, ",\"error\":\"%s\",\"message\":", error);
    buffer_json_string(&body, message, strlen(message));
    buffer_text(&body, ",\"requestId\":");
    buffer_json_string(&body, request_id, strlen(request_id));
    buffer_text(&body, "}");
    struct bytes *bytes = body.failed ? NULL : bytes_copy(body.data, body.length);
    buffer_free(&body);
    if (bytes)
        response_piece(response, bytes, (struct span){bytes->data, bytes->length});
    else
        response->failed = true;
}

/* What one answer holds, so that a thread can build its next one in the same memory. */
void response_clear(struct response *response) {
    for (size_t i = 0; i < response->piece_count; i++)
        bytes_release(response->pieces[i].owner);
    if (response->stream_free)
        response->stream_free(response->stream_context);
    struct response empty = {
        .headers = response->headers, .pieces = response->pieces, .piece_capacity = response->piece_capacity};
    buffer_clear(&empty.headers);
    *response = empty;
}

void response_free(struct response *response) {
    response_clear(response);
    buffer_free(&response->headers);
    free(response->pieces);
    *response = (struct response){0};
}

const char *status_phrase(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Entity";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Unknown";
    }
}
