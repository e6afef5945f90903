#include "json_text.h"

static int hex_digit(unsigned char c) {
    if (json_is_digit(c))
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

long json_escape(const unsigned char *data, size_t length, size_t *size) {
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
