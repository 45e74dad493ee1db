/*
 * Pending callbacks, gathered into transactions.  At most one transaction is under way; while it is, new callbacks
 * wait and leave together with the next one, so the load itself decides how large the batches get.  An idle daemon
 * sends the callbacks of one turn of the event loop at once.
 *
 * Order matters, because a STOP and a START of the same person are two callbacks: what is in the spool goes first,
 * and a callback is spooled behind everything older.
 *
 * The callbacks of the transaction under way are in "flight".  If one of them spoils the batch, they are sent one by
 * one; if the connection is lost, those that someone waits for move to the spool and are answered from there.
 */
#include "batch.h"

#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "database.h"
#include "exchange.h"
#include "log.h"
#include "receive.h"

/* More than this is not put in one transaction, whatever the number of callbacks. */
#define BATCH_BYTES (4L << 20)

/* How long a callback waits for a replay to get to it, before it is spooled itself: clients wait 5 s and more. */
#define REPLAY_PATIENCE_MS 2000

struct batcher
{
	struct event_base *base;
	const struct config *config;
	struct spool *spool;
	struct metrics *metrics;
	struct database *database;
	struct event *turn; /* runs take_turn at the end of this turn of the event loop, or later */

	struct callback_list pending;
	long pending_count;
	struct callback_list flight; /* oldest first; those from the spool before the others */
	int flight_count;
	int sent;        /* how many of the flight the running statement holds; 0 if none runs */
	bool one_by_one; /* a batch was refused, its callbacks are now sent alone */
	long window;     /* callbacks per batch; small after trouble, doubled by each success */
};

static struct slice
record_of(const struct callback *callback)
{
	return (struct slice){callback->record, callback->size};
}

static struct callback *
shift(struct callback_list *list)
{
	struct callback *callback = STAILQ_FIRST(list);

	if (callback != NULL)
		STAILQ_REMOVE_HEAD(list, next);
	return callback;
}

static void
answer(struct callback *callback, int status)
{
	exchange_reply(callback->exchange, status, NULL, slice_of(NULL));
	free(callback);
}

/* Spools everything pending with one fdatasync, and answers it. */
static void
spool_pending(struct batcher *batcher)
{
	struct callback *callback;
	bool durable;

	STAILQ_FOREACH(callback, &batcher->pending, next)
	callback->in_spool = spool_append(batcher->spool, record_of(callback));
	durable = spool_sync(batcher->spool);
	while ((callback = shift(&batcher->pending)) != NULL)
	{
		bool kept = durable && callback->in_spool;

		batcher->metrics->spooled += kept;
		answer(callback, kept ? HTTP_OK : HTTP_SERVUNAVAIL);
	}
	batcher->pending_count = 0;
}

static void
add_to_flight(struct batcher *batcher, struct callback *callback)
{
	STAILQ_INSERT_TAIL(&batcher->flight, callback, next);
	batcher->flight_count++;
}

static void
load_from_spool(struct batcher *batcher)
{
	size_t bytes = 0;

	while (batcher->flight_count < batcher->window && bytes < BATCH_BYTES)
	{
		struct slice record = spool_next(batcher->spool);
		struct callback *callback;

		if (record.size == 0)
			break;
		callback = callback_from_record(record);
		if (callback == NULL)
		{
			log_line("spool: cannot use a record, trying again later");
			spool_rewind(batcher->spool);
			break;
		}
		callback->spool_end = spool_position(batcher->spool);
		bytes += record.size;
		add_to_flight(batcher, callback);
	}
}

static void
load_from_pending(struct batcher *batcher)
{
	size_t bytes = 0;

	while (batcher->flight_count < batcher->window && bytes < BATCH_BYTES && !STAILQ_EMPTY(&batcher->pending))
	{
		struct callback *callback = shift(&batcher->pending);

		batcher->pending_count--;
		bytes += callback->size;
		add_to_flight(batcher, callback);
	}
}

/* True if pending callbacks should leave now; otherwise makes sure that they do in time. */
static bool
is_due(struct batcher *batcher)
{
	const struct callback *oldest = STAILQ_FIRST(&batcher->pending);
	int64_t wait_ms;
	struct timeval wait;

	if (oldest == NULL)
		return false;
	wait_ms = oldest->due_ms - monotonic_ms();
	if (wait_ms <= 0 || batcher->pending_count >= batcher->config->batch_max)
		return true;
	wait = (struct timeval){wait_ms / 1000, wait_ms % 1000 * 1000};
	event_add(batcher->turn, &wait);
	return false;
}

static void
load_flight(struct batcher *batcher)
{
	const struct callback *oldest = STAILQ_FIRST(&batcher->pending);

	if (!spool_is_empty(batcher->spool))
	{
		if (oldest != NULL && monotonic_ms() - oldest->arrived_ms > REPLAY_PATIENCE_MS)
			spool_pending(batcher);
		load_from_spool(batcher);
	}

	/* The spool is empty now, too, when all that was left of it is damaged. */
	if (spool_is_empty(batcher->spool) && is_due(batcher))
		load_from_pending(batcher);
}

static void
send_flight(struct batcher *batcher)
{
	batcher->sent = batcher->one_by_one ? 1 : batcher->flight_count;
	receive_send(batcher->database, &batcher->flight, batcher->sent);
}

static void
take_turn(evutil_socket_t descriptor, short what, void *argument)
{
	struct batcher *batcher = argument;

	(void) descriptor;
	(void) what;
	if (batcher->sent > 0)
		return;
	if (!database_is_ready(batcher->database))
	{
		spool_pending(batcher);
		return;
	}
	if (batcher->flight_count == 0)
	{
		batcher->one_by_one = false;
		load_flight(batcher);
	}
	if (batcher->flight_count > 0)
		send_flight(batcher);
}

static void
on_ready(void *argument)
{
	struct batcher *batcher = argument;

	event_active(batcher->turn, EV_TIMEOUT, 0);
}

/* Puts the flight back where it came from: to the spool file, which still has it, or in front of what is pending. */
static void
on_lost(void *argument)
{
	struct batcher *batcher = argument;
	struct callback_list waiting = STAILQ_HEAD_INITIALIZER(waiting);
	struct callback *callback;

	while ((callback = shift(&batcher->flight)) != NULL)
	{
		if (callback->exchange == NULL)
			free(callback);
		else
			STAILQ_INSERT_TAIL(&waiting, callback, next);
	}
	STAILQ_CONCAT(&waiting, &batcher->pending);
	STAILQ_CONCAT(&batcher->pending, &waiting);
	spool_rewind(batcher->spool);
	batcher->flight_count = batcher->sent = 0;
	batcher->one_by_one = false;
	batcher->window = 1;
	event_active(batcher->turn, EV_TIMEOUT, 0);
}

/* The oldest of the flight is done with, committed or refused for good. */
static struct callback *
leave_flight(struct batcher *batcher)
{
	struct callback *callback = shift(&batcher->flight);

	batcher->flight_count--;
	batcher->sent--;
	if (callback->exchange == NULL)
		spool_forget(batcher->spool, callback->spool_end);
	return callback;
}

static void
commit_one(struct batcher *batcher, const struct reply *reply)
{
	struct callback *callback = leave_flight(batcher);

	if (callback->exchange == NULL && reply->status >= HTTP_INTERNAL)
		spool_reject(batcher->spool, record_of(callback));
	else if (callback->exchange == NULL)
		batcher->metrics->replayed++;
	else
		exchange_reply(callback->exchange, reply->status, reply->content_type, reply->body);
	free(callback);
}

static void
commit_sent(struct batcher *batcher, const PGresult *result)
{
	const long batch_max = batcher->config->batch_max;
	int count = batcher->sent;
	struct reply *replies = receive_replies(result, count);

	database_trust(batcher->database);
	batcher->metrics->batches++;
	batcher->metrics->batch_rows += (uint64_t) count;
	batcher->window = batcher->window * 2 < batch_max ? batcher->window * 2 : batch_max;
	for (int i = 0; i < count; i++)
		commit_one(batcher, &replies[i]);
	free(replies);
}

static void
refuse_one(struct batcher *batcher, const char *sqlstate)
{
	struct callback *callback = STAILQ_FIRST(&batcher->flight);

	log_line("database: refused a callback, SQLSTATE %s", sqlstate);
	batcher->metrics->refused++;
	if (callback->exchange == NULL)
		spool_reject(batcher->spool, record_of(callback));
	callback = leave_flight(batcher);
	if (callback->exchange == NULL)
		free(callback);
	else
		answer(callback, HTTP_INTERNAL);
}

static void
on_error(struct batcher *batcher, const char *sqlstate)
{
	if (!receive_is_about_rows(sqlstate))
	{
		char reason[32];

		snprintf(reason, sizeof(reason), "SQLSTATE %.5s", sqlstate);
		database_distrust(batcher->database, reason);
		return;
	}
	if (batcher->sent == 1)
		refuse_one(batcher, sqlstate);
	else
		batcher->one_by_one = true;
	batcher->sent = 0;
}

static void
on_result(void *argument, const PGresult *result)
{
	struct batcher *batcher = argument;
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		commit_sent(batcher, result);
	else
		on_error(batcher, sqlstate != NULL ? sqlstate : "XX000");
	event_active(batcher->turn, EV_TIMEOUT, 0);
}

struct batcher *
batcher_open(struct event_base *base, const struct config *config, struct spool *spool, struct metrics *metrics)
{
	const struct database_events events = {on_ready, on_lost, on_result};
	struct batcher *batcher = calloc(1, sizeof(*batcher));

	if (batcher == NULL)
		return NULL;
	*batcher = (struct batcher){.base = base, .config = config, .spool = spool, .metrics = metrics, .window = config->batch_max};
	STAILQ_INIT(&batcher->pending);
	STAILQ_INIT(&batcher->flight);
	batcher->turn = event_new(base, -1, 0, take_turn, batcher);
	batcher->database = database_open(base, "database", config->database, events, batcher);
	return batcher;
}

/* Their connections are closed already, so ending the exchanges only frees them. */
static void
free_list(struct callback_list *list)
{
	struct callback *callback;

	while ((callback = shift(list)) != NULL)
	{
		if (callback->exchange != NULL)
			answer(callback, HTTP_SERVUNAVAIL);
		else
			free(callback);
	}
}

void
batcher_close(struct batcher *batcher)
{
	free_list(&batcher->flight);
	free_list(&batcher->pending);
	database_close(batcher->database);
	event_free(batcher->turn);
	free(batcher);
}

void
batcher_add(struct batcher *batcher, struct callback *callback)
{
	callback->arrived_ms = callback->due_ms = monotonic_ms();
	if (batcher->sent > 0)
		callback->due_ms += batcher->config->batch_delay_ms;
	STAILQ_INSERT_TAIL(&batcher->pending, callback, next);
	batcher->pending_count++;
	event_active(batcher->turn, EV_TIMEOUT, 0);
}

void
batcher_stop(struct batcher *batcher)
{
	database_stop(batcher->database);
}

const char *
batcher_trouble(const struct batcher *batcher)
{
	return database_is_up(batcher->database) ? NULL : database_reason(batcher->database);
}
