/* What the rooms that read JSON share: its smallest pieces. */
#ifndef HOST_JSON_TEXT_H
#define HOST_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "eight.h"

static inline bool json_is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

/* The first byte from at on, at or before length, that is a quote, a backslash, a control or not ASCII. */
static inline size_t json_past_plain(const unsigned char *data, size_t length, size_t at) {
    for (; length - at >= 8; at += 8) {
        uint64_t eight = eight_load(data + at);
        uint64_t marks = eight | eight_below(eight, ' ') | eight_equal(eight, '"') | eight_equal(eight, '\\');
        if (marks & EIGHT_HIGHS)
            return at + eight_first(marks & EIGHT_HIGHS);
    }
    while (at < length && data[at] >= 0x20 && data[at] < 0x80 && data[at] != '"' && data[at] != '\\')
        at++;
    return at;
}

/* The character that the escape at data (a backslash) stands for; *size is how much text it takes. -1 when it is none,
   and for halves of surrogate pairs. */
long json_escape(const unsigned char *data, size_t length, size_t *size);

#endif
