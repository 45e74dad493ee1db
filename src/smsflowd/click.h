/* Hits of short links on their way to the database. */
#ifndef SMSFLOWD_CLICK_H
#define SMSFLOWD_CLICK_H

#include <event2/http.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache.h"

struct click
{
	char code[CODE_LENGTH];
	char address[INET6_ADDRSTRLEN]; /* of the client; empty if none is known */
	int64_t at;                     /* microseconds since 1970 */
	bool head;                      /* HEAD, not GET */
	bool prefetch;                  /* the client says that nobody has asked for it yet */
	char agent[201];                /* User-Agent, cut */
};

/* Reads a hit from its request; hops is the number of proxies in front that append to X-Forwarded-For. */
void click_read(struct click *click, struct evhttp_request *request, const char *code, long hops);

/* Hits that wait for the database, in memory, as batches of what one statement tells. */
struct clicks;

/* Returns NULL when out of memory. */
struct clicks *clicks_open(void);
void clicks_close(struct clicks *clicks);

/* False when there is no room for one more. */
bool clicks_add(struct clicks *clicks, const struct click *click);

long clicks_count(const struct clicks *clicks);

/* Whether a whole statement waits. */
bool clicks_are_many(const struct clicks *clicks);

/* The oldest batch, of one hit at least, as the array that smsflow.record_clicks() takes; it stays until it is forgotten. */
const char *clicks_tell(struct clicks *clicks);

/* Drops what was told; how many hits that were. */
long clicks_forget(struct clicks *clicks);

#endif
