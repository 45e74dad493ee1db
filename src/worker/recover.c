/*
 * recover.c - a new worker takes over: it finds every queue's cursor in the
 * claims, and every message that was claimed but never written down.
 *
 * The journal tells which of those were perhaps on the wire; the others were
 * surely not and go back into their queue. Without a journal that can be
 * trusted, all of them are in doubt.
 *
 * Of several workers each looks at its own queues. Who claimed from them does not
 * matter: there may have been more workers, or fewer, before.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fault.h"
#include "worker/prepared.h"
#include "message/spi.h"
#include "worker/journal.h"

static int64 low_id;

/* The newest claim of each queue of ours, $1. */
#define NEWEST                                                                                                                   \
	"(SELECT c.* FROM unnest($1::integer[]) AS q (queue_id)"                                                                     \
	"  CROSS JOIN LATERAL (SELECT * FROM smsflow.claim c WHERE c.queue_id = q.queue_id ORDER BY c.claim_id DESC LIMIT 1) c)"

static Datum
own_queues(void)
{
	Datum *ids = palloc(sizeof(Datum) * (hash_get_num_entries(worker.queues) + 1));
	HASH_SEQ_STATUS scan;
	Queue *queue;
	int count = 0;

	hash_seq_init(&scan, worker.queues);
	while ((queue = hash_seq_search(&scan)) != NULL)
		ids[count++] = Int32GetDatum(queue->queue_id);
	return PointerGetDatum(construct_array(ids, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

static void
query_own_queues(const char *query, bool read_only, int expected)
{
	Oid types[] = {INT4ARRAYOID, INT8OID};
	Datum values[] = {own_queues(), Int64GetDatum(worker.generation)};

	if (SPI_execute_with_args(query, lengthof(types), types, values, NULL, read_only, 0) != expected)
		elog(ERROR, "could not take over");
}

static void
read_cursors(void)
{
	query_own_queues("SELECT c.queue_id, c.cursor_id, c.to_due, c.to_timer_id, c.low_id FROM " NEWEST " c", true, SPI_OK_SELECT);
	worker.high_id = 0;
	low_id = PG_INT64_MAX;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Queue *queue = config_queue(column_int(row, 1));

		if (queue == NULL)
			continue;
		queue->cursor_id = column_id(row, 2);
		queue->timer_due = column_time(row, 3, DT_NOBEGIN);
		queue->timer_id = column_id(row, 4);
		worker.high_id = Max(worker.high_id, queue->cursor_id);
		low_id = Min(low_id, column_id(row, 5));
	}
	low_id = Min(low_id, worker.high_id);
}

/* ---- messages without a result ---- */

/*
 * Of a generation, only claims from the oldest one that was open at its newest
 * can have some. OFFSET 0: the gate is asked about these messages, and not about
 * the whole outbox. A generation of another timeline is none here: what wrote its journal may have been another server,
 * and the file that is here came with a base backup.
 */
static const char unrecorded_query[] =
	"WITH newest AS MATERIALIZED (SELECT * FROM " NEWEST " c), open AS MATERIALIZED ("
	" SELECT DISTINCT ON (generation) generation, CASE WHEN oldest_open = 0 THEN claim_id ELSE oldest_open END AS first_id"
	" FROM newest ORDER BY generation, claim_id DESC), claims AS MATERIALIZED ("
	" SELECT c.* FROM newest n JOIN open USING (generation) CROSS JOIN LATERAL (SELECT * FROM smsflow.claim c"
	"  WHERE c.queue_id = n.queue_id AND c.claim_id >= open.first_id AND c.generation = n.generation OFFSET 0) c)"
	" SELECT" GATED_COLUMNS ", g.queue_id, u.attempt::integer, u.in_doubt,"
	" EXISTS (SELECT FROM smsflow.report r WHERE r.message_id = u.message_id),"
	" (SELECT w.generation FROM smsflow.worker_start w WHERE w.generation = u.generation"
	"  AND w.timeline = (SELECT timeline FROM smsflow.this_copy())) FROM ("
	" SELECT o.message_id, 1 AS attempt, false AS in_doubt, c.generation FROM claims c"
	"  JOIN smsflow.outbox o ON o.queue_id = c.queue_id AND o.message_id > c.from_id AND o.message_id <= c.to_id"
	"  WHERE c.kind <> 'timer' AND pg_visible_in_snapshot(o.xid, c.snapshot)"
	"  AND NOT EXISTS (SELECT FROM smsflow.attempt a WHERE a.message_id = o.message_id)"
	"  AND NOT EXISTS (SELECT FROM smsflow.timer t WHERE t.message_id = o.message_id)"
	" UNION"
	" SELECT t.message_id, t.attempt, t.reason IN ('resend', 'resend_later'), c.generation FROM claims c"
	"  JOIN smsflow.timer t ON t.queue_id = c.queue_id AND (t.due_at, t.timer_id) > (c.from_due, c.from_timer_id)"
	"   AND (t.due_at, t.timer_id) <= (c.to_due, c.to_timer_id)"
	"  WHERE c.kind = 'timer'"
	"  AND NOT EXISTS (SELECT FROM smsflow.attempt a WHERE a.message_id = t.message_id AND a.attempt >= t.attempt)"
	"  AND NOT EXISTS (SELECT FROM smsflow.timer n WHERE n.message_id = t.message_id AND n.timer_id > t.timer_id)"
	") u CROSS JOIN LATERAL (SELECT * FROM smsflow.gated WHERE message_id = u.message_id OFFSET 0) g ORDER BY g.message_id";

/*
 * Committed behind the cursor while no worker looked: the newest claim did not see it, and nobody has claimed since. What a claim
 * saw behind the cursor was taken in its own turn at the latest.
 */
static const char overlooked_query[] =
	"WITH overlooked AS MATERIALIZED (SELECT o.message_id FROM " NEWEST " p CROSS JOIN LATERAL (SELECT * FROM smsflow.outbox o"
	"  WHERE o.queue_id = p.queue_id AND o.message_id > p.low_id AND o.message_id <= p.cursor_id"
	"  AND NOT pg_visible_in_snapshot(o.xid, p.snapshot) OFFSET 0) o)"
	" SELECT" GATED_COLUMNS ", g.queue_id, 1, false, false, 0::bigint FROM overlooked u"
	" CROSS JOIN LATERAL (SELECT * FROM smsflow.gated WHERE message_id = u.message_id OFFSET 0) g ORDER BY g.message_id";

static void
give_back(Job *job, const char *reason)
{
	job->outcome = OUTCOME_NONE;
	job->due_at = job->finished_at;
	job->timer_reason = job->was_in_doubt ? "resend_later" : reason;
	job->next_attempt = job->attempt;
}

static Job **
read_jobs(void)
{
	Job **jobs = palloc(sizeof(Job *) * (SPI_processed + 1));

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Queue *queue = config_queue(column_int(row, GATED_COUNT + 1));
		Job *job = job_from_row(queue, row);

		job->attempt = column_int(row, GATED_COUNT + 2);
		job->was_in_doubt = column_bool(row, GATED_COUNT + 3);
		job->reported = column_bool(row, GATED_COUNT + 4);
		job->sender = queue->sender;
		jobs[row] = job;
	}
	return jobs;
}

static void
free_jobs(Job **jobs, int count)
{
	for (int i = 0; i < count; i++)
		MemoryContextDelete(jobs[i]->context);
}

static void
settle_unrecorded(void)
{
	int doubtful = 0;
	int count;
	Job **jobs;

	query_own_queues(unrecorded_query, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	jobs = read_jobs();
	for (int i = 0; i < count; i++)
	{
		bool trusted = smsflow_journal_trusted(column_id(i, GATED_COUNT + 5));

		if (!smsflow_lost_in_doubt(trusted, trusted && smsflow_journal_had(jobs[i]->message_id, jobs[i]->attempt)))
			give_back(jobs[i], "released");
		else
		{
			job_in_doubt(jobs[i], "worker_lost");
			jobs[i]->started_at = jobs[i]->finished_at;
			doubtful++;
		}
	}
	record_jobs(jobs, count);
	if (count > 0)
		ereport(LOG, (errmsg("%d messages were claimed by a worker that is gone: %d may have been sent", count, doubtful)));
	free_jobs(jobs, count);
}

/* The claim makes sure that nobody finds them once more. */
static void
settle_overlooked(void)
{
	int count;
	Job **jobs;

	query_own_queues(overlooked_query, true, SPI_OK_SELECT);
	count = (int) SPI_processed;
	jobs = read_jobs();
	for (int i = 0; i < count; i++)
		give_back(jobs[i], "released");
	record_jobs(jobs, count);
	free_jobs(jobs, count);
}

static void
write_start(void)
{
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[] = {Int32GetDatum(MyProcPid), CStringGetTextDatum(SMSFLOW_VERSION)};

	if (SPI_execute_with_args("INSERT INTO smsflow.worker_start (generation, pid, version, timeline, last_message_id)"
							  " SELECT nextval('smsflow.generation_seq'), $1, $2, c.timeline, s.last_value"
							  " FROM smsflow.this_copy() c, smsflow.message_id_seq s RETURNING generation",
							  2, types, values, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not write worker_start");
	worker.generation = column_id(0, 1);
}

/*
 * Overlooked rows are covered from here on by a claim over the same range. It also
 * says that no claim before it is open, so that the next start need not look there.
 */
static void
write_claims(void)
{
	query_own_queues("INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id,"
					 " cursor_id, low_id, oldest_open, generation)"
					 " SELECT c.queue_id, 'late', c.low_id, c.cursor_id, c.to_due, c.to_timer_id, c.to_due, c.to_timer_id,"
					 "  c.cursor_id, c.low_id, 1 + (SELECT max(claim_id) FROM smsflow.claim), $2 FROM " NEWEST " c",
					 false, SPI_OK_INSERT);
}

static void
remember_running(void)
{
	uint64 *committed;
	int64 ignored;

	late_start(&worker.late, low_id);
	late_update(&worker.late, GetActiveSnapshot(), &committed, &ignored);
	late_commit(&worker.late, worker.high_id);
}

/*
 * Shared memory forgets at a restart of the server what prepared transactions
 * have told; of those that have written here, everything must be expected.
 */
static void
remember_prepared(void)
{
	if (SPI_execute("SELECT transaction FROM smsflow.prepared", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the prepared transactions");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		bool isnull;
		Datum xid = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1, &isnull);

		smsflow_prepared_register_unknown(DatumGetTransactionId(xid));
	}
}

void
recover(void)
{
	remember_prepared();
	read_cursors();
	write_start();
	settle_unrecorded();
	settle_overlooked();
	write_claims();
	remember_running();
	smsflow_fault("recover");
}
