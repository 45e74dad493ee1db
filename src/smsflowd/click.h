/* Hits of short links on their way to the database. */
#ifndef SMSFLOWD_CLICK_H
#define SMSFLOWD_CLICK_H

#include <event2/buffer.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "cache.h"

struct click
{
	STAILQ_ENTRY(click) next;
	char code[CODE_LENGTH];
	char address[INET6_ADDRSTRLEN]; /* of the client; empty if none is known */
	double at;                      /* seconds since 1970 */
	bool head;                      /* HEAD, not GET */
	bool prefetch;                  /* the client says that nobody has asked for it yet */
	char agent[201];                /* User-Agent, cut */
};

STAILQ_HEAD(click_list, click);

/* Reads a hit from its request; hops is the number of proxies in front that append to X-Forwarded-For. */
void click_read(struct click *click, struct evhttp_request *request, const char *code, long hops);

/* Appends a hit as the object that smsflow.record_clicks() takes. */
void click_append(struct evbuffer *json, const struct click *click);

#endif
