#include "admission.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "hash.h"

struct admission {
    pthread_mutex_t mutex;
    struct hash_key key;
    size_t most, most_for_one;
    size_t count;
    uint64_t callers[]; /* of the requests that are being worked on, in no order: few enough to look at all of them */
};

struct admission *admission_new(long most, long most_for_one) {
    struct admission *admission = calloc(1, sizeof *admission + (size_t)most * sizeof *admission->callers);
    if (!admission)
        return NULL;
    if (getrandom(&admission->key, sizeof admission->key, 0) != (ssize_t)sizeof admission->key) {
        free(admission);
        return NULL;
    }
    admission->most = (size_t)most;
    admission->most_for_one = (size_t)most_for_one;
    pthread_mutex_init(&admission->mutex, NULL);
    return admission;
}

void admission_free(struct admission *admission) {
    if (!admission)
        return;
    pthread_mutex_destroy(&admission->mutex);
    free(admission);
}

/* The credential that says who is calling; callers without one are one caller. */
static uint64_t identify(const struct admission *admission, const struct request *request) {
    const char *credential = request_header(request, "X-Domino-Api-Key");
    if (!credential || !*credential)
        credential = request_header(request, "Authorization");
    return credential ? hash_keyed(&admission->key, credential, strlen(credential)) : 0;
}

static size_t count_of(const struct admission *admission, uint64_t caller) {
    size_t count = 0;
    for (size_t i = 0; i < admission->count; i++)
        count += admission->callers[i] == caller;
    return count;
}

bool admission_enter(struct admission *admission, const struct request *request, struct response *response,
                     uint64_t *caller) {
    *caller = identify(admission, request);
    pthread_mutex_lock(&admission->mutex);
    bool full = admission->count >= admission->most;
    bool greedy = !full && count_of(admission, *caller) >= admission->most_for_one;
    if (!full && !greedy)
        admission->callers[admission->count++] = *caller;
    pthread_mutex_unlock(&admission->mutex);
    if (!full && !greedy)
        return true;
    response_problem(response, 503, "overloaded",
                     full ? "The service is busy; try again in a moment."
                          : "Too many requests with this credential are under way; try again in a moment.",
                     request->call->request_id);
    response_header(response, "Retry-After", "1");
    return false;
}

void admission_leave(struct admission *admission, uint64_t caller) {
    size_t i = 0;
    pthread_mutex_lock(&admission->mutex);
    while (admission->callers[i] != caller)
        i++;
    admission->callers[i] = admission->callers[--admission->count];
    pthread_mutex_unlock(&admission->mutex);
}
