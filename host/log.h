/* Logging: one JSON object a line on stdout, written by a thread of its own so that a slow reader never blocks a
   request; lines that find the queue full are dropped and counted. Nothing secret is ever passed in. */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

/* LOG_AUDIT is for what no level may drop; such a line says info. */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_AUDIT };

enum { LOG_MAX_MESSAGE_BYTES = 4096 }; /* what is longer is cut */

/* Nothing is logged before; the descriptor may block, be a pipe without reader, a full disk. */
bool log_start(enum log_level level, int descriptor);
void log_stop(void); /* writes what is queued, for 2 s at most */
bool log_enabled(enum log_level level);
uint64_t log_dropped(void); /* lines that were lost so far, because the queue was full or could not be written */

/* One line with a message of printf's kind: {"time":…,"level":…,"message":…}. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with further fields: fields is the inside of a JSON object, `"route":"/x","code":200`, or NULL. */
void log_event(enum log_level level, const char *message, const char *fields);

/* The same piece by piece, for lines that are made often: a buffer that is kept costs no allocation a line.
   log_begin clears line and writes time, level and message; append `,"key":value` as often as you like. */
void log_begin(struct buffer *line, enum log_level level, const char *message);
void log_end(struct buffer *line);
/* Appends a JSON string; of a text beyond most bytes the first ones and "…". */
void log_append_text(struct buffer *line, const char *text, size_t length, size_t most);

/* A line made elsewhere, with its '\n'. False when it is lost already. */
bool log_raw(const char *line, size_t length);

#endif
