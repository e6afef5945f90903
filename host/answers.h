/* Answers that are remembered for as long as everything that they were made of stays as it is (host/trace.h): who the
   caller is, the object or the list as Kubernetes has it, the request's own headers. One generation's: other rules
   remember nothing of these. */
#ifndef HOST_ANSWERS_H
#define HOST_ANSWERS_H

#include "trace.h"

struct answers;

/* cache: where identities are, and the keyed hash that requests are known by. NULL when memory is exhausted. */
struct answers *answers_new(struct cache *cache);
void answers_free(struct answers *answers);

/* What answers_find learned of a request, for answers_keep. */
struct answer_key {
    bool usable;  /* false: nothing of this request is to be remembered */
    bool awaited; /* others who ask the same wait for this run */
    size_t header_count;
    struct cache_key key;
};

/* From a generation's predecessor, before the first request: what scripts read of requests. */
void answers_inherit(struct answers *answers, const struct answers *from);

/* Fills response when the request's answer is known and still true; *decisions are what its run wrote to the decision
   log (host/trace.h), a reference, or NULL when that is not known. */
bool answers_recall(struct answers *answers, const struct request *request, struct response *response,
                    struct bytes **decisions);
/* The same, or becomes so within a moment by a run that is under way for the same request. When not, answers_keep must
   follow. */
bool answers_find(struct answers *answers, const struct request *request, struct response *response,
                  struct answer_key *key, struct bytes **decisions);
/* For a run that happens in any case; answers_keep must follow. */
void answers_expect(struct answers *answers, const struct request *request, struct answer_key *key);
/* Counts an answer that was found and given. */
void answers_used(struct answers *answers);
/* The end of a run, whatever it brought: remembers its answer, unless it read what cannot be watched. Takes the trace's
 * references. */
void answers_keep(struct answers *answers, const struct answer_key *key, struct trace *trace,
                  const struct response *response);

#endif
