/*
 * turn.c - a turn: one transaction that writes down the results of the last
 * messages and takes the next ones. Its commit is durable before the first
 * byte of what it takes leaves, so that whatever dies afterwards, the tables
 * know what may have been sent.
 *
 * Everything in the transaction reads one snapshot. A claim row says "the rows
 * of this queue in this range that this snapshot sees", and the gate's word is
 * of the same snapshot.
 *
 * Nothing in memory moves before the commit: a turn that fails leaves cursors
 * and results as they were.
 */
#include "worker/turn.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "optimizer/cost.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "fault.h"
#include "message/membership.h"
#include "message/spi.h"
#include "worker/journal.h"

/*
 * Results are written down at this age, or when there are so many; at once when
 * nothing else is to do. A commit waits for the disk, and meanwhile nothing is sent.
 */
#define RESULT_AGE 10000 /* microseconds */
#define RESULT_BATCH 512

/* Fewer results than these delay nobody. */
#define FEW_RESULTS 32

Staged staged;

/* ---- writing it down ---- */

/* Of this turn's claims the first counts: none is recorded yet. */
static int64
oldest_open_claim(void)
{
	if (!dlist_is_empty(&worker.open_claims))
		return dlist_head_element(OpenClaim, node, &worker.open_claims)->claim_id;
	return staged.first_claim_id;
}

static void
write_claim(StagedClaim *claim, int64 low_id)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT4OID,        TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID, INT8OID,
				   TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID,        INT8OID};
	Datum values[] = {
		Int32GetDatum(claim->queue->queue_id), CStringGetTextDatum(claim->kind),
		Int64GetDatum(claim->from_id),         Int64GetDatum(claim->to_id),
		TimestampTzGetDatum(claim->from_due),  Int64GetDatum(claim->from_timer_id),
		TimestampTzGetDatum(claim->to_due),    Int64GetDatum(claim->to_timer_id),
		Int64GetDatum(claim->to_id),           Int64GetDatum(low_id),
		Int64GetDatum(oldest_open_claim()),    Int64GetDatum(worker.generation),
	};

	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.claim (queue_id, kind, from_id, to_id, from_due, from_timer_id, to_due, to_timer_id,"
					 " cursor_id, low_id, oldest_open, generation)"
					 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING claim_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT_RETURNING);
	claim->claim_id = column_id(0, 1);
	if (staged.first_claim_id == 0)
		staged.first_claim_id = claim->claim_id;
}

/*
 * The first worker has counted what reports say, also of a message whose answer
 * was still awaited here, or that was not even claimed. Of its own messages in
 * hand it knows (tail.c); where that does not suffice, it looks as the others do.
 */
static void
find_reported(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID};
	Job **asked = palloc(sizeof(Job *) * Max(count, 1));
	Datum *ids = palloc(sizeof(Datum) * Max(count, 1));
	int asked_count = 0;
	Datum values[1];

	for (int i = 0; i < count; i++)
		if (!jobs[i]->reported && (worker.slot->number > 0 || jobs[i]->message_id <= worker.reported_id))
		{
			ids[asked_count] = Int64GetDatum(jobs[i]->message_id);
			asked[asked_count++] = jobs[i];
		}
	if (asked_count == 0)
		return;
	values[0] = PointerGetDatum(construct_array(ids, asked_count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	smsflow_spi_plan(&plan,
					 "SELECT i.place::integer FROM unnest($1) WITH ORDINALITY AS i (message_id, place) WHERE EXISTS (SELECT FROM"
					 " smsflow.report r WHERE r.message_id = i.message_id)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	for (uint64 row = 0; row < SPI_processed; row++)
		asked[column_int(row, 1) - 1]->reported = true;
}

/* What has ended, by its answer or by the gate. */
static void
write_ended(Job **jobs, int count)
{
	find_reported(jobs, count);
	record_jobs(jobs, count);
}

static void
write_results(void)
{
	Job **jobs = palloc(sizeof(Job *) * Max(worker.result_count, 1));
	int count = 0;
	dlist_iter iter;

	dlist_foreach(iter, &worker.results) jobs[count++] = dlist_container(Job, node, iter.cur);
	write_ended(jobs, count);
}

/* ---- after the commit ---- */

static void
free_results(void)
{
	while (!dlist_is_empty(&worker.results))
	{
		Job *job = dlist_container(Job, node, dlist_pop_head_node(&worker.results));

		if (job->claim && --job->claim->open == 0)
		{
			dlist_delete(&job->claim->node);
			pfree(job->claim);
		}
		/* The turn looked for timers in a snapshot in which those that it wrote are not. */
		if (job->due_at != DT_NOBEGIN)
		{
			job->queue->next_due = Min(job->queue->next_due, job->due_at);
			schedule_wake(job->queue);
		}
		job_free(job);
	}
	worker.result_count = 0;
}

static void
adopt_claim(StagedClaim *staged_claim)
{
	OpenClaim *claim;

	if (staged_claim->job_count == 0)
		return;
	claim = MemoryContextAlloc(worker.long_lived, sizeof(OpenClaim));
	claim->claim_id = staged_claim->claim_id;
	claim->open = staged_claim->job_count;
	dlist_push_tail(&worker.open_claims, &claim->node);
	for (int i = 0; i < staged_claim->job_count; i++)
	{
		Job *job = staged.taken.jobs[staged_claim->first_job + i];
		JobEntry *entry = hash_search(worker.jobs, &job->message_id, HASH_ENTER, NULL);

		job_keep(job);
		entry->job = job;
		job->claim = claim;
		queue_push(job);
	}
}

static bool
records_results(void)
{
	return !staged.urgent && !staged.rewinding;
}

static void
adopt(void)
{
	if (records_results())
		free_results();
	if (staged.rewinding)
		rewind_done();
	limits_reserved();
	worker.high_id = staged.high_id;
	if (staged.looked_for_late)
		late_commit(&worker.late, worker.high_id);
	for (int i = 0; i < staged.claim_count; i++)
	{
		StagedClaim *claim = &staged.claims[i];

		claim->queue->cursor_id = claim->to_id;
		claim->queue->timer_due = claim->to_due;
		claim->queue->timer_id = claim->to_timer_id;
		if (strcmp(claim->kind, "new") == 0)
		{
			claim->queue->more = claim->more;
			claim->queue->swept = false;
		}
		if (strcmp(claim->kind, "timer") == 0)
			claim->queue->next_due = DT_NOBEGIN;
		schedule_wake(claim->queue);
		adopt_claim(claim);
	}
	for (int i = 0; i < staged.refused.count; i++)
		job_discard(staged.refused.jobs[i]);
}

/* ---- the turn ---- */

static void
make_list(JobList *list)
{
	*list = (JobList){.jobs = palloc(sizeof(Job *) * MAX_JOBS), .room = MAX_JOBS};
}

static void
stage_begin(void)
{
	int queues = (int) hash_get_num_entries(worker.queues);

	make_list(&staged.taken);
	make_list(&staged.refused);
	staged.claims = palloc(sizeof(StagedClaim) * (3 * queues + 1));
	staged.high_id = worker.high_id;
	staged.now = GetCurrentTransactionStartTimestamp();
}

static void
turn_step(void *arg)
{
	int64 low_id;

	worker_begin_alone("recording and claiming messages", true);
	stage_begin();
	if (records_results())
		write_results();
	if (worker.armed)
	{
		staged.looked_for_late = true;
		claim_late_commits();
		if (staged.rewinding)
			rewind_timers();
		else
			claim_lanes(staged.urgent ? LAST_URGENT_LANE : SMSFLOW_LANES - 1);
		smsflow_membership_forget();
	}
	write_ended(staged.refused.jobs, staged.refused.count);
	limits_reserve(!worker.armed);
	low_id = late_low(&worker.late, Max(staged.high_id, worker.high_id));
	for (int i = 0; i < staged.claim_count; i++)
		write_claim(&staged.claims[i], low_id);
	if (staged.taken.count > 0)
		smsflow_fault("claim");
	worker_commit();
	if (staged.taken.count > 0)
		smsflow_fault("claimed");
	if (worker.result_count > 0 && records_results())
		smsflow_fault("recorded");
	adopt();
}

static void
stage_clear(void)
{
	staged.taken.count = staged.refused.count = staged.claim_count = 0;
	staged.first_claim_id = 0;
	staged.looked_for_late = staged.urgent = staged.rewinding = false;
}

/* The jobs themselves, also those that were not staged yet, are gone with the turn of the loop. */
static void
leave_contacts(void)
{
	for (int i = 0; i < staged.taken.count; i++)
		job_leave_contact(staged.taken.jobs[i]);
}

void
insist_on_indexes(bool on)
{
	enable_seqscan = enable_hashjoin = enable_mergejoin = enable_bitmapscan = enable_sort = !on;
	plan_cache_mode = on ? PLAN_CACHE_MODE_FORCE_GENERIC_PLAN : PLAN_CACHE_MODE_AUTO;
}

/*
 * What somebody waits for is not kept waiting by what has ended already: it is claimed in a turn of its own. The next
 * one writes the results down, whatever has come by then.
 */
static bool
is_urgent(void)
{
	static bool was_urgent = false;

	was_urgent = !was_urgent && worker.armed && worker.result_count > FEW_RESULTS &&
				 schedule_wanted(LAST_URGENT_LANE, worker.clock->monotonic(), worker.clock->now());
	return was_urgent;
}

bool
turn(void)
{
	bool done;

	stage_clear();
	staged.rewinding = rewind_wanted();
	staged.urgent = !staged.rewinding && is_urgent();
	insist_on_indexes(true);
	done = worker_try(turn_step, NULL);
	insist_on_indexes(false);
	if (!done)
		leave_contacts();
	stage_clear();
	return done;
}

/* Results are written down in batches, but not late, and at once when idle. */
static int64
results_due(int64 monotonic)
{
	int64 age;

	if (worker.result_count == 0)
		return PG_INT64_MAX;
	if (worker.result_count >= RESULT_BATCH || (worker.in_flight == 0 && worker.backlog == 0))
		return 0;
	age = worker.clock->now() - dlist_head_element(Job, node, &worker.results)->finished_at;

	/* A clock that was set back makes nothing young again. */
	return age < 0 ? 0 : monotonic + RESULT_AGE - age;
}

int64
turn_due(void)
{
	int64 monotonic = worker.clock->monotonic();
	int64 due = limits_wanted() || rewind_wanted() ? 0 : results_due(monotonic);

	return worker.armed ? Min(due, schedule_due(monotonic, worker.clock->now())) : due;
}
