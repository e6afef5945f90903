/* One call to the API server with the retries that it may have. */
#ifndef HOST_KUBE_ATTEMPT_H
#define HOST_KUBE_ATTEMPT_H

#include "kube_resource.h"

/* True on a 2xx, with the body in exchange; else false and a failure. The caller frees the exchange. A read is tried
   again after a lost connection or a 5xx, a write only when it certainly was not carried out; both when told to wait
   and there is time. path.failed counts as memory exhausted. room: memory for the body of a call that can be cancelled,
   NULL once it is taken; or NULL. */
bool kube_attempt(const struct kube_caller *caller, const struct buffer *path, struct bytes **room,
                  struct http_exchange *exchange, struct kube_failure *failure);

#endif
