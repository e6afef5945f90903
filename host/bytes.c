#include "bytes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eight.h"
#include "utf8.h"

struct bytes *bytes_new(size_t length) {
    if (length > SIZE_MAX - sizeof(struct bytes) - 1)
        return NULL;
    struct bytes *bytes = malloc(sizeof *bytes + length + 1);
    if (!bytes)
        return NULL;
    atomic_init(&bytes->references, 1);
    bytes->length = length;
    bytes->data[length] = '\0';
    return bytes;
}

struct bytes *bytes_copy(const void *data, size_t length) {
    struct bytes *bytes = bytes_new(length);
    if (bytes && length)
        memcpy(bytes->data, data, length);
    return bytes;
}

struct bytes *bytes_resize(struct bytes *bytes, size_t length) {
    if (length > SIZE_MAX - sizeof(struct bytes) - 1)
        return NULL;
    struct bytes *resized = realloc(bytes, sizeof *bytes + length + 1);
    if (!resized)
        return NULL;
    resized->length = length;
    resized->data[length] = '\0';
    return resized;
}

struct bytes *bytes_reference(struct bytes *bytes) {
    atomic_fetch_add_explicit(&bytes->references, 1, memory_order_relaxed);
    return bytes;
}

void bytes_release(struct bytes *bytes) {
    if (bytes && atomic_fetch_sub_explicit(&bytes->references, 1, memory_order_acq_rel) == 1)
        free(bytes);
}

/* Room for more bytes and a '\0'. */
static bool buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->failed)
        return false;
    if (more >= SIZE_MAX / 2 - buffer->length) {
        buffer->failed = true;
        return false;
    }
    size_t needed = buffer->length + more + 1;
    if (needed <= buffer->capacity)
        return true;
    size_t capacity = buffer->capacity ? buffer->capacity : 512;
    while (capacity < needed)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data) {
        buffer->failed = true;
        return false;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length) {
    if (!buffer_reserve(buffer, length))
        return;
    if (length)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void buffer_decimal(struct buffer *buffer, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    buffer_append(buffer, digits + at, sizeof digits - at);
}

void buffer_format(struct buffer *buffer, const char *format, ...) {
    for (int attempt = 0; attempt < 2; attempt++) {
        size_t room = buffer->capacity > buffer->length ? buffer->capacity - buffer->length : 0;
        va_list arguments;
        va_start(arguments, format);
        int length = vsnprintf(room ? buffer->data + buffer->length : NULL, room, format, arguments);
        va_end(arguments);
        if (length < 0)
            return;
        if ((size_t)length < room) {
            buffer->length += (size_t)length;
            return;
        }
        if (!buffer_reserve(buffer, (size_t)length))
            return;
    }
}

/* The first byte from at on that may need an escape: nearly none do. */
static size_t past_plain(const char *data, size_t length, size_t at) {
    for (; length - at >= 8; at += 8) {
        uint64_t eight = eight_load(data + at);
        uint64_t marks = eight | eight_below(eight, ' ') | eight_equal(eight, '"') | eight_equal(eight, '\\') |
                         eight_equal(eight, 0x7f);
        if (marks & EIGHT_HIGHS)
            return at + eight_first(marks & EIGHT_HIGHS);
    }
    while (at < length && data[at] >= ' ' && data[at] < 0x7f && data[at] != '"' && data[at] != '\\')
        at++;
    return at;
}

void buffer_json_string(struct buffer *buffer, const char *data, size_t length) {
    static const char hex[] = "0123456789abcdef";
    const unsigned char *bytes = (const unsigned char *)data;
    buffer_append(buffer, "\"", 1);
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; (i = past_plain(data, length, i)) < length;) {
        unsigned char c = bytes[i];
        size_t size = c < 0x80 ? 0 : utf8_sequence(bytes + i, length - i);
        if (size) {
            i += size;
            continue;
        }
        buffer_append(buffer, data + plain, i - plain);
        if (c == '"' || c == '\\') {
            char escape[2] = {'\\', (char)c};
            buffer_append(buffer, escape, 2);
        } else if (c < 0x80) {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            buffer_append(buffer, escape, 6);
        } else {
            buffer_text(buffer, "\xef\xbf\xbd"); /* U+FFFD */
        }
        plain = ++i;
    }
    buffer_append(buffer, data + plain, length - plain);
    buffer_append(buffer, "\"", 1);
}

void buffer_clear(struct buffer *buffer) {
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->data)
        buffer->data[0] = '\0';
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
