/* What the rooms that read JSON share: its smallest pieces. */
#ifndef HOST_JSON_TEXT_H
#define HOST_JSON_TEXT_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool json_is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

/* The first byte from at on, at or before length, that is a quote, a backslash, a control or not ASCII. Eight are
   looked at together: a byte less another sets its high bit where it was smaller, and what that borrows lies behind the
   first.
   */
static inline size_t json_past_plain(const unsigned char *data, size_t length, size_t at) {
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (; length - at >= 8; at += 8) {
        uint64_t eight;
        memcpy(&eight, data + at, 8);
        eight = le64toh(eight);
        uint64_t quote = eight ^ ones * '"', backslash = eight ^ ones * '\\';
        uint64_t marks = (eight | (eight - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs;
        if (marks)
            return at + (size_t)__builtin_ctzll(marks) / 8;
    }
    while (at < length && data[at] >= 0x20 && data[at] < 0x80 && data[at] != '"' && data[at] != '\\')
        at++;
    return at;
}

/* The character that the escape at data (a backslash) stands for; *size is how much text it takes. -1 when it is none,
   and for halves of surrogate pairs. */
long json_escape(const unsigned char *data, size_t length, size_t *size);

#endif
