/* Counters of the daemon and their OpenMetrics text. */
#ifndef SMSFLOWD_METRICS_H
#define SMSFLOWD_METRICS_H

#include <event2/buffer.h>
#include <stdint.h>

#include "text.h"

enum route
{
	ROUTE_CALLBACK,
	ROUTE_IN,
	ROUTE_LINK,
	ROUTE_HEALTHZ,
	ROUTE_METRICS,
	ROUTE_REPORT,
	ROUTE_OTHER,
	ROUTE_COUNT
};

#define HIGHEST_STATUS 599

struct metrics
{
	uint64_t requests[ROUTE_COUNT][HIGHEST_STATUS + 1];
	uint64_t batches;    /* transactions committed */
	uint64_t batch_rows; /* callbacks committed in them */
	uint64_t refused;    /* callbacks the database refused one by one */
	uint64_t spooled;    /* callbacks written to the spool */
	uint64_t replayed;   /* callbacks committed from the spool */
	uint64_t clicks;     /* hits of links that the database has */
	uint64_t clicks_lost;

	/* Gauges, set by whoever prints. */
	uint64_t spool_bytes;
	uint64_t spool_damaged; /* bytes */
	uint64_t open_exchanges;
	uint64_t links_cached;
	int database_up;
};

/*
 * Appends the OpenMetrics 1.0 exposition, with that of the database, which is whole in itself, behind it. Empty: the
 * database has none to give.
 */
void metrics_append(const struct metrics *metrics, struct slice of_database, struct evbuffer *text);

#endif
