/* The part of an HTTP exchange that needs no library: what may be sent, and the header lines that came. Only
   http_client.c uses it. */
#ifndef HOST_HTTP_EXCHANGE_H
#define HOST_HTTP_EXCHANGE_H

#include "http_client.h"

/* NULL, or why this method or header cannot be sent (a constant; holds nothing of the value). */
const char *http_method_flaw(const char *method);
const char *http_header_flaw(const struct header *header);

/* Sets failure and message; control bytes in the message become '?'. Drops the body. */
void http_exchange_fail(struct http_exchange *exchange, enum http_failure failure, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds one header line as it came, without its line end, to header_lines. */
void http_exchange_header_line(struct http_exchange *exchange, const char *line, size_t length);

#endif
