/* The bytes of a watch, in pieces as long as the first byte says, through a watch that has listed two objects. The copy
   it leaves is whole: sorted, valid, and the same by name and by its index. */
#include "kube_watch.h"

#include <errno.h>
#include <semaphore.h>

#include "fuzz.h"
#include "json_span.h"
#include "kube_attempt.h"

static const char listed[] =
    "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":["
    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"resourceVersion\":\"5\",\"labels\":{\"owner\":\"x\"}}},"
    "{\"metadata\":{\"name\":\"b\",\"namespace\":\"n\",\"resourceVersion\":\"7\"}}]}";

static struct span events;
static size_t piece;
static sem_t streamed;

bool __wrap_kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                         struct http_exchange *exchange, struct kube_failure *failure);
bool __wrap_kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                         struct http_exchange *exchange, struct kube_failure *failure) {
    (void)caller;
    (void)room;
    (void)failure;
    expect(!path->failed);
    exchange->body_bytes = bytes_copy(listed, sizeof listed - 1);
    return true;
}

void __wrap_kube_stream(struct kube *kube, const char *path_and_query, struct http_exchange *exchange,
                        int64_t idle_timeout_ms, bool (*on_bytes)(void *context, const char *data, size_t length),
                        void *context, const atomic_bool *cancel);
void __wrap_kube_stream(struct kube *kube, const char *path_and_query, struct http_exchange *exchange,
                        int64_t idle_timeout_ms, bool (*on_bytes)(void *context, const char *data, size_t length),
                        void *context, const atomic_bool *cancel) {
    (void)kube;
    (void)idle_timeout_ms;
    expect(strstr(path_and_query, "&resourceVersion=10"));
    exchange->status = 200;
    bool wanted = on_bytes(context, "", 0);
    while (wanted && events.length) {
        size_t length = events.length < piece ? events.length : piece;
        char *copy = exact_copy(events.data, length);
        wanted = on_bytes(context, copy, length);
        free(copy);
        events = (struct span){events.data + length, events.length - length};
    }
    exchange->body_bytes = bytes_new(0);
    atomic_store((atomic_bool *)(uintptr_t)cancel, true); /* one stream is enough */
    sem_post(&streamed);
}

static void check_object(struct kube_store *store, const struct kube_object *object) {
    struct kube_object *found;
    expect(json_valid(object->text, JSON_MAX_DEPTH, false, NULL));
    expect(!object->labels.length || lies_inside(object->labels, object->text));
    expect(!object->indexed.length || lies_inside(object->indexed, object->text));
    kube_store_get(store, object->name, object->namespace, &found);
    expect(found == object);
    kube_object_release(found);
    struct kube_list list;
    size_t times = 0;
    expect(kube_store_list(store, &object->indexed, 1, &list));
    for (size_t i = 0; i < list.count; i++)
        times += list.objects[i] == object;
    expect(times == 1);
    kube_list_free(&list);
}

/* One of each value, so that together they stand for every object. */
static void check_samples(struct kube_store *store) {
    struct kube_list samples, list;
    size_t *counts, total = 0;
    expect(kube_store_samples(store, &samples, &counts));
    struct span *values = calloc(samples.count + 1, sizeof *values);
    expect(values);
    for (size_t i = 0; i < samples.count; i++) {
        values[i] = samples.objects[i]->indexed;
        expect(counts[i] > 0);
        total += counts[i];
    }
    expect(total == kube_store_count(store));
    expect(kube_store_list(store, values, samples.count, &list));
    expect(list.count == kube_store_count(store));
    kube_list_free(&list);
    kube_list_free(&samples);
    free(values);
    free(counts);
}

static void check_store(struct kube_store *store) {
    struct kube_list list;
    char version[64];
    expect(kube_store_list(store, NULL, 0, &list));
    expect(list.count == kube_store_count(store));
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0) {
            int order = strcmp(list.objects[i - 1]->name, list.objects[i]->name);
            expect(order < 0 || (order == 0 && strcmp(list.objects[i - 1]->namespace, list.objects[i]->namespace) < 0));
        }
        check_object(store, list.objects[i]);
    }
    kube_list_free(&list);
    check_samples(store);
    kube_store_version(store, version, sizeof version);
    expect(version[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct kube_resource *resource;
    const char *wrong;
    if (size == 0)
        return 0;
    if (!resource) {
        sem_init(&streamed, 0, 0);
        resource = kube_resource_new("g", "v1", "things", "n", &wrong);
    }
    struct kube_store *store = kube_store_new("owner");
    expect(resource && store);
    piece = (size_t)data[0] + 1;
    events = (struct span){(const char *)data + 1, size - 1};
    struct kube_watch *watch = kube_watch_start(NULL, resource, store, &kube_watch_defaults);
    expect(watch);
    while (sem_wait(&streamed) != 0)
        expect(errno == EINTR); /* libFuzzer's own timer */
    kube_watch_stop(watch);
    check_store(store);
    kube_store_free(store);
    return 0;
}
