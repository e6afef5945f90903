/* What the rooms that read JSON share: its smallest pieces. */
#ifndef HOST_JSON_TEXT_H
#define HOST_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

static inline bool json_is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline bool json_is_digit(unsigned char c) {
    return c >= '0' && c <= '9';
}

/* The character that the escape at data (a backslash) stands for; *size is how much text it takes. -1 when it is none,
   and for halves of surrogate pairs. */
long json_escape(const unsigned char *data, size_t length, size_t *size);

#endif
