/*
 * Short links.  A link that is in memory is answered at once, whether the database is there or not; any other waits for
 * the database, together with those that come meanwhile.  Hits are told to the database once a second, or sooner when
 * there are many, and nobody waits for that.
 *
 * The connection is another than that of callbacks, so that neither waits for the other.  It does one thing at a time, in
 * this order: links that somebody waits for, hits, links to be kept in memory.
 */
#include "link.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"
#include "click.h"
#include "clock.h"
#include "database.h"
#include "guess.h"
#include "log.h"
#include "receive.h"

#define TEXT_OID 25

/* In one statement. */
#define MOST_CODES 500
#define MOST_LOADED 10000

/* Ticks of a second between two looks for new links. */
#define REFRESH_TICKS 10

/* Seconds after which a link that is used is read again, as its query or time may have changed. */
#define FRESH_SECONDS 600

#define GONE 410

enum task
{
	IDLE,
	RESOLVE,
	RECORD,
	LOAD,   /* older than what is in memory, at the start */
	REFRESH /* newer */
};

/* A request that waits until the database has told where its link leads. */
struct visitor
{
	STAILQ_ENTRY(visitor) next;
	struct exchange *exchange; /* NULL: it had its answer from memory, which is read again */
	struct click click;
};

STAILQ_HEAD(visitor_list, visitor);

struct links
{
	const struct config *config;
	struct exchanges *exchanges;
	struct metrics *metrics;
	struct database *database;
	struct cache *cache;
	struct event *turn; /* runs take_turn at the end of this turn of the event loop */
	struct event *tick; /* every second */
	struct guesses guesses;

	enum task task; /* of the statement that runs */
	struct visitor_list visitors;
	struct visitor_list asked; /* whose codes the statement holds */
	struct clicks *clicks;
	bool click_due;
	bool click_pause;    /* until the next tick, after an error */
	int64_t told_ms;     /* when hits were told last */
	int64_t next_hit_ms; /* when they may be told again */

	int ticks;
	bool loaded; /* the older links are in memory, as far as there is room */
	bool refresh_due;
	int64_t newest;    /* message of the newest link that was read */
	int64_t oldest;    /* and of the oldest one */
	bool holding;      /* keeps the daemon from ending */
	char complaint[6]; /* SQLSTATE that was logged last */
};

/* ---- answers ---- */

static void
redirect(struct exchange *exchange, const char *url)
{
	exchange_header(exchange, "Location", url);
	exchange_header(exchange, "Cache-Control", "no-store");
	exchange_reply(exchange, HTTP_MOVETEMP, NULL, slice_of(NULL));
}

static void
refuse(struct exchange *exchange, int status)
{
	exchange_reply(exchange, status, "text/plain", slice_of(status == GONE ? "this link has expired\n" : "not found\n"));
}

/* Counting hits takes half of the database's time at most: the rest is for those that wait for a redirect, and for the store. */
static bool
may_tell_clicks(const struct links *links)
{
	return links->task == IDLE && !links->click_pause && monotonic_ms() >= links->next_hit_ms;
}

static void
keep_click(struct links *links, const struct click *click)
{
	if (!clicks_add(links->clicks, click))
		links->metrics->clicks_lost++;
	else if (clicks_are_many(links->clicks) && may_tell_clicks(links))
		event_active(links->turn, EV_TIMEOUT, 0);
}

/* ---- links that somebody waits for ---- */

static void
free_visitor(struct visitor_list *list)
{
	struct visitor *visitor = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, next);
	free(visitor);
}

static void
turn_away(struct visitor_list *list)
{
	while (!STAILQ_EMPTY(list))
	{
		if (STAILQ_FIRST(list)->exchange != NULL)
			exchange_reply(STAILQ_FIRST(list)->exchange, HTTP_SERVUNAVAIL, NULL, slice_of(NULL));
		free_visitor(list);
	}
}

/* Statements of this room take texts, which the server casts. */
static void
send_texts(struct links *links, enum task task, const char *text, int count, const char *const *values)
{
	static const Oid types[] = {TEXT_OID, TEXT_OID, TEXT_OID};
	int lengths[3] = {0};

	for (int i = 0; i < count; i++)
		lengths[i] = (int) strlen(values[i]);
	links->task = task;
	database_send(links->database, &(struct statement){text, count, types, values, lengths});
}

static void
send_codes(struct links *links)
{
	char codes[MOST_CODES * (CODE_LENGTH + 1) + 2];
	const char *value = codes;
	size_t size = 0;

	for (int count = 0; count < MOST_CODES && !STAILQ_EMPTY(&links->visitors); count++)
	{
		struct visitor *visitor = STAILQ_FIRST(&links->visitors);

		STAILQ_REMOVE_HEAD(&links->visitors, next);
		STAILQ_INSERT_TAIL(&links->asked, visitor, next);
		codes[size++] = count == 0 ? '{' : ',';
		memcpy(codes + size, visitor->click.code, CODE_LENGTH);
		size += CODE_LENGTH;
	}
	memcpy(codes + size, "}", 2);
	send_texts(links, RESOLVE,
			   "SELECT status, url, floor(extract(epoch FROM expires_at)) FROM smsflow.resolve_links($1::text[]) ORDER BY "
			   "ordinal",
			   1, &value);
}

static struct destination
read_destination(const PGresult *result, int row, int column)
{
	return (struct destination){PQgetvalue(result, row, column), strtoll(PQgetvalue(result, row, column + 1), NULL, 10),
								time(NULL)};
}

static void
answer_visitor(struct links *links, struct visitor *visitor, const PGresult *result, int row)
{
	int status = row < PQntuples(result) ? atoi(PQgetvalue(result, row, 0)) : HTTP_NOTFOUND;

	if (status == HTTP_MOVETEMP)
	{
		cache_put(links->cache, visitor->click.code, read_destination(result, row, 1));
		if (visitor->exchange == NULL)
			return;
		keep_click(links, &visitor->click);
		redirect(visitor->exchange, PQgetvalue(result, row, 1));
		return;
	}
	cache_remove(links->cache, visitor->click.code);
	guess_failed(&links->guesses, visitor->click.address);
	if (visitor->exchange != NULL)
		refuse(visitor->exchange, status);
}

static void
answer_visitors(struct links *links, const PGresult *result)
{
	for (int row = 0; !STAILQ_EMPTY(&links->asked); row++)
	{
		answer_visitor(links, STAILQ_FIRST(&links->asked), result, row);
		free_visitor(&links->asked);
	}
}

/* ---- hits ---- */

static void
send_clicks(struct links *links)
{
	const char *value = clicks_tell(links->clicks);

	links->told_ms = monotonic_ms();
	send_texts(links, RECORD, "SELECT smsflow.record_clicks($1::jsonb)", 1, &value);
}

/* What was told when the connection broke is told again: the database knows a hit that it has. */
static void
clicks_are_kept(struct links *links)
{
	int64_t now = monotonic_ms();

	links->metrics->clicks += (uint64_t) clicks_forget(links->clicks);
	links->click_due = clicks_count(links->clicks) > 0;
	links->next_hit_ms = now + (now - links->told_ms);
}

/* ---- links to be kept in memory ---- */

static void
send_load(struct links *links, enum task task)
{
	char after[24];
	char before[24];
	char rows[24];
	const char *values[] = {after, before, rows};

	snprintf(after, sizeof(after), "%" PRId64, task == REFRESH ? links->newest : 0);
	snprintf(before, sizeof(before), "%" PRId64, task == REFRESH ? INT64_MAX : links->oldest);
	snprintf(rows, sizeof(rows), "%d", MOST_LOADED);
	send_texts(links, task,
			   "SELECT message_id, code, url, floor(extract(epoch FROM expires_at))"
			   " FROM smsflow.recent_links($1::bigint, $2::bigint, $3::integer) ORDER BY message_id DESC",
			   3, values);
}

static void
take_loaded(struct links *links, const PGresult *result)
{
	bool older = links->task == LOAD;

	for (int row = 0; row < PQntuples(result); row++)
	{
		int64_t message = strtoll(PQgetvalue(result, row, 0), NULL, 10);
		struct destination destination = read_destination(result, row, 2);

		if (older)
			cache_add(links->cache, PQgetvalue(result, row, 1), destination);
		else
			cache_put(links->cache, PQgetvalue(result, row, 1), destination);
		links->newest = message > links->newest ? message : links->newest;
		links->oldest = message < links->oldest ? message : links->oldest;
	}
	links->refresh_due = false;
	if (older)
		links->loaded = PQntuples(result) == 0 || cache_is_full(links->cache);
}

/* ---- the connection ---- */

/* Hits that may not be told yet are at the next tick. */
static bool
clicks_are_due(const struct links *links)
{
	if (clicks_count(links->clicks) == 0 || links->click_pause)
		return false;
	return links->holding || ((links->click_due || clicks_are_many(links->clicks)) && may_tell_clicks(links));
}

static void
stop_holding(struct links *links)
{
	if (links->holding)
		exchanges_release(links->exchanges);
	links->holding = false;
}

static void
take_turn(evutil_socket_t descriptor, short what, void *argument)
{
	struct links *links = argument;

	(void) descriptor;
	(void) what;
	if (links->task != IDLE)
		return;
	if (!database_is_ready(links->database))
	{
		turn_away(&links->visitors);
		stop_holding(links);
	}
	else if (!STAILQ_EMPTY(&links->visitors))
		send_codes(links);
	else if (clicks_are_due(links))
		send_clicks(links);
	else if (links->holding)
		stop_holding(links);
	else if (!links->loaded)
		send_load(links, LOAD);
	else if (links->refresh_due)
		send_load(links, REFRESH);
}

static void
on_ready(void *argument)
{
	struct links *links = argument;

	event_active(links->turn, EV_TIMEOUT, 0);
}

static void
on_lost(void *argument)
{
	struct links *links = argument;

	turn_away(&links->asked);
	links->task = IDLE;
	event_active(links->turn, EV_TIMEOUT, 0);
}

/* Hits are told again at the next tick, unless there is something wrong with them. */
static void
on_error(struct links *links, const char *sqlstate)
{
	if (strncmp(sqlstate, links->complaint, 5) != 0)
		log_line("links: SQLSTATE %.5s", sqlstate);
	snprintf(links->complaint, sizeof(links->complaint), "%.5s", sqlstate);
	if (links->task == RECORD && receive_is_about_rows(sqlstate))
		links->metrics->clicks_lost += (uint64_t) clicks_forget(links->clicks);
	turn_away(&links->asked);
	links->click_pause = true;
	links->loaded = true;
	links->refresh_due = false;
}

static void
on_result(void *argument, const PGresult *result)
{
	struct links *links = argument;
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		on_error(links, sqlstate != NULL ? sqlstate : "XX000");
	else
	{
		database_trust(links->database);
		if (links->task == RESOLVE)
			answer_visitors(links, result);
		else if (links->task == RECORD)
			clicks_are_kept(links);
		else
			take_loaded(links, result);
	}
	links->task = IDLE;
	event_active(links->turn, EV_TIMEOUT, 0);
}

static void
on_tick(evutil_socket_t descriptor, short what, void *argument)
{
	struct links *links = argument;

	(void) descriptor;
	(void) what;
	links->click_due = clicks_count(links->clicks) > 0;
	links->click_pause = false;
	if (++links->ticks % REFRESH_TICKS == 0)
		links->refresh_due = true;
	links->metrics->links_cached = (uint64_t) cache_count(links->cache);
	event_active(links->turn, EV_TIMEOUT, 0);
}

/* ---- for others ---- */

bool
links_is_path(const char *path)
{
	static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

	return path[0] == '/' && strspn(path + 1, digits) == CODE_LENGTH && path[1 + CODE_LENGTH] == '\0';
}

/* False when the database is away. */
static bool
ask_database(struct links *links, struct exchange *exchange, const struct click *click)
{
	struct visitor *visitor = database_is_up(links->database) ? malloc(sizeof(*visitor)) : NULL;

	if (visitor == NULL)
		return false;
	*visitor = (struct visitor){.exchange = exchange, .click = *click};
	STAILQ_INSERT_TAIL(&links->visitors, visitor, next);
	event_active(links->turn, EV_TIMEOUT, 0);
	return true;
}

/* Answers from memory; what has been there for long is read again meanwhile. */
static void
serve_known(struct links *links, struct exchange *exchange, struct destination destination, const struct click *click)
{
	int64_t now = click->at / 1000000;

	if (destination.expires > 0 && destination.expires <= now)
	{
		refuse(exchange, GONE);
		return;
	}
	keep_click(links, click);
	redirect(exchange, destination.url);
	if (now - destination.fetched < FRESH_SECONDS || !ask_database(links, NULL, click))
		return;
	destination.fetched = now;
	cache_put(links->cache, click->code, destination);
}

void
links_serve(struct links *links, struct evhttp_request *request, struct exchange *exchange, const char *path)
{
	struct destination destination = cache_find(links->cache, path + 1);
	struct click click;

	click_read(&click, request, path + 1, links->config->forwarded_hops);
	if (destination.url != NULL)
		serve_known(links, exchange, destination, &click);
	else if (!guess_allowed(&links->guesses, click.address, click.at / 1000000))
		refuse(exchange, HTTP_NOTFOUND);
	else if (!ask_database(links, exchange, &click))
		exchange_reply(exchange, HTTP_SERVUNAVAIL, NULL, slice_of(NULL));
}

struct links *
links_open(struct event_base *base, const struct config *config, struct exchanges *exchanges, struct metrics *metrics)
{
	static const struct timeval second = {1, 0};
	const struct database_events events = {on_ready, on_lost, on_result};
	struct links *links = calloc(1, sizeof(*links));

	if (links == NULL)
		return NULL;
	links->config = config;
	links->exchanges = exchanges;
	links->metrics = metrics;
	links->oldest = INT64_MAX;
	STAILQ_INIT(&links->visitors);
	STAILQ_INIT(&links->asked);
	links->cache = cache_open(config->link_cache);
	links->clicks = clicks_open();
	if (links->cache == NULL || links->clicks == NULL)
	{
		if (links->cache != NULL)
			cache_close(links->cache);
		if (links->clicks != NULL)
			clicks_close(links->clicks);
		free(links);
		return NULL;
	}
	links->turn = event_new(base, -1, 0, take_turn, links);
	links->tick = event_new(base, -1, EV_PERSIST, on_tick, links);
	event_add(links->tick, &second);
	links->database = database_open(base, "links", config->database, events, links);
	return links;
}

void
links_close(struct links *links)
{
	turn_away(&links->asked);
	turn_away(&links->visitors);
	links->metrics->clicks_lost += (uint64_t) clicks_count(links->clicks);
	clicks_close(links->clicks);
	database_close(links->database);
	event_free(links->turn);
	event_free(links->tick);
	cache_close(links->cache);
	free(links);
}

void
links_apply_limits(struct links *links)
{
	cache_set_limit(links->cache, links->config->link_cache);
}

void
links_drain(struct links *links)
{
	links->holding = true;
	exchanges_hold(links->exchanges);
	event_active(links->turn, EV_TIMEOUT, 0);
}

void
links_stop(struct links *links)
{
	database_stop(links->database);
	event_active(links->turn, EV_TIMEOUT, 0);
}
