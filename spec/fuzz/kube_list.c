/* Pages of a list: the input, cut at NUL bytes. A page that begins with '!' is a failure by its status digits. */
#include "fuzz.h"
#include "json_span.h"
#include "kube_attempt.h"

static struct span pages;
static unsigned asked;

bool __wrap_kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                         struct http_exchange *exchange, struct kube_failure *failure);
bool __wrap_kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                         struct http_exchange *exchange, struct kube_failure *failure) {
    (void)caller;
    expect(!path->failed && strncmp(path->data, "/apis/g/v1/namespaces/n/things?limit=", 37) == 0);
    for (size_t i = 0; i < path->length; i++)
        expect(path->data[i] > ' ' && path->data[i] < 0x7f);
    const char *end = pages.length ? memchr(pages.data, '\0', pages.length) : NULL;
    struct span page = {pages.data, end ? (size_t)(end - pages.data) : pages.length};
    size_t taken = end ? page.length + 1 : page.length;
    pages = (struct span){pages.data + taken, pages.length - taken};
    /* An API server that pages for ever is the deadline's matter. */
    if (asked++ == 16 || (page.length && page.data[0] == '!')) {
        kube_failure_set(failure, page.length > 1 && page.data[1] == '4' ? KUBE_GONE : KUBE_BAD_ANSWER, "refused");
        exchange->failure = page.length > 1 && page.data[1] == 'L' ? HTTP_TOO_LARGE : HTTP_OK;
        return false;
    }
    /* As a call that can be cancelled does it. */
    struct bytes *body = bytes_resize(*room ? *room : bytes_new(1), page.length);
    *room = NULL;
    exchange->body_bytes = body;
    if (body)
        memcpy(body->data, page.data, page.length);
    return body != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct kube_resource *resource;
    const char *wrong;
    if (!resource)
        resource = kube_resource_new("g", "v1", "things", "n", &wrong);
    expect(resource);
    for (int copy = 0; copy < 2; copy++) {
        struct kube_caller caller = {0};
        struct kube_list list;
        struct kube_failure failure;
        pages = (struct span){(const char *)data, size};
        asked = 0;
        if (!kube_list(&caller, resource, "", "", copy, copy ? "a" : NULL, &list, &failure)) {
            expect(failure.message[0]);
            kube_failure_free(&failure);
            continue;
        }
        for (size_t i = 0; i < list.count; i++) {
            const struct kube_object *object = list.objects[i];
            expect(object->name[0] || i == 0 || object->text.length);
            expect(json_type(object->text) == JSON_OBJECT);
            expect(lies_inside(object->text, (struct span){object->owner->data, object->owner->length}));
            expect(!object->labels.length || lies_inside(object->labels, object->text));
            expect(!object->indexed.length || lies_inside(object->indexed, object->text));
            expect(i == 0 || strcmp(list.objects[i - 1]->name, object->name) <= 0);
        }
        expect(memchr(list.resource_version, '\0', sizeof list.resource_version));
        kube_list_free(&list);
    }
    return 0;
}
