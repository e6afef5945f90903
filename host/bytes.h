/* Byte strings: a refcounted immutable blob, and a growable buffer to make one. */
#ifndef HOST_BYTES_H
#define HOST_BYTES_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Somebody else's bytes; says nothing about how long they live. */
struct span {
    const char *data;
    size_t length;
};

/* Shared between threads by reference; nobody writes after it is published. data[length] is '\0'. */
struct bytes {
    atomic_uint references;
    size_t length;
    char data[];
};

/* All return NULL only when memory is exhausted. */
struct bytes *bytes_new(size_t length);
struct bytes *bytes_copy(const void *data, size_t length);
/* For its only holder, before it is shared: another length, bytes kept as far as they fit. NULL leaves it as it was. */
struct bytes *bytes_resize(struct bytes *bytes, size_t length);
struct bytes *bytes_reference(struct bytes *bytes);
void bytes_release(struct bytes *bytes); /* NULL is fine */

/* A failed allocation is remembered in `failed`; later appends do nothing, so callers check once, at the end.
   data is always '\0'-terminated once anything was appended. */
struct buffer {
    char *data;
    size_t length;
    size_t capacity;
    bool failed;
};

void buffer_append(struct buffer *buffer, const void *data, size_t length);
static inline void buffer_text(struct buffer *buffer, const char *text) {
    buffer_append(buffer, text, strlen(text));
}
void buffer_decimal(struct buffer *buffer, uint64_t number);
void buffer_format(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD, so the result is always valid JSON. */
void buffer_json_string(struct buffer *buffer, const char *data, size_t length);
void buffer_clear(struct buffer *buffer); /* keeps the memory */
void buffer_free(struct buffer *buffer);

#endif
