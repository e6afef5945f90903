/* The service between the server and the scripts: probes, the current generation, the access log, metrics. */
#ifndef HOST_SERVICE_H
#define HOST_SERVICE_H

#include "generation.h"
#include "host.h"
#include "server.h"

struct service;

/* host outlives the service. */
struct service *service_new(struct host *host);
void service_free(struct service *service);
struct slot *service_slot(struct service *service);
/* What goes on in the server for callers; the service tells of it in its metrics. */
struct server_load *service_load(struct service *service);

/* Who publishes generations, for /readyz and /policy; before any request. */
struct reload;
void service_use(struct service *service, struct reload *reload);
/* Not ready from now on: the process is about to end. */
void service_drain(struct service *service);

/* For struct server_options, with the service as context. */
void service_handle(void *context, const struct request *request, struct response *response);
void service_done(void *context, const struct request *request, const struct response *response, int64_t duration_us,
                  struct buffer *scratch);
void service_refused(void *context, const struct call_context *call, const struct response *response,
                     int64_t duration_us, struct buffer *scratch);

/* The admin listener's handler: /healthz, /readyz, /metrics, /policy. */
void service_handle_admin(void *context, const struct request *request, struct response *response);

#endif
