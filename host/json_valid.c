/* Tells whether text is JSON, as a whole or step by step. */
#include <string.h>

#include "json_span.h"
#include "json_text.h"
#include "utf8.h"

enum { UNIQUE_MEMBERS = 64 }; /* per open object, members whose keys are remembered for comparison */

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

static inline void skip_space(struct reader *reader) {
    while (reader->at < reader->length && json_is_space(reader->data[reader->at]))
        reader->at++;
}

/* The next byte, 0 at the end (a NUL in the text is as wrong as the end everywhere this is used). */
static inline unsigned char peek(const struct reader *reader) {
    return reader->at < reader->length ? reader->data[reader->at] : 0;
}

static inline bool read_string(struct reader *reader) {
    const unsigned char *data = reader->data;
    size_t length = reader->length, at = reader->at + 1, size;
    for (;;) {
        at = json_past_plain(data, length, at);
        if (at < length && data[at] == '"') {
            reader->at = at + 1;
            return true;
        }
        reader->at = at;
        if (at == length)
            return refuse(reader, "the text ends inside a string");
        unsigned char c = data[at];
        if (c < 0x20)
            return refuse(reader, "a control character inside a string");
        if (c == '\\') {
            if (json_escape(data + at, length - at, &size) < 0)
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
    if (!json_is_digit(peek(reader)))
        return refuse(reader, "expected a digit");
    while (json_is_digit(peek(reader)))
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

static inline bool read_scalar(struct reader *reader) {
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
        if (peek(reader) == '-' || json_is_digit(peek(reader)))
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
            left = json_escape(a + i, a_length - i, &size);
        else
            left = utf8_character(a + i, a_length - i, &size);
        i += size;
        if (b[j] == '\\')
            right = json_escape(b + j, b_length - j, &size);
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
static inline bool read_key(struct reader *reader, struct keys *keys, unsigned depth) {
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

/* A value, and nothing behind it. */
static bool read_value(struct reader *reader, unsigned max_depth, struct keys *keys) {
    uint64_t objects = 0; /* bit d: the container open at depth d + 1 is an object */
    unsigned depth = 0;
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
            if (depth == 0)
                return true;
            skip_space(reader);
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

static bool read_text(struct reader *reader, unsigned max_depth, struct keys *keys) {
    skip_space(reader);
    if (!read_value(reader, max_depth, keys))
        return false;
    skip_space(reader);
    return reader->at == reader->length || refuse(reader, "expected the end of the text");
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

/* ---- Step by step ---- */

static struct reader reader_of(const struct json_walk *walk) {
    return (struct reader){.data = (const unsigned char *)walk->text.data, .length = walk->text.length, .at = walk->at};
}

static bool advance(struct json_walk *walk, const struct reader *reader, bool good) {
    walk->at = reader->at;
    walk->failed = walk->failed || !good;
    return good;
}

bool json_walk_enter(struct json_walk *walk, char open) {
    struct reader reader = reader_of(walk);
    skip_space(&reader);
    walk->first = peek(&reader) == (unsigned char)open;
    reader.at += walk->first;
    advance(walk, &reader, true);
    return walk->first;
}

bool json_walk_next(struct json_walk *walk, char close, struct span *key) {
    struct reader reader = reader_of(walk);
    bool first = walk->first, good = !walk->failed;
    *key = (struct span){0};
    walk->first = false;
    skip_space(&reader);
    if (good && peek(&reader) == (unsigned char)close) {
        reader.at++;
        advance(walk, &reader, true);
        return false;
    }
    if (good && !first && (good = peek(&reader) == ',')) {
        reader.at++;
        skip_space(&reader);
    }
    if (good && close == '}') {
        struct reader end = reader;
        good = peek(&end) == '"' && read_string(&end);
        *key = (struct span){walk->text.data + reader.at, end.at - reader.at};
        good = good && read_key(&reader, NULL, 0);
    }
    return advance(walk, &reader, good);
}

bool json_walk_value(struct json_walk *walk, unsigned max_depth, struct span *value) {
    struct reader reader = reader_of(walk);
    size_t begin = reader.at;
    bool good = !walk->failed && read_value(&reader, max_depth, NULL);
    *value = (struct span){walk->text.data + begin, reader.at - begin};
    return advance(walk, &reader, good);
}

bool json_walk_end(struct json_walk *walk) {
    struct reader reader = reader_of(walk);
    skip_space(&reader);
    return advance(walk, &reader, !walk->failed && reader.at == reader.length);
}
