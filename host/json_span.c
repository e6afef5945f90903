#include "json_span.h"

#include <stdbool.h>
#include <string.h>

#include "utf8.h"

enum { UNIQUE_MEMBERS = 64 }; /* per open object, members whose keys are remembered for comparison */

static bool is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

static int hex_digit(unsigned char c) {
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind \u, -1 when they are not there. */
static long hex_unit(const unsigned char *data, size_t length) {
    if (length < 4)
        return -1;
    long unit = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(data[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* The character that the escape at data (a backslash) stands for; *size is how much text it takes. -1 when it is
   none, and for halves of surrogate pairs. */
static long escape(const unsigned char *data, size_t length, size_t *size) {
    *size = 2;
    if (length < 2)
        return -1;
    switch (data[1]) {
    case '"':
    case '\\':
    case '/':
        return data[1];
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'u':
        break;
    default:
        return -1;
    }
    long unit = hex_unit(data + 2, length - 2);
    *size = 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return unit;
    if (unit > 0xdbff || length < 12 || data[6] != '\\' || data[7] != 'u')
        return -1;
    long low = hex_unit(data + 8, length - 8);
    if (low < 0xdc00 || low > 0xdfff)
        return -1;
    *size = 12;
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* ---- Validation ---- */

struct reader {
    const unsigned char *data;
    size_t length;
    size_t at;
    const char *message;
};

static bool refuse(struct reader *reader, const char *message) {
    reader->message = message;
    return false;
}

static void skip_space(struct reader *reader) {
    while (reader->at < reader->length && is_space(reader->data[reader->at]))
        reader->at++;
}

/* The next byte, 0 at the end (a NUL in the text is as wrong as the end everywhere this is used). */
static unsigned char peek(const struct reader *reader) {
    return reader->at < reader->length ? reader->data[reader->at] : 0;
}

/* Bytes of a string that need no look: not the quote, not the backslash, no control, ASCII. */
static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static bool read_string(struct reader *reader) {
    const unsigned char *data = reader->data;
    size_t length = reader->length, at = reader->at + 1, size;
    for (;;) {
        while (at < length && is_plain(data[at]))
            at++;
        reader->at = at;
        if (at == length)
            return refuse(reader, "the text ends inside a string");
        unsigned char c = data[at];
        if (c == '"') {
            reader->at = at + 1;
            return true;
        }
        if (c < 0x20)
            return refuse(reader, "a control character inside a string");
        if (c == '\\') {
            if (escape(data + at, length - at, &size) < 0)
                return refuse(reader, "not an escape of JSON");
        } else {
            size = utf8_sequence(data + at, length - at);
            if (!size)
                return refuse(reader, "not UTF-8");
        }
        at += size;
    }
}

static bool read_digits(struct reader *reader) {
    if (!is_digit(peek(reader)))
        return refuse(reader, "expected a digit");
    while (is_digit(peek(reader)))
        reader->at++;
    return true;
}

static bool read_number(struct reader *reader) {
    if (peek(reader) == '-')
        reader->at++;
    if (peek(reader) == '0')
        reader->at++;
    else if (!read_digits(reader))
        return false;
    if (peek(reader) == '.') {
        reader->at++;
        if (!read_digits(reader))
            return false;
    }
    if ((peek(reader) | 0x20) == 'e') {
        reader->at++;
        if (peek(reader) == '+' || peek(reader) == '-')
            reader->at++;
        return read_digits(reader);
    }
    return true;
}

static bool read_word(struct reader *reader, const char *word) {
    size_t size = strlen(word);
    if (reader->length - reader->at < size || memcmp(reader->data + reader->at, word, size) != 0)
        return refuse(reader, "expected a value");
    reader->at += size;
    return true;
}

static bool read_scalar(struct reader *reader) {
    switch (peek(reader)) {
    case '"':
        return read_string(reader);
    case 't':
        return read_word(reader, "true");
    case 'f':
        return read_word(reader, "false");
    case 'n':
        return read_word(reader, "null");
    default:
        if (peek(reader) == '-' || is_digit(peek(reader)))
            return read_number(reader);
        return refuse(reader, reader->at == reader->length ? "the text ends early" : "expected a value");
    }
}

/* Both at an opening quote of a valid string. */
static bool same_string(const unsigned char *a, size_t a_length, const unsigned char *b, size_t b_length) {
    size_t i = 1, j = 1, size;
    for (;;) {
        if (i >= a_length || j >= b_length)
            return false;
        if (a[i] == '"' || b[j] == '"')
            return a[i] == b[j];
        if (a[i] != '\\' && b[j] != '\\') {
            if (a[i++] != b[j++])
                return false;
            continue;
        }
        /* One side is escaped: compare characters. */
        long left, right;
        if (a[i] == '\\')
            left = escape(a + i, a_length - i, &size);
        else
            left = utf8_character(a + i, a_length - i, &size);
        i += size;
        if (b[j] == '\\')
            right = escape(b + j, b_length - j, &size);
        else
            right = utf8_character(b + j, b_length - j, &size);
        j += size;
        if (left != right || left < 0)
            return false;
    }
}

/* Offsets of the keys of every open object, one object's behind the other's. */
struct keys {
    uint32_t offsets[JSON_MAX_DEPTH * UNIQUE_MEMBERS];
    uint16_t begin[JSON_MAX_DEPTH + 1]; /* of each depth */
    uint16_t end;
};

static bool key_is_new(struct keys *keys, unsigned depth, const struct reader *reader, size_t offset) {
    for (unsigned i = keys->begin[depth]; i < keys->end; i++) {
        size_t other = keys->offsets[i];
        if (same_string(reader->data + other, reader->length - other, reader->data + offset, reader->length - offset))
            return false;
    }
    if (keys->end - keys->begin[depth] < UNIQUE_MEMBERS)
        keys->offsets[keys->end++] = (uint32_t)offset;
    return true;
}

/* A member up to the value: key and colon. */
static bool read_key(struct reader *reader, struct keys *keys, unsigned depth) {
    size_t offset = reader->at;
    if (peek(reader) != '"')
        return refuse(reader, "expected a key in quotes");
    if (!read_string(reader))
        return false;
    if (keys && !key_is_new(keys, depth, reader, offset)) {
        reader->at = offset;
        return refuse(reader, "a key stands twice in one object");
    }
    skip_space(reader);
    if (peek(reader) != ':')
        return refuse(reader, "expected ':'");
    reader->at++;
    skip_space(reader);
    return true;
}

static bool read_text(struct reader *reader, unsigned max_depth, struct keys *keys) {
    uint64_t objects = 0; /* bit d: the container open at depth d + 1 is an object */
    unsigned depth = 0;
    skip_space(reader);
    for (;;) {
        /* Here a value begins. */
        unsigned char c = peek(reader);
        if (c == '{' || c == '[') {
            if (depth == max_depth)
                return refuse(reader, "nested too deep");
            uint64_t bit = (uint64_t)1 << depth++;
            objects = c == '{' ? objects | bit : objects & ~bit;
            if (keys)
                keys->begin[depth] = keys->end;
            reader->at++;
            skip_space(reader);
            if (peek(reader) != (c == '{' ? '}' : ']')) {
                if (c == '{' && !read_key(reader, keys, depth))
                    return false;
                continue;
            }
        } else if (!read_scalar(reader)) {
            return false;
        }
        /* Here a value has ended, or an empty container is about to. */
        for (;;) {
            skip_space(reader);
            if (depth == 0)
                return reader->at == reader->length || refuse(reader, "expected the end of the text");
            bool object = objects >> (depth - 1) & 1;
            c = peek(reader);
            if (c == ',') {
                reader->at++;
                skip_space(reader);
                if (object && !read_key(reader, keys, depth))
                    return false;
                break;
            }
            if (c != (object ? '}' : ']'))
                return refuse(reader, object ? "expected ',' or '}'" : "expected ',' or ']'");
            reader->at++;
            if (keys)
                keys->end = keys->begin[depth];
            depth--;
        }
    }
}

bool json_valid(struct span text, unsigned max_depth, bool unique_keys, struct json_error *error) {
    struct reader reader = {.data = (const unsigned char *)text.data, .length = text.length};
    struct keys keys;
    bool valid;
    keys.end = 0;
    if (unique_keys && text.length > UINT32_MAX)
        valid = refuse(&reader, "the text is too long");
    else
        valid = read_text(&reader, max_depth < JSON_MAX_DEPTH ? max_depth : JSON_MAX_DEPTH, unique_keys ? &keys : NULL);
    if (!valid && error)
        *error = (struct json_error){reader.at, reader.message};
    return valid;
}

/* ---- Looking into valid text ---- */

static size_t past_space(struct span text, size_t at) {
    while (at < text.length && is_space((unsigned char)text.data[at]))
        at++;
    return at;
}

/* Behind the closing quote; text.length when there is none. */
static size_t past_string(struct span text, size_t at) {
    for (at++; at < text.length; at++) {
        if (text.data[at] == '"')
            return at + 1;
        if (text.data[at] == '\\')
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
        return value.data[at] == '-' || is_digit((unsigned char)value.data[at]) ? JSON_NUMBER : JSON_NONE;
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
            long character = escape(data + at, value.length - at, &taken);
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
    for (; at < value.length && is_digit((unsigned char)value.data[at]); at++) {
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
