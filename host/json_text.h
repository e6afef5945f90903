/* What the rooms that read JSON share: its smallest pieces. */
#ifndef HOST_JSON_TEXT_H
#define HOST_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "eight.h"

static inline bool json_is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

/* The first byte from at on, at or before length, that is a quote, a backslash, a control or not ASCII. */
static inline size_t json_past_plain(const unsigned char *data, size_t length, size_t at) {
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
    for (; length - at >= 16; at += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, backslash));
        /* Bytes are signed here: what is not ASCII is less than a space, too. */
        int marks = _mm_movemask_epi8(_mm_or_si128(special, _mm_cmplt_epi8(text, space)));
        if (marks)
            return at + (size_t)__builtin_ctz((unsigned)marks);
    }
#endif
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
