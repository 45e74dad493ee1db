/*
 * The OpenMetrics text of the daemon's counters.  Labels come from fixed sets only, so a client cannot make the
 * exposition grow, and it holds nothing personal.
 */
#include "metrics.h"

#include <inttypes.h>

static const char *const route_names[ROUTE_COUNT] = {"callback", "in", "link", "healthz", "metrics", "report", "other"};

static void
append_value(struct evbuffer *text, const char *name, const char *type, const char *help, uint64_t value)
{
	evbuffer_add_printf(text, "# TYPE smsflowd_%s %s\n# HELP smsflowd_%s %s\nsmsflowd_%s%s %" PRIu64 "\n", name, type, name, help,
						name, *type == 'c' ? "_total" : "", value);
}

static void
append_requests(struct evbuffer *text, const struct metrics *metrics)
{
	evbuffer_add_printf(text, "# TYPE smsflowd_requests counter\n"
							  "# HELP smsflowd_requests Requests answered, by route and HTTP status.\n");
	for (int route = 0; route < ROUTE_COUNT; route++)
		for (int status = 0; status <= HIGHEST_STATUS; status++)
			if (metrics->requests[route][status] > 0)
				evbuffer_add_printf(text, "smsflowd_requests_total{route=\"%s\",status=\"%d\"} %" PRIu64 "\n", route_names[route],
									status, metrics->requests[route][status]);
}

void
metrics_append(const struct metrics *metrics, struct slice of_database, struct evbuffer *text)
{
	append_requests(text, metrics);
	append_value(text, "batches", "counter", "Transactions committed.", metrics->batches);
	append_value(text, "batch_rows", "counter", "Callbacks committed.", metrics->batch_rows);
	append_value(text, "refused", "counter", "Callbacks refused by the database.", metrics->refused);
	append_value(text, "spooled", "counter", "Callbacks written to the spool.", metrics->spooled);
	append_value(text, "replayed", "counter", "Callbacks committed from the spool.", metrics->replayed);
	append_value(text, "spool_damaged_bytes", "counter", "Bytes of the spool that were no callback, kept in damaged.spool.",
				 metrics->spool_damaged);
	append_value(text, "clicks", "counter", "Hits of links committed.", metrics->clicks);
	append_value(text, "clicks_lost", "counter", "Hits of links that could not be kept.", metrics->clicks_lost);
	append_value(text, "spool_bytes", "gauge", "Size of the spool file.", metrics->spool_bytes);
	append_value(text, "open_exchanges", "gauge", "Requests not answered yet.", metrics->open_exchanges);
	append_value(text, "links_cached", "gauge", "Links in memory.", metrics->links_cached);
	append_value(text, "database_up", "gauge", "1 when the database takes callbacks.", (uint64_t) metrics->database_up);
	append_value(text, "database_figures", "gauge", "1 when the figures of the database follow.", of_database.size > 0);
	if (of_database.size > 0)
		evbuffer_add(text, of_database.data, of_database.size);
	else
		evbuffer_add_printf(text, "# EOF\n");
}
