/* UTF-8 (RFC 3629), strict. */
#ifndef HOST_UTF8_H
#define HOST_UTF8_H

#include <stddef.h>

enum { UTF8_REPLACEMENT = 0xfffd };

/* Length of the valid sequence that begins at data, 0 when there is none. length is at least 1. */
size_t utf8_sequence(const unsigned char *data, size_t length);
/* The character that begins at data, -1 when there is none; *size is its length, or 1. */
long utf8_character(const unsigned char *data, size_t length, size_t *size);
/* Writes character, at most U+10FFFF, and returns how many bytes that took. */
size_t utf8_encode(long character, char out[4]);

#endif
