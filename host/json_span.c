/* Looks into valid text. */
#include "json_span.h"

#include <string.h>

#include "json_text.h"
#include "utf8.h"

static size_t past_space(struct span text, size_t at) {
    while (at < text.length && json_is_space((unsigned char)text.data[at]))
        at++;
    return at;
}

/* Behind the closing quote; text.length when there is none. */
static size_t past_string(struct span text, size_t at) {
    for (at++; at < text.length; at++) {
        at = json_past_plain((const unsigned char *)text.data, text.length, at);
        if (at < text.length && text.data[at] == '"')
            return at + 1;
        if (at < text.length && text.data[at] == '\\')
            at++;
    }
    return text.length;
}

static size_t past_value(struct span text, size_t at) {
    size_t depth = 0;
    while (at < text.length) {
        switch (text.data[at]) {
        case '"':
            at = past_string(text, at);
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return at;
            depth--;
            at++;
            break;
        case ',':
        case ':':
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            if (depth == 0)
                return at;
            at++;
            continue;
        default: /* inside of a number or a word */
            at++;
            if (depth == 0)
                continue;
            break;
        }
        if (depth == 0)
            return at;
    }
    return text.length;
}

enum json_type json_type(struct span value) {
    size_t at = past_space(value, 0);
    if (at == value.length)
        return JSON_NONE;
    switch (value.data[at]) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return value.data[at] == '-' || json_is_digit((unsigned char)value.data[at]) ? JSON_NUMBER : JSON_NONE;
    }
}

bool json_next(struct span container, size_t *cursor, struct span *key, struct span *value) {
    size_t at = past_space(container, *cursor);
    enum json_type type = json_type(container);
    if (at == container.length || (type != JSON_OBJECT && type != JSON_ARRAY))
        return false;
    /* The opening bracket at first, then a comma or the closing bracket. */
    if (*cursor != 0 && container.data[at] != ',')
        return false;
    at = past_space(container, at + 1);
    *key = (struct span){0};
    if (type == JSON_OBJECT) {
        if (at == container.length || container.data[at] != '"')
            return false;
        size_t end = past_string(container, at);
        *key = (struct span){container.data + at, end - at};
        at = past_space(container, end);
        if (at == container.length || container.data[at] != ':')
            return false;
        at = past_space(container, at + 1);
    }
    size_t end = past_value(container, at);
    if (end == at)
        return false;
    *value = (struct span){container.data + at, end - at};
    *cursor = end;
    return true;
}

/* key is raw, with quotes. */
static bool key_matches(struct span key, const char *name, size_t length) {
    if (!memchr(key.data, '\\', key.length))
        return key.length == length + 2 && memcmp(key.data + 1, name, length) == 0;
    char unescaped[512];
    return json_string(key, unescaped, sizeof unescaped) == length && length < sizeof unescaped &&
           memcmp(unescaped, name, length) == 0;
}

struct span json_member(struct span object, const char *name) {
    struct span key, value;
    size_t cursor = 0, length = strlen(name);
    if (json_type(object) != JSON_OBJECT)
        return (struct span){0};
    while (json_next(object, &cursor, &key, &value))
        if (key_matches(key, name, length))
            return value;
    return (struct span){0};
}

struct span json_path(struct span object, const char *const *keys) {
    for (; *keys && object.length; keys++)
        object = json_member(object, *keys);
    return object;
}

size_t json_string(struct span value, char *out, size_t size) {
    size_t at = past_space(value, 0);
    if (at == value.length || value.data[at] != '"')
        return SIZE_MAX;
    const unsigned char *data = (const unsigned char *)value.data;
    size_t needed = 0;
    for (at++; at < value.length && data[at] != '"';) {
        char encoded[4];
        size_t taken = 1, made = 1;
        encoded[0] = (char)data[at];
        if (data[at] == '\\') {
            long character = json_escape(data + at, value.length - at, &taken);
            made = utf8_encode(character < 0 ? UTF8_REPLACEMENT : character, encoded);
        }
        for (size_t i = 0; i < made; i++, needed++)
            if (needed + 1 < size)
                out[needed] = encoded[i];
        at += taken;
    }
    if (size)
        out[needed < size ? needed : size - 1] = '\0';
    return needed;
}

bool json_integer(struct span value, int64_t *out) {
    size_t at = past_space(value, 0);
    bool negative = at < value.length && value.data[at] == '-';
    if (negative)
        at++;
    size_t first = at;
    uint64_t magnitude = 0, limit = (uint64_t)INT64_MAX + negative;
    for (; at < value.length && json_is_digit((unsigned char)value.data[at]); at++) {
        uint64_t digit = (uint64_t)(value.data[at] - '0');
        if (magnitude > (limit - digit) / 10)
            return false;
        magnitude = magnitude * 10 + digit;
    }
    if (at == first || past_space(value, at) != value.length)
        return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}
