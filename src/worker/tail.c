/*
 * tail.c - see tail.h. Rows are read in the order of their ids, and those that
 * commit behind the cursor afterwards, by their transactions (late.h). One
 * transaction works on what was read and moves the cursor over it.
 */
#include "worker/tail.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "message/spi.h"

#define TAIL_SLICE 500

Tail tail_of_events = {
	.name = "event",
	.activity = "processing store events",
	.late_query =
		"SELECT event_id FROM smsflow.event WHERE event_id > $1 AND event_id <= $2 AND xid = ANY ($3) ORDER BY event_id",
	.new_query = "SELECT event_id FROM smsflow.event WHERE event_id > $1 ORDER BY event_id LIMIT $2",
	.process = "SELECT smsflow.process_events($1), smsflow.attribute_orders($1)",
	.problem = "INSERT INTO smsflow.event_problem (event_id, error, sqlstate) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};

Tail tail_of_callbacks = {
	.name = "callback",
	.activity = "applying callbacks",
	.late_query = "SELECT callback_id FROM smsflow.callback WHERE callback_id > $1 AND callback_id <= $2 AND xid = ANY ($3) "
				  "ORDER BY callback_id",
	.new_query = "SELECT callback_id FROM smsflow.callback WHERE callback_id > $1 ORDER BY callback_id LIMIT $2",
	.process = "SELECT smsflow.apply_callbacks($1)",
	.problem =
		"INSERT INTO smsflow.callback_problem (callback_id, problem) SELECT $1, concat($2, ' ', $3) ON CONFLICT DO NOTHING",
};

/* ---- reading ---- */

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
	if (!done && ((*error)->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
				  ERRCODE_TO_CATEGORY((*error)->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK ||
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
 * the message as sent; so has one that overtakes the request, as the first report
 * does of what a primary that is lost had sent.
 */
static void
mark_reported(Datum *ids, int count)
{
	Oid types[] = {INT8ARRAYOID};
	Datum values[] = {PointerGetDatum(construct_array(ids, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE))};

	if (SPI_execute_with_args("SELECT r.message_id, NOT EXISTS (SELECT FROM smsflow.attempt a WHERE a.message_id = r.message_id)"
							  " FROM smsflow.report r WHERE r.callback_id = ANY ($1)"
							  " AND r.message_id = ANY (SELECT message_id FROM smsflow.callback WHERE callback_id = ANY ($1))",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read reports");
	for (uint64 row = 0; row < SPI_processed; row++)
		if (!job_is_reported(column_id(row, 1)) && column_bool(row, 2))
			worker.reported_id = Max(worker.reported_id, column_id(row, 1));
}

void
tail_step(void *arg)
{
	Tail *tail = arg;
	Datum *ids;
	int64 cursor_id;
	int late_count;
	int count;
	char *snapshot;

	if (tail == &tail_of_callbacks)
		worker_begin_alone(tail->activity, false);
	else
		worker_begin(tail->activity, false);
	ids = palloc(sizeof(Datum));
	snapshot = active_snapshot();
	if (!tail->loaded)
	{
		load_tail(tail);
		(void) read_late(tail, &ids); /* Remembers who runs now; what they wrote already, read_first() has. */
		late_count = read_first(tail, &ids);
	}
	else
		late_count = read_late(tail, &ids);
	count = read_new(tail, &ids, late_count);
	cursor_id = count > late_count ? DatumGetInt64(ids[count - 1]) : tail->cursor_id;
	if (count > 0)
	{
		process_all(tail, ids, count);
		if (tail == &tail_of_callbacks)
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
	tail->more = count - late_count == TAIL_SLICE;
}
