/* What is kept of every request: one access line, a count and its duration. */
#ifndef HOST_ACCESS_H
#define HOST_ACCESS_H

#include "message.h"

struct metric;

struct access {
    struct metric *requests;
    struct metric *durations;
};

void access_open(struct access *access);
/* The line is made in scratch's memory. */
void access_record(const struct access *access, const struct request *request, const struct response *response,
                   int64_t duration_us, struct buffer *scratch);
/* A request that was refused before it was one: nothing that it says of itself is known. */
void access_refused(const struct access *access, const struct call_context *call, const struct response *response,
                    int64_t duration_us, struct buffer *scratch);

#endif
