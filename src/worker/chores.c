/*
 * chores.c - everything the worker does besides sending: it reads the logs of
 * store events and callbacks, moves enrolments and campaigns on, folds
 * metrics, and keeps segments of tables ahead. Each chore is a short
 * transaction of its own and does a bounded slice of work.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "message/policy.h"
#include "message/spi.h"
#include "worker/lookup.h"

#define TAIL_SLICE 500
#define ENROLLMENT_SLICE 500
#define CAMPAIGN_SLICE 2000
#define COUPON_SLICE 500
#define FEEDBACK_SLICE 100
#define SETTLE_SLICE 1000
#define FOLD_INTERVAL USECS_PER_SEC

/* Rates of hours change slowly, and comparing them reads weeks of counters. */
#define WATCH_INTERVAL (5 * USECS_PER_MINUTE)

/*
 * Deltas folded at one time, and the pause in between. A full campaign brings more than may be folded beside it: while
 * something is to be sent, slices are short and the pause is this many times as long as the last one took.
 */
#define PROFILE_SLICE 500
#define PROFILE_SLICE_BUSY 50
#define PROFILE_PAUSE (50 * USECS_PER_SEC / 1000)
#define PROFILE_PAUSE_BUSY 30

/* A failing chore is tried again after this. */
#define CHORE_PAUSE (5 * USECS_PER_SEC)

/* Reader of an append-only log, as smsflow.tail keeps it. */
typedef struct Tail
{
	const char *name;
	const char *late_query; /* $1 low, $2 cursor, $3 transactions */
	const char *new_query;  /* $1 cursor, $2 limit */
	const char *process;    /* $1 ids */
	const char *problem;    /* $1 id, $2 message, $3 sqlstate */
	SPIPlanPtr late_plan;
	SPIPlanPtr new_plan;
	bool loaded;
	bool pending; /* something may be there */
	int64 cursor_id;
	Late late;
} Tail;

static Tail events = {
	.name = "event",
	.late_query =
		"SELECT event_id FROM smsflow.event WHERE event_id > $1 AND event_id <= $2 AND xid = ANY ($3) ORDER BY event_id",
	.new_query = "SELECT event_id FROM smsflow.event WHERE event_id > $1 ORDER BY event_id LIMIT $2",
	.process = "SELECT smsflow.process_events($1), smsflow.attribute_orders($1)",
	.problem = "INSERT INTO smsflow.event_problem (event_id, error, sqlstate) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};

static Tail callbacks = {
	.name = "callback",
	.late_query = "SELECT callback_id FROM smsflow.callback WHERE callback_id > $1 AND callback_id <= $2 AND xid = ANY ($3) "
				  "ORDER BY callback_id",
	.new_query = "SELECT callback_id FROM smsflow.callback WHERE callback_id > $1 ORDER BY callback_id LIMIT $2",
	.process = "SELECT smsflow.apply_callbacks($1)",
	.problem =
		"INSERT INTO smsflow.callback_problem (callback_id, problem) SELECT $1, concat($2, ' ', $3) ON CONFLICT DO NOTHING",
};

static TimestampTz enrollments_due = DT_NOBEGIN;
static TimestampTz campaigns_due = DT_NOBEGIN;
static TimestampTz feedback_due = DT_NOBEGIN;
static TimestampTz settlements_due = DT_NOBEGIN;
static TimestampTz fold_due = DT_NOEND;
static TimestampTz profiles_due = DT_NOBEGIN;
static TimestampTz watch_due = DT_NOBEGIN;
static TimestampTz retry_at = DT_NOEND;
static bool rechecking = true;

/* ---- reading a log ---- */

static void
load_tail(Tail *tail)
{
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(tail->name)};

	if (SPI_execute_with_args("SELECT cursor_id, low_id FROM smsflow.tail WHERE name = $1", 1, types, values, NULL, true, 1) !=
			SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "smsflow.tail has no row \"%s\"", tail->name);
	tail->cursor_id = column_id(0, 1);
	late_start(&tail->late, column_id(0, 2));
}

static int
append_ids(Datum **ids, int count)
{
	*ids = repalloc(*ids, sizeof(Datum) * (count + SPI_processed + 1));
	for (uint64 row = 0; row < SPI_processed; row++)
		(*ids)[count++] = Int64GetDatum(column_id(row, 1));
	return count;
}

static int
read_late(Tail *tail, Datum **ids)
{
	Oid types[] = {INT8OID, INT8OID, XID8ARRAYOID};
	uint64 *committed;
	int64 low_id;
	int count = late_update(&tail->late, GetActiveSnapshot(), &committed, &low_id);
	Datum values[] = {Int64GetDatum(low_id), Int64GetDatum(tail->cursor_id), late_array(committed, count)};

	if (count == 0)
		return 0;
	smsflow_spi_plan(&tail->late_plan, tail->late_query, lengthof(types), types);
	smsflow_spi_run(tail->late_plan, values, NULL, true, SPI_OK_SELECT);
	return append_ids(ids, 0);
}

static int
read_new(Tail *tail, Datum **ids, int count)
{
	Oid types[] = {INT8OID, INT4OID};
	Datum values[] = {Int64GetDatum(tail->cursor_id), Int32GetDatum(TAIL_SLICE)};

	smsflow_spi_plan(&tail->new_plan, tail->new_query, lengthof(types), types);
	smsflow_spi_run(tail->new_plan, values, NULL, true, SPI_OK_SELECT);
	return append_ids(ids, count);
}

/*
 * A new reader's log is covered by the stored snapshot: what it saw up to the
 * cursor is done, what it did not see is read now.
 */
static int
read_first(Tail *tail, Datum **ids)
{
	char *query =
		psprintf("SELECT %s_id FROM smsflow.%s x JOIN smsflow.tail t ON t.name = '%s'"
				 " WHERE x.%s_id > t.low_id AND x.%s_id <= t.cursor_id AND NOT pg_visible_in_snapshot(x.xid, t.snapshot)"
				 " ORDER BY 1",
				 tail->name, tail->name, tail->name, tail->name, tail->name);

	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read smsflow.%s", tail->name);
	return append_ids(ids, 0);
}

/* ---- working on what was read ---- */

static void
process(Tail *tail, Datum *ids, int count)
{
	Oid types[] = {INT8ARRAYOID};
	Datum values[] = {PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))};

	if (SPI_execute_with_args(tail->process, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not process smsflow.%s", tail->name);
}

static void
write_problem(Tail *tail, Datum id, ErrorData *error)
{
	Oid types[] = {INT8OID, TEXTOID, TEXTOID};
	Datum values[] = {id, CStringGetTextDatum(error->message ? error->message : "unknown error"),
					  CStringGetTextDatum(unpack_sql_state(error->sqlerrcode))};

	if (SPI_execute_with_args(tail->problem, 3, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write a problem of smsflow.%s", tail->name);
}

/* Returns false, with the error, when processing failed; it is then undone. */
static bool
process_guarded(Tail *tail, Datum *ids, int count, ErrorData **error)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		process(tail, ids, count);
		ReleaseCurrentSubTransaction();
		done = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	/* What concerns the transaction and not the row is left to the caller. */
	if (!done && (ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
				  ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES ||
				  ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION))
		ReThrowError(*error);
	return done;
}

/* One bad row must not hold up the others: it is set aside with its error. */
static void
process_all(Tail *tail, Datum *ids, int count)
{
	ErrorData *error;

	if (process_guarded(tail, ids, count, &error))
		return;
	for (int i = 0; i < count; i++)
		if (!process_guarded(tail, &ids[i], 1, &error))
			write_problem(tail, ids[i], error);
}

static void
save_tail(Tail *tail, int64 cursor_id, const char *snapshot)
{
	Oid types[] = {TEXTOID, INT8OID, INT8OID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(tail->name), Int64GetDatum(cursor_id), Int64GetDatum(late_low(&tail->late, cursor_id)),
					  CStringGetTextDatum(snapshot)};

	if (SPI_execute_with_args("UPDATE smsflow.tail SET cursor_id = $2, low_id = $3, snapshot = $4::pg_snapshot WHERE name = $1",
							  4, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update smsflow.tail");
}

static char *
active_snapshot(void)
{
	if (SPI_execute("SELECT pg_current_snapshot()::text", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the snapshot");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/*
 * A report that overtakes the answer of its own request has already counted
 * the message as sent.
 */
static void
mark_reported(Datum *ids, int count)
{
	Oid types[] = {INT8ARRAYOID};
	Datum values[] = {PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))};

	if (SPI_execute_with_args("SELECT message_id FROM smsflow.report WHERE callback_id = ANY ($1)"
							  " AND message_id = ANY (SELECT message_id FROM smsflow.callback WHERE callback_id = ANY ($1))",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read reports");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		int64 message_id = column_id(row, 1);
		JobEntry *entry = hash_search(worker.jobs, &message_id, HASH_FIND, NULL);

		if (entry)
			entry->job->reported = true;
	}
}

static void
tail_step(void *arg)
{
	Tail *tail = arg;
	Datum *ids;
	int64 cursor_id;
	int late_count;
	int count;
	char *snapshot;

	worker_begin(tail == &events ? "processing store events" : "applying callbacks", false);
	ids = palloc(sizeof(Datum));
	snapshot = active_snapshot();
	if (!tail->loaded)
	{
		load_tail(tail);
		late_count = read_late(tail, &ids);
		late_count = read_first(tail, &ids);
	}
	else
		late_count = read_late(tail, &ids);
	count = read_new(tail, &ids, late_count);
	cursor_id = count > late_count ? DatumGetInt64(ids[count - 1]) : tail->cursor_id;
	if (count > 0)
	{
		process_all(tail, ids, count);
		if (tail == &callbacks)
			mark_reported(ids, count);
	}
	if (count > 0 || late_low(&tail->late, cursor_id) < cursor_id)
		save_tail(tail, cursor_id, snapshot);
	if (count > 0)
		smsflow_fault(tail->name);
	worker_commit();
	late_commit(&tail->late, cursor_id);
	tail->cursor_id = cursor_id;
	tail->loaded = true;
	tail->pending = count - late_count == TAIL_SLICE;
}

/* ---- enrolments and campaigns ---- */

typedef struct Advance
{
	const char *name;
	const char *activity;
	const char *query;
	TimestampTz *due;
} Advance;

static void
advance_step(void *arg)
{
	Advance *advance = arg;

	worker_begin(advance->activity, false);
	if (SPI_execute(advance->query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "unexpected result of chore \"%s\"", advance->name);
	*advance->due = column_time(0, 1, DT_NOEND);
	smsflow_fault(advance->name);
	worker_commit();
}

static Advance enrollments = {
	.name = "enrollment",
	.activity = "advancing enrolments",
	.query = "SELECT smsflow.advance_enrollments(" CppAsString2(ENROLLMENT_SLICE) ")",
	.due = &enrollments_due,
};
static Advance campaigns = {
	.name = "campaign",
	.activity = "advancing campaigns",
	.query = "SELECT smsflow.advance_campaigns(" CppAsString2(CAMPAIGN_SLICE) ")",
	.due = &campaigns_due,
};
static Advance feedback = {
	.name = "feedback",
	.activity = "recording what gateways said of contacts",
	.query = "SELECT smsflow.learn_feedback(" CppAsString2(FEEDBACK_SLICE) ")",
	.due = &feedback_due,
};

static Advance settlements = {
	.name = "settle",
	.activity = "ending the wait for reports",
	.query = "SELECT smsflow.settle_unanswered(" CppAsString2(SETTLE_SLICE) ")",
	.due = &settlements_due,
};

/* What is due again has timers that its queues do not know of: they look. */
static void
wake_queues(void)
{
	HASH_SEQ_STATUS scan;
	Queue *queue;

	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
	{
		queue->next_due = DT_NOBEGIN;
		schedule_wake(queue);
	}
}

/* Messages that a person found to be unsent are due again. */
static void
resolve_step(void *arg)
{
	bool again;

	worker_begin("resolving doubts", false);
	if (SPI_execute("SELECT smsflow.apply_resolutions(" CppAsString2(SETTLE_SLICE) ")", false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not apply resolutions");
	again = column_bool(0, 1);
	worker_commit();
	if (again)
		wake_queues();
}

/* What a gateway says when it is asked is applied as its reports are. */
static void
look_up(TimestampTz now)
{
	LookupNews news = lookups_run();

	callbacks.pending |= news.found;
	if (news.again)
		wake_queues();
	if (!news.done)
		retry_at = Min(retry_at, now + CHORE_PAUSE);
}

/* ---- upkeep ---- */

static void
fold_step(void *arg)
{
	worker_begin("folding metrics", false);
	SPI_execute("SELECT smsflow.fold_metrics()", false, 1);
	smsflow_fault("fold");
	worker_commit();
}

/* Facts are exact without it; folded, they are cheap to read. */
static void
profiles_step(void *arg)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID};
	bool busy = worker.backlog > 0 || worker.in_flight > 0;
	Datum slice = Int32GetDatum(busy ? PROFILE_SLICE_BUSY : PROFILE_SLICE);
	int64 began = worker.clock->monotonic();

	worker_begin("folding profiles", false);
	smsflow_spi_plan(&plan, "SELECT smsflow.fold_profiles($1)", lengthof(types), types);
	smsflow_spi_run(plan, &slice, NULL, false, SPI_OK_SELECT);
	if (column_bool(0, 1))
		profiles_due =
			worker.clock->now() + Max(PROFILE_PAUSE, busy ? PROFILE_PAUSE_BUSY * (worker.clock->monotonic() - began) : 0);
	smsflow_fault("profiles");
	worker_commit();
}

/* What waits for its pause to end goes on waiting. */
static void
fold_profiles_soon(TimestampTz now)
{
	if (profiles_due == DT_NOEND)
		profiles_due = now + FOLD_INTERVAL;
}

/* Figures that were just folded may say that a campaign does harm. */
static void
tend_campaigns_step(void *arg)
{
	worker_begin("tending campaigns", false);
	SPI_execute("SELECT smsflow.tend_campaigns(" CppAsString2(COUPON_SLICE) ")", false, 1);
	worker_commit();
}

/* A reader of the tables may delay a new segment; there is time for it. */
static void
segments_step(void *arg)
{
	worker_begin("making segments", false);
	SPI_execute("SELECT set_config('lock_timeout', '100ms', true), smsflow.make_segments(), smsflow.forget_touches(),"
				" smsflow.forget_otps()",
				false, 1);
	smsflow_fault("segments");
	worker_commit();
}

/* Nothing but armed copies seal: one that is being restored gets the seals of the original. */
static void
seal_step(void *arg)
{
	worker_begin("sealing the consent ledger", false);
	SPI_execute("SELECT smsflow.seal_consent_ledger()", false, 1);
	worker_commit();
}

/* Rates against their own past. */
static void
watch_step(void *arg)
{
	worker_begin("watching figures", false);
	SPI_execute("SELECT smsflow.watch_figures()", false, 1);
	worker_commit();
}

/* Reports that came before their message was known, and replies of which a part is missing. */
static void
tend_step(void *arg)
{
	worker_begin("tending callbacks", false);
	SPI_execute("SELECT smsflow.tend_callbacks()", false, 1);
	worker_commit();
}

/* ---- all of it ---- */

static void
attempt(void (*step)(void *arg), void *arg, TimestampTz now)
{
	if (!worker_try(step, arg))
		retry_at = Min(retry_at, now + CHORE_PAUSE);
}

void
chores_forget(void)
{
	events.loaded = callbacks.loaded = false;
	enrollments_due = campaigns_due = feedback_due = settlements_due = profiles_due = DT_NOBEGIN;
	lookups_forget();
	recheck_begin();
	rechecking = true;
}

/* What fails is tried again after a pause, and not in between. */
static void
recheck(TimestampTz now)
{
	rechecking = recheck_run();
	if (!rechecking)
		retry_at = Min(retry_at, now + CHORE_PAUSE);
	rechecking &= recheck_unfinished();
}

void
chores_run(uint32 news, bool sweep)
{
	TimestampTz now = worker.clock->now();
	bool retry = retry_at <= now;

	if (retry)
		retry_at = DT_NOEND;
	events.pending |= sweep || retry || (news & SMSFLOW_NEWS_EVENTS);
	callbacks.pending |= sweep || retry || (news & SMSFLOW_NEWS_CALLBACKS);
	if (sweep || retry)
		lookups_forget();
	if (lookups_due() <= now)
		look_up(now);
	if (callbacks.pending)
	{
		callbacks.pending = false;
		attempt(tail_step, &callbacks, now);
		feedback_due = DT_NOBEGIN;
		fold_due = Min(fold_due, now + FOLD_INTERVAL);
	}
	if (feedback_due <= now || sweep || retry)
	{
		feedback_due = DT_NOEND;
		attempt(advance_step, &feedback, now);
	}
	if (events.pending)
	{
		events.pending = false;
		attempt(tail_step, &events, now);
		enrollments_due = DT_NOBEGIN;
		fold_profiles_soon(now);
	}
	if (enrollments_due <= now || sweep || retry)
	{
		enrollments_due = DT_NOEND;
		attempt(advance_step, &enrollments, now);
	}
	if (campaigns_due <= now || sweep || retry || (news & SMSFLOW_NEWS_CONFIG))
	{
		campaigns_due = DT_NOEND;
		attempt(advance_step, &campaigns, now);
	}
	if (sweep || retry || (news & SMSFLOW_NEWS_RESOLUTIONS))
		attempt(resolve_step, NULL, now);
	if (settlements_due <= now || sweep || retry)
	{
		settlements_due = DT_NOEND;
		attempt(advance_step, &settlements, now);
	}
	if (news & SMSFLOW_NEWS_RULES)
	{
		smsflow_policy_forget();
		recheck_begin();
	}
	if ((rechecking || retry || (news & SMSFLOW_NEWS_RULES)) && recheck_unfinished())
		recheck(now);
	if (fold_due <= now || sweep)
	{
		fold_due = DT_NOEND;
		attempt(fold_step, NULL, now);
		attempt(tend_campaigns_step, NULL, now);
		fold_profiles_soon(now);
	}
	if (profiles_due <= now || sweep || retry)
	{
		profiles_due = DT_NOEND;
		attempt(profiles_step, NULL, now);
	}
	if (sweep)
	{
		attempt(tend_step, NULL, now);
		attempt(segments_step, NULL, now);
	}
	if (sweep && watch_due <= now)
	{
		watch_due = now + WATCH_INTERVAL;
		attempt(watch_step, NULL, now);
	}
	if (sweep && worker.armed)
		attempt(seal_step, NULL, now);
}

void
chores_fold_soon(void)
{
	if (fold_due == DT_NOEND)
		fold_due = worker.clock->now() + FOLD_INTERVAL;
}

void
chores_learn_soon(void)
{
	feedback_due = DT_NOBEGIN;
}

TimestampTz
chores_due(void)
{
	TimestampTz due = Min(Min(Min(enrollments_due, campaigns_due), Min(fold_due, retry_at)),
						  Min(Min(feedback_due, settlements_due), profiles_due));

	due = Min(due, lookups_due());
	return events.pending || callbacks.pending || rechecking ? DT_NOBEGIN : due;
}
