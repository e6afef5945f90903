#include "utf8.h"

#include <stdbool.h>

size_t utf8_sequence(const unsigned char *data, size_t length) {
    unsigned char first = data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || size > length)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((data[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = data[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second > 0x9f;
    bool beyond = first == 0xf4 && second > 0x8f;
    return overlong || surrogate || beyond ? 0 : size;
}

long utf8_character(const unsigned char *data, size_t length, size_t *size) {
    size_t sequence = utf8_sequence(data, length);
    *size = sequence ? sequence : 1;
    if (sequence < 2)
        return sequence ? data[0] : -1;
    long character = data[0] & (0x7f >> sequence);
    for (size_t i = 1; i < sequence; i++)
        character = character << 6 | (data[i] & 0x3f);
    return character;
}

size_t utf8_encode(long character, char out[4]) {
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    size_t size = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--, character >>= 6)
        out[i] = (char)(0x80 | (character & 0x3f));
    out[0] = (char)((0xf00 >> size & 0xff) | character);
    return size;
}
