/*
 * claim.c - what a turn takes: rows past a queue's cursor, timers that are due,
 * rows that were committed late; each with the gate's word of the snapshot that
 * claims.
 */
#include "worker/turn.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "message/membership.h"
#include "message/policy.h"
#include "message/spi.h"
#include "types/types.h"

/* A capped message whose contact has another one in hand is looked at again after this time. */
#define BUSY_RETRY (10 * USECS_PER_SEC)

/* ---- the gate's word ---- */

static void
hold_until(Job *job, TimestampTz due_at, const char *reason)
{
	job->outcome = OUTCOME_NONE;
	job->due_at = due_at;
	job->timer_reason = reason;
	job->next_attempt = job->attempt;
}

/* What no time heals is final; so is what time heals too late. */
static void
apply_reason(Job *job, const char *reason, TimestampTz retry_at)
{
	/* Until it is tried again, a message in doubt stays so. */
	if (retry_at != DT_NOBEGIN && retry_at < job->expires_at)
		hold_until(job, retry_at, job->was_in_doubt ? "resend_later" : MemoryContextStrdup(job->context, reason));
	else
		job_refuse(job,
				   retry_at != DT_NOBEGIN || strcmp(reason, "expired") == 0 ? OUTCOME_EXPIRED
				   : strstr(reason, "cancelled")                            ? OUTCOME_CANCELLED
																			: OUTCOME_SUPPRESSED,
				   reason);
}

/* What the gate refuses takes no place in hand, and every queue may bring its share of it: no number is the most there can be. */
static void
keep(JobList *list, Job *job)
{
	if (list->count == list->room)
		list->jobs = repalloc_huge(list->jobs, sizeof(Job *) * (list->room *= 2));
	list->jobs[list->count++] = job;
}

static void
stage_job(Job *job, const char *reason, TimestampTz retry_at)
{
	staged.high_id = Max(staged.high_id, job->message_id);

	/* A message in doubt that got a report needs no other try. */
	if (job->outcome == OUTCOME_RESOLVED)
		reason = NULL;
	else if (reason)
		apply_reason(job, reason, retry_at);
	else if (job->due_at == DT_NOBEGIN && !job_take_contact(job))
		apply_reason(job, "contact_busy", staged.now + BUSY_RETRY);

	if (job->outcome == OUTCOME_NONE && job->due_at == DT_NOBEGIN)
		keep(&staged.taken, job);
	else
		keep(&staged.refused, job);
}

/* A row of the view, with the gate's word in it. */
static void
stage_row(Job *job, uint64 row)
{
	stage_job(job, SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 14), column_time(row, 15, DT_NOBEGIN));
}

/* ---- taking rows ---- */

/* A claim of new rows follows the claim of timers of the same queue. */
StagedClaim *
stage_claim(Queue *queue, const char *kind)
{
	StagedClaim *claim = &staged.claims[staged.claim_count++];
	TimestampTz due = queue->timer_due;
	int64 timer_id = queue->timer_id;

	if (staged.claim_count > 1 && claim[-1].queue == queue)
	{
		due = claim[-1].to_due;
		timer_id = claim[-1].to_timer_id;
	}
	*claim = (StagedClaim){.queue = queue,
						   .kind = kind,
						   .from_id = queue->cursor_id,
						   .to_id = queue->cursor_id,
						   .from_due = due,
						   .from_timer_id = timer_id,
						   .to_due = due,
						   .to_timer_id = timer_id,
						   .more = queue->more,
						   .first_job = staged.taken.count};
	return claim;
}

/* Whoever these messages (bigint[]) go to: who of them is in the segments of caps is read at one go. */
static void
read_memberships(Datum message_ids)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID};
	Datum contacts;
	bool isnull;

	if (!smsflow_policy_has_segments())
		return;
	smsflow_spi_plan(&plan,
					 "SELECT array_agg(DISTINCT o.contact_id) FROM smsflow.outbox o WHERE o.message_id = ANY ($1) AND "
					 "o.contact_id IS "
					 "NOT NULL",
					 lengthof(types), types);
	smsflow_spi_run(plan, &message_ids, NULL, true, SPI_OK_SELECT);
	contacts = smsflow_spi_value(0, 1, &isnull);
	if (!isnull)
		smsflow_membership_read(DatumGetArrayTypeP(contacts));
}

/*
 * What is not plain: the view knows all there is to a message. The rows are in
 * the order of their ids. A condition on the id reaches the outbox before the
 * gate is asked; a join would ask it about every message there is.
 */
static void
ask_view(Queue *queue, TakenRow *rows, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID};
	Datum *ids = palloc(sizeof(Datum) * Max(count, 1));
	Datum values[1];
	int asked = 0;
	int at = 0;

	for (int i = 0; i < count; i++)
		if (rows[i].job == NULL)
			ids[asked++] = Int64GetDatum(rows[i].message_id);
	if (asked == 0)
		return;
	values[0] = PointerGetDatum(construct_array(ids, asked, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	read_memberships(values[0]);
	smsflow_spi_plan(&plan, "SELECT" GATED_COLUMNS " FROM smsflow.gated g WHERE g.message_id = ANY ($1) ORDER BY g.message_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		while (rows[at].job != NULL)
			at++;
		rows[at].job = job_from_row(queue, row);
		rows[at].reason = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 14);
		rows[at].retry_at = column_time(row, 15, DT_NOBEGIN);
	}
}

/* The next rows of a queue where plain_take cannot tell which they are. */
static int
read_view(Queue *queue, int limit, TakenRow *rows)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, INT8OID, INT4OID};
	Datum values[] = {Int32GetDatum(queue->queue_id), Int64GetDatum(queue->cursor_id), Int32GetDatum(limit)};

	smsflow_spi_plan(&plan,
					 "SELECT o.message_id FROM smsflow.outbox o WHERE o.queue_id = $1 AND o.message_id > $2"
					 " ORDER BY o.queue_id, o.message_id LIMIT $3",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		rows[row] = (TakenRow){.message_id = column_id(row, 1)};
	return (int) SPI_processed;
}

/* What a primary that is lost has sent, as its reports say, is not sent again. */
static void
settle_reported(TakenRow *rows, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8OID, INT8OID, INT4OID};
	Datum values[] = {Int64GetDatum(rows[0].message_id), Int64GetDatum(rows[count - 1].message_id),
					  Int32GetDatum(rows[0].job->queue->queue_id)};

	if (rows[0].message_id > worker.promoted_id)
		return;
	smsflow_spi_plan(&plan,
					 "SELECT DISTINCT r.message_id FROM smsflow.report r JOIN smsflow.outbox o USING (message_id)"
					 " WHERE r.message_id BETWEEN $1 AND $2 AND o.queue_id = $3",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		for (int i = 0; i < count; i++)
			if (rows[i].message_id == column_id(row, 1))
			{
				rows[i].job->outcome = OUTCOME_RESOLVED;
				rows[i].job->reason = "reported";
			}
}

static void
claim_new(Queue *queue, int limit)
{
	TakenRow *rows = palloc(sizeof(TakenRow) * limit);
	int count = plain_take(queue, limit, rows);
	StagedClaim *claim;

	if (count < 0)
		count = read_view(queue, limit, rows);

	/* Nothing there: nothing to write down, only that there is no more. */
	if (count == 0)
	{
		queue->more = false;
		return;
	}
	ask_view(queue, rows, count);
	settle_reported(rows, count);
	claim = stage_claim(queue, "new");
	claim->more = count == limit;
	claim->to_id = rows[count - 1].message_id;
	for (int i = 0; i < count; i++)
		stage_job(rows[i].job, rows[i].reason, rows[i].retry_at);
	claim->job_count = staged.taken.count - claim->first_job;
}

/*
 * All of them, for no cursor comes back here. What is more than may be in hand, as of a transaction with a million
 * messages, is due again at once: it must not take the places of all lanes until it has left.
 */
static void
claim_late(Queue *queue, uint64 *committed, int count, int64 low_id)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, INT8OID, INT8OID, XID8ARRAYOID};
	Datum values[] = {Int32GetDatum(queue->queue_id), Int64GetDatum(low_id), Int64GetDatum(queue->cursor_id),
					  late_array(committed, count)};
	int room = Min(MAX_CLAIM, MAX_JOBS / 2 - worker.backlog - staged.taken.count);
	StagedClaim *claim;

	smsflow_spi_plan(&plan,
					 "SELECT" GATED_COLUMNS " FROM smsflow.gated g WHERE g.queue_id = $1 AND g.message_id > $2"
					 " AND g.message_id <= $3 AND g.xid = ANY ($4) ORDER BY g.queue_id, g.message_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 0)
		return;
	claim = stage_claim(queue, "late");
	claim->from_id = low_id;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Job *job = job_from_row(queue, row);
		const char *reason = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 14);

		if (reason == NULL && staged.taken.count - claim->first_job >= room)
			hold_until(job, staged.now, "released");
		stage_job(job, reason, column_time(row, 15, DT_NOBEGIN));
	}
	claim->job_count = staged.taken.count - claim->first_job;
}

static void
read_timer_memberships(const Queue *queue, int limit)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT4OID};
	Datum values[] = {Int32GetDatum(queue->queue_id), TimestampTzGetDatum(queue->timer_due), Int64GetDatum(queue->timer_id),
					  TimestampTzGetDatum(staged.now), Int32GetDatum(limit)};
	Datum ids;
	bool isnull;

	if (!smsflow_policy_has_segments())
		return;
	smsflow_spi_plan(&plan,
					 "SELECT array_agg(t.message_id) FROM (SELECT message_id FROM smsflow.timer WHERE queue_id = $1"
					 " AND due_at <= $4 AND (due_at, timer_id) > ($2, $3) ORDER BY queue_id, due_at, timer_id LIMIT $5) t",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	ids = smsflow_spi_value(0, 1, &isnull);
	if (!isnull)
		read_memberships(ids);
}

/*
 * Of the timers of a message only the newest counts: a message that may go earlier than it was told has a new one, and
 * the old one, when its time comes, is passed over. The view is looked up for each timer: in a plain join it has so many
 * parts that the planner would read all of it.
 */
static void
claim_timers(Queue *queue, int limit)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID, INT4OID};
	Datum values[] = {Int32GetDatum(queue->queue_id), TimestampTzGetDatum(queue->timer_due), Int64GetDatum(queue->timer_id),
					  TimestampTzGetDatum(staged.now), Int32GetDatum(limit)};
	StagedClaim *claim;

	read_timer_memberships(queue, limit);
	smsflow_spi_plan(&plan,
					 "SELECT" GATED_COLUMNS ", t.due_at, t.timer_id, t.attempt::integer, t.reason IN ('resend', 'resend_later'),"
					 " t.reason IN ('resend', 'resend_later') AND EXISTS (SELECT FROM smsflow.report r WHERE r.message_id = "
					 "t.message_id)"
					 " FROM (SELECT * FROM smsflow.timer WHERE queue_id = $1 AND due_at <= $4 AND (due_at, timer_id) > ($2, $3)"
					 "  ORDER BY queue_id, due_at, timer_id LIMIT $5) t"
					 " LEFT JOIN LATERAL (SELECT * FROM smsflow.gated WHERE message_id = t.message_id AND NOT EXISTS (SELECT"
					 "  FROM smsflow.timer n WHERE n.message_id = t.message_id AND n.timer_id > t.timer_id) OFFSET 0) g ON true"
					 " ORDER BY t.due_at, t.timer_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	if (SPI_processed == 0)
	{
		queue->next_due = DT_NOBEGIN;
		return;
	}
	claim = stage_claim(queue, "timer");
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Job *job;

		claim->to_due = column_time(row, GATED_COUNT + 1, staged.now);
		claim->to_timer_id = column_id(row, GATED_COUNT + 2);
		if (column_id(row, 1) == 0)
			continue;
		job = job_from_row(queue, row);
		job->attempt = column_int(row, GATED_COUNT + 3);
		job->was_in_doubt = column_bool(row, GATED_COUNT + 4);
		if (column_bool(row, GATED_COUNT + 5))
		{
			job->outcome = OUTCOME_RESOLVED;
			job->reason = "reported";
		}
		stage_row(job, row);
	}
	claim->job_count = staged.taken.count - claim->first_job;
}

/* ---- which queues, how much ---- */

static bool
timers_due(const Queue *queue)
{
	return queue->next_due <= staged.now;
}

static void
find_next_due(Queue *queue)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID, TIMESTAMPTZOID, INT8OID};
	Datum values[] = {Int32GetDatum(queue->queue_id), TimestampTzGetDatum(queue->timer_due), Int64GetDatum(queue->timer_id)};

	smsflow_spi_plan(&plan,
					 "SELECT due_at FROM smsflow.timer WHERE queue_id = $1 AND due_at >= $2 AND (due_at, timer_id) > ($2, $3)"
					 " ORDER BY queue_id, due_at, timer_id LIMIT 1",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	queue->next_due = SPI_processed == 0 ? DT_NOEND : column_time(0, 1, DT_NOEND);
}

static void
claim_queue(Queue *queue)
{
	int64 monotonic = worker.clock->monotonic();
	int limit = schedule_room(queue, monotonic, staged.taken.count);

	if (limit > 0 && timers_due(queue))
	{
		claim_timers(queue, limit);
		limit = schedule_room(queue, monotonic, staged.taken.count);
	}
	if (limit > 0 && queue->more && staged.taken.count < MAX_JOBS)
		claim_new(queue, limit);
}

/* What was claimed from goes to the end, so that all come round when there is not room for all. */
static void
claim_hungry(Queue *queue, int64 monotonic)
{
	if (queue->next_due == DT_NOBEGIN)
		find_next_due(queue);
	dlist_delete(&queue->in_hungry);
	queue->hungry = queue->more || queue->next_due != DT_NOEND;
	if (!queue->hungry)
		return;
	dlist_push_tail(&worker.hungry[queue->lane], &queue->in_hungry);
	if ((queue->more || timers_due(queue)) && schedule_opens(queue) <= monotonic)
		claim_queue(queue);
}

/* Lanes in order: what is urgent is claimed first, and so has room first. */
void
claim_lanes(int last_lane)
{
	int64 monotonic = worker.clock->monotonic();

	schedule_begin();
	for (int lane = 0; lane <= last_lane; lane++)
	{
		dlist_head *hungry = &worker.hungry[lane];
		Queue *queue = NULL;
		Queue *last = dlist_is_empty(hungry) ? NULL : dlist_container(Queue, in_hungry, dlist_tail_node(hungry));

		while (queue != last)
		{
			queue = dlist_container(Queue, in_hungry, dlist_head_node(hungry));
			claim_hungry(queue, monotonic);
		}
	}
}

void
claim_late_commits(void)
{
	uint64 *committed;
	int64 low_id;
	int count = late_update(&worker.late, GetActiveSnapshot(), &committed, &low_id);
	dlist_iter iter;

	if (count == 0)
		return;
	for (int lane = 0; lane < SMSFLOW_LANES; lane++)
		dlist_foreach(iter, &worker.lanes[lane])
		{
			Queue *queue = dlist_container(Queue, in_lane, iter.cur);

			if (queue->cursor_id > low_id)
				claim_late(queue, committed, count, low_id);
		}
}
