/* Requests that wait for their answer. */
#ifndef SMSFLOWD_EXCHANGE_H
#define SMSFLOWD_EXCHANGE_H

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>
#include <time.h>

#include "metrics.h"
#include "text.h"

struct exchange;

/* All open exchanges of the daemon. */
struct exchanges
{
	struct event_base *base;
	struct metrics *metrics;
	unsigned open; /* not answered, or the answer is not yet handed to the kernel */
	bool draining; /* close connections after their answer; leave the event loop when none is open */
	time_t dated;  /* the second that date tells, for the header Date */
	char date[32];
};

/* Returns NULL when out of memory; the request has then been answered with 503. */
struct exchange *exchange_begin(struct exchanges *all, struct evhttp_request *request, enum route route);

/*
 * Answers and ends the exchange; it must not be used afterwards.  content_type may be NULL.  A status outside
 * 200..599 is answered as 500.  Does nothing but clean up if the client has gone.
 */
void exchange_reply(struct exchange *exchange, int status, const char *content_type, struct slice body);

/* Adds a header to the answer; does nothing if the client has gone. */
void exchange_header(struct exchange *exchange, const char *name, const char *value);

/* Keeps a drained daemon from ending until the release. */
void exchanges_hold(struct exchanges *all);
void exchanges_release(struct exchanges *all);

/* Starts draining; leaves the event loop at once if nothing is open. */
void exchanges_drain(struct exchanges *all);

#endif
