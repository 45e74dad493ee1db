/* The HTTP listener and its routes. */
#ifndef SMSFLOWD_HTTP_H
#define SMSFLOWD_HTTP_H

#include <event2/event.h>

#include "batch.h"
#include "config.h"
#include "exchange.h"
#include "link.h"
#include "spool.h"

struct http;

/* What the routes work with; all of it outlives the listener. */
struct http_context
{
	struct event_base *base;
	const struct config *config;
	struct exchanges *exchanges;
	struct batcher *batcher;
	struct links *links; /* NULL: there are no short links */
	struct spool *spool;
};

/* Starts listening; returns NULL after logging why it cannot. */
struct http *http_open(struct http_context context);

/* Puts changed limits of the configuration into force, for new connections. */
void http_apply_limits(struct http *http);

void http_stop_accepting(struct http *http);
void http_close(struct http *http);

#endif
