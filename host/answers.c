#include "answers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "answer.h"
#include "clock.h"
#include "metrics.h"

enum {
    SLOTS = 1024,
    LOCKS = 64,        /* each for every 64th slot */
    MAX_HEADERS = 16,  /* names that scripts of one generation may read, all together */
    MAX_INHERITED = 8, /* of those: names that nobody reads any more end with a generation some day */
    MAX_WAIT_MS = 20,  /* for another's run; upstreams may keep that one waiting much longer */
};

struct slot {
    struct answer *answer;
    struct cache_key making; /* of a run that others wait for; of a run whose answer was not kept, when there is none */
    enum { NOTHING_MADE, BEING_MADE, NOT_KEPT } made;
};

struct lock {
    pthread_mutex_t mutex; /* held while an answer is compared and referenced */
    pthread_cond_t ended;  /* a run that others wait for */
};

struct answers {
    struct cache *cache;
    struct series *found;
    pthread_mutex_t mutex; /* guards additions to headers */
    atomic_size_t header_count;
    char *headers[MAX_HEADERS]; /* what scripts were seen to read, in order of appearance; never changed once there */
    atomic_size_t size;
    atomic_uint hand; /* the slot that is looked at next, to drop what is out of date */
    struct lock locks[LOCKS];
    struct slot slots[SLOTS];
};

struct answers *answers_new(struct cache *cache) {
    struct answers *answers = calloc(1, sizeof *answers);
    if (!answers)
        return NULL;
    answers->cache = cache;
    answers->found = metric_series(metric_family(METRIC_COUNTER, "rayclusterscaler_remembered_answers_total",
                                                 "Answers given without running a script.", ""),
                                   NULL);
    pthread_mutex_init(&answers->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&answers->locks[i].mutex, NULL);
        pthread_cond_init(&answers->locks[i].ended, &attributes);
    }
    pthread_condattr_destroy(&attributes);
    return answers;
}

void answers_free(struct answers *answers) {
    if (!answers)
        return;
    for (size_t i = 0; i < SLOTS; i++)
        answer_release(answers->slots[i].answer);
    for (size_t i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&answers->locks[i].mutex);
        pthread_cond_destroy(&answers->locks[i].ended);
    }
    for (size_t i = 0; i < MAX_HEADERS; i++)
        free(answers->headers[i]);
    pthread_mutex_destroy(&answers->mutex);
    free(answers);
}

/* A request is known by its method, target, and the headers that scripts read, absent ones told from empty ones. */
static void make_key(struct answers *answers, const struct request *request, struct answer_key *key) {
    struct span parts[3 + MAX_HEADERS];
    size_t count = 0;
    const char *start[] = {request->method, request->path, request->query};
    for (size_t i = 0; i < 3; i++)
        parts[count++] = (struct span){start[i], strlen(start[i])};
    key->header_count = atomic_load_explicit(&answers->header_count, memory_order_acquire);
    for (size_t i = 0; i < key->header_count; i++) {
        const char *value = request_header(request, answers->headers[i]);
        parts[count++] = (struct span){value, value ? strlen(value) : 0};
    }
    cache_key(answers->cache, parts, count, &key->key);
}

static size_t index_of(const struct cache_key *key) {
    size_t index;
    memcpy(&index, key->bytes, sizeof index);
    return index % SLOTS;
}

static bool same_key(const struct cache_key *a, const struct cache_key *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

/* Takes the answer out of the slot that no longer holds. With the lock held; the caller releases it without. */
static struct answer *take_stale(const struct answers *answers, struct slot *slot) {
    struct answer *answer = slot->answer;
    if (!answer || answer_holds(answer, answers->cache))
        return NULL;
    slot->answer = NULL;
    return answer;
}

/* One run is enough for all who ask the same at one time. False when its end was not to be seen in time. */
static bool await_run(struct lock *lock, const struct slot *slot, const struct answer_key *key, int64_t until_ms) {
    struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};
    while (slot->made == BEING_MADE && same_key(&slot->making, &key->key))
        if (pthread_cond_timedwait(&lock->ended, &lock->mutex, &until) != 0)
            return false;
    return true;
}

static struct slot *lock_slot(struct answers *answers, const struct answer_key *key, struct lock **lock) {
    size_t index = index_of(&key->key);
    *lock = &answers->locks[index % LOCKS];
    pthread_mutex_lock(&(*lock)->mutex);
    return &answers->slots[index];
}

/* With the lock held. */
static struct answer *find(const struct slot *slot, const struct answer_key *key) {
    struct answer *answer = slot->answer;
    return answer && answer_is_of(answer, &key->key) ? answer : NULL;
}

static bool begin(struct answers *answers, const struct request *request, struct answer_key *key) {
    bool reads = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    *key = (struct answer_key){.usable = reads && request->body.length == 0};
    if (key->usable)
        make_key(answers, request, key);
    return key->usable;
}

void answers_expect(struct answers *answers, const struct request *request, struct answer_key *key) {
    begin(answers, request, key);
}

bool answers_recall(struct answers *answers, const struct request *request, struct response *response,
                    struct bytes **decisions) {
    struct answer_key key;
    struct lock *lock;
    if (!begin(answers, request, &key))
        return false;
    struct slot *slot = lock_slot(answers, &key, &lock);
    struct answer *answer = find(slot, &key);
    if (answer)
        answer_reference(answer);
    pthread_mutex_unlock(&lock->mutex);
    /* One that does not hold is taken away by the run that follows. */
    bool found = answer && answer_holds(answer, answers->cache);
    if (found)
        answer_give(answer, response, decisions);
    answer_release(answer);
    return found;
}

bool answers_find(struct answers *answers, const struct request *request, struct response *response,
                  struct answer_key *key, struct bytes **decisions) {
    struct lock *lock;
    struct answer *stale = NULL;
    if (!begin(answers, request, key))
        return false;
    int64_t until_ms = clock_monotonic_ms() + MAX_WAIT_MS;
    struct slot *slot = lock_slot(answers, key, &lock);
    bool in_time = await_run(lock, slot, key, until_ms);
    struct answer *answer = find(slot, key);
    if (answer && !(stale = take_stale(answers, slot)))
        answer_reference(answer);
    bool found = answer && !stale;
    bool awaits =
        in_time && slot->made != BEING_MADE && !(slot->made == NOT_KEPT && same_key(&slot->making, &key->key));
    if (!found && awaits) {
        key->awaited = true;
        slot->made = BEING_MADE;
        slot->making = key->key;
    }
    pthread_mutex_unlock(&lock->mutex);
    if (found)
        answer_give(answer, response, decisions);
    answer_release(answer); /* the reference just taken, or the slot's */
    return found;
}

void answers_used(struct answers *answers) {
    series_add(answers->found, 1);
}

static bool knows_header(const struct answers *answers, const char *name, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(answers->headers[i], name) == 0)
            return true;
    return false;
}

/* True when the key was made of all headers that the run read; else they are part of later keys. */
static bool learn_headers(struct answers *answers, const struct answer_key *key, const struct trace *trace) {
    bool complete = true;
    for (size_t i = 0; i < trace->header_count; i++) {
        if (knows_header(answers, trace->headers[i], key->header_count))
            continue;
        complete = false;
        pthread_mutex_lock(&answers->mutex);
        size_t count = atomic_load(&answers->header_count);
        if (count < MAX_HEADERS && !knows_header(answers, trace->headers[i], count) &&
            (answers->headers[count] = strdup(trace->headers[i])))
            atomic_store_explicit(&answers->header_count, count + 1, memory_order_release);
        pthread_mutex_unlock(&answers->mutex);
    }
    return complete;
}

/* Looks at one more slot: an answer that nobody asks for again must not keep its objects for long. */
static void sweep(struct answers *answers) {
    size_t index = atomic_fetch_add(&answers->hand, 1) % SLOTS;
    pthread_mutex_lock(&answers->locks[index % LOCKS].mutex);
    struct answer *stale = take_stale(answers, &answers->slots[index]);
    pthread_mutex_unlock(&answers->locks[index % LOCKS].mutex);
    answer_release(stale);
}

void answers_keep(struct answers *answers, const struct answer_key *key, struct trace *trace,
                  const struct response *response) {
    if (!key->usable)
        return;
    sweep(answers);
    bool kept = answer_is_wanted(trace, response, &answers->size) && learn_headers(answers, key, trace);
    struct answer *answer = kept ? answer_new(&key->key, trace, response, &answers->size) : NULL, *old = NULL;
    struct lock *lock;
    struct slot *slot = lock_slot(answers, key, &lock);
    if (answer) {
        old = slot->answer;
        slot->answer = answer;
        if (slot->made == NOT_KEPT)
            slot->made = NOTHING_MADE;
    }
    if (key->awaited) {
        slot->made = answer ? NOTHING_MADE : NOT_KEPT;
        pthread_cond_broadcast(&lock->ended);
    }
    pthread_mutex_unlock(&lock->mutex);
    answer_release(old);
}

void answers_inherit(struct answers *answers, const struct answers *from) {
    size_t count = atomic_load_explicit(&from->header_count, memory_order_acquire), kept = 0;
    if (count > MAX_INHERITED)
        return;
    while (kept < count && (answers->headers[kept] = strdup(from->headers[kept])))
        kept++;
    atomic_store_explicit(&answers->header_count, kept, memory_order_release);
}
