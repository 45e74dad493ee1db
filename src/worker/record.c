/*
 * record.c - writing down what became of messages: attempts, touches (touch.c),
 * timers for what is tried again, and (count.c) the change of the counters. Rows are
 * appended in one go (append.h) and in the order of message ids, so that the
 * only index they meet grows at its end.
 */
#include "worker/record.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "fault.h"
#include "message/send.h"
#include "message/spi.h"
#include "types/types.h"

static const char *const outcome_names[] = {NULL,         "accepted",  "rejected", "retry",   "in_doubt",
											"suppressed", "cancelled", "expired",  "resolved"};
static const char *const wire_names[] = {"none", "maybe", "yes"};

/* Values of the enums, looked up once: they live as long as the extension, and the worker no longer. */
static struct
{
	Oid wire[lengthof(wire_names)];
	Oid outcome[lengthof(outcome_names)];
	Oid purpose[SMSFLOW_PURPOSES];
} labels;

static Datum
label(Oid *known, const Appender *appender, int column, const char *name)
{
	if (!OidIsValid(*known))
		*known = smsflow_enum_oid(append_column_type(appender, column), name);
	return ObjectIdGetDatum(*known);
}

Datum
purpose_label(SmsflowPurpose purpose, const Appender *appender, int column)
{
	return label(&labels.purpose[purpose], appender, column, smsflow_purpose_name(purpose));
}

/* ---- attempts ---- */

enum
{
	ATTEMPT_MESSAGE,
	ATTEMPT_RECORDED,
	ATTEMPT_STARTED,
	ATTEMPT_FINISHED,
	ATTEMPT_GENERATION,
	ATTEMPT_SENDER,
	ATTEMPT_NUMBER,
	ATTEMPT_STATUS,
	ATTEMPT_WIRE,
	ATTEMPT_OUTCOME,
	ATTEMPT_CLASS,
	ATTEMPT_CODE,
	ATTEMPT_REASON,
	ATTEMPT_PROVIDER_ID
};
static const char *const attempt_columns[] = {"message_id", "recorded_at", "started_at",  "finished_at", "generation",
											  "sender_id",  "attempt",     "http_status", "wire",        "outcome",
											  "class",      "code",        "reason",      "provider_id"};

static void
append_attempt(Appender *attempts, const Job *job, TimestampTz recorded_at)
{
	append_row(attempts);
	append_value(attempts, ATTEMPT_MESSAGE, Int64GetDatum(job->message_id));
	append_value(attempts, ATTEMPT_RECORDED, TimestampTzGetDatum(recorded_at));
	if (job->started_at)
		append_value(attempts, ATTEMPT_STARTED, TimestampTzGetDatum(job->started_at));
	append_value(attempts, ATTEMPT_FINISHED, TimestampTzGetDatum(job->finished_at));
	append_value(attempts, ATTEMPT_GENERATION, Int64GetDatum(worker.generation));
	if (job->sender)
		append_value(attempts, ATTEMPT_SENDER, Int32GetDatum(job->sender->sender_id));
	append_value(attempts, ATTEMPT_NUMBER, Int16GetDatum((int16) job->attempt));
	if (job->http_status)
		append_value(attempts, ATTEMPT_STATUS, Int16GetDatum((int16) job->http_status));
	append_value(attempts, ATTEMPT_WIRE, label(&labels.wire[job->wire], attempts, ATTEMPT_WIRE, wire_names[job->wire]));
	append_value(attempts, ATTEMPT_OUTCOME,
				 label(&labels.outcome[job->outcome], attempts, ATTEMPT_OUTCOME, outcome_names[job->outcome]));
	append_text(attempts, ATTEMPT_CLASS, smsflow_class_name(job->class));
	append_text(attempts, ATTEMPT_CODE, job->code);
	append_text(attempts, ATTEMPT_REASON, job->reason);
	append_text(attempts, ATTEMPT_PROVIDER_ID, job->provider_id);
}

static void
append_attempts(Job **jobs, int count)
{
	Appender *attempts = append_begin("attempt", attempt_columns, lengthof(attempt_columns));
	TimestampTz recorded_at = worker.clock->now();

	for (int i = 0; i < count; i++)
		if (jobs[i]->outcome != OUTCOME_NONE)
			append_attempt(attempts, jobs[i], recorded_at);
	append_end(attempts);
}

/* ---- doubts ---- */

enum
{
	UNSETTLED_MESSAGE,
	UNSETTLED_DUE,
	UNSETTLED_LISTED,
	UNSETTLED_IN_DOUBT
};
static const char *const unsettled_columns[] = {"message_id", "due_at", "listed_at", "in_doubt"};

/* Listed once, until a report comes or its time is over. */
static void
append_doubts(Job **jobs, int count)
{
	Appender *doubts = NULL;

	for (int i = 0; i < count; i++)
	{
		const Job *job = jobs[i];

		if (job->outcome != OUTCOME_IN_DOUBT || job->was_in_doubt)
			continue;
		if (doubts == NULL)
			doubts = append_begin("unsettled", unsettled_columns, lengthof(unsettled_columns));
		append_row(doubts);
		append_value(doubts, UNSETTLED_MESSAGE, Int64GetDatum(job->message_id));
		append_value(doubts, UNSETTLED_DUE, TimestampTzGetDatum(job->expires_at + SMSFLOW_REPORT_GRACE * USECS_PER_SEC));
		append_value(doubts, UNSETTLED_LISTED, TimestampTzGetDatum(worker.clock->now()));
		append_value(doubts, UNSETTLED_IN_DOUBT, BoolGetDatum(true));
	}
	if (doubts)
		append_end(doubts);
}

/* ---- timers ---- */

enum
{
	TIMER_ID,
	TIMER_MESSAGE,
	TIMER_DUE,
	TIMER_CREATED,
	TIMER_QUEUE,
	TIMER_ATTEMPT,
	TIMER_REASON
};
static const char *const timer_columns[] = {"timer_id", "message_id", "due_at", "created_at", "queue_id", "attempt", "reason"};

/*
 * The due time never lies behind the queue's cursor over its timers, so the
 * cursor finds every timer.
 */
static void
append_timer(Appender *timers, Job *job)
{
	job->due_at = Max(job->due_at, job->queue->timer_due);
	append_row(timers);
	append_value(timers, TIMER_ID, Int64GetDatum(smsflow_take_timer_id()));
	append_value(timers, TIMER_MESSAGE, Int64GetDatum(job->message_id));
	append_value(timers, TIMER_DUE, TimestampTzGetDatum(job->due_at));
	append_value(timers, TIMER_CREATED, TimestampTzGetDatum(worker.clock->now()));
	append_value(timers, TIMER_QUEUE, Int32GetDatum(job->queue->queue_id));
	append_value(timers, TIMER_ATTEMPT, Int16GetDatum((int16) job->next_attempt));
	append_value(timers, TIMER_REASON, CStringGetTextDatum(job->timer_reason));
	if (job->due_at < job->queue->next_due)
		job->queue->next_due = job->due_at;
	schedule_wake(job->queue);
}

static void
append_timers(Job **jobs, int count)
{
	Appender *timers = NULL;

	for (int i = 0; i < count; i++)
	{
		if (jobs[i]->due_at == DT_NOBEGIN)
			continue;
		if (timers == NULL)
			timers = append_begin("timer", timer_columns, lengthof(timer_columns));
		append_timer(timers, jobs[i]);
	}
	if (timers)
		append_end(timers);
}

/* ---- what answers teach ---- */

/*
 * A gateway may refuse at once what its carrier would have reported later. The
 * ledger is written by a chore, because a transaction of the store may hold the
 * contact, and a turn waits for nobody.
 */
static void
append_feedback(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID, TEXTARRAYOID};
	Datum *messages = palloc(sizeof(Datum) * count);
	Datum *codes = palloc(sizeof(Datum) * count);
	int refused = 0;
	Datum values[2];

	for (int i = 0; i < count; i++)
		if (jobs[i]->class == CLASS_OPTED_OUT)
		{
			messages[refused] = Int64GetDatum(jobs[i]->message_id);
			codes[refused++] = CStringGetTextDatum(jobs[i]->code);
		}
	if (refused == 0)
		return;
	values[0] = PointerGetDatum(construct_array(messages, refused, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[1] = PointerGetDatum(construct_array(codes, refused, TEXTOID, -1, false, TYPALIGN_INT));
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.feedback (message_id, kind, code) SELECT f.message_id, 'opted_out', nullif(f.code, '')"
					 " FROM unnest($1::bigint[], $2::text[]) AS f (message_id, code)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
	worker.found |= SMSFLOW_NEWS_FEEDBACK;
}

/* Its reports will name it by the gateway's id alone. */
static bool
is_found_by_id(const Job *job)
{
	return job->outcome == OUTCOME_ACCEPTED && job->provider_id[0] != '\0' && job->sender && job->sender->gateway->found_by_id;
}

/* Calls a function with the ids of the jobs that it is about, if there are any. */
static bool
call_with_ids(SPIPlanPtr *plan, const char *query, Job **jobs, int count, bool (*concerned)(const Job *job))
{
	Oid types[] = {INT8ARRAYOID};
	Datum *messages = palloc(sizeof(Datum) * count);
	int found = 0;
	Datum values[1];

	for (int i = 0; i < count; i++)
		if (concerned(jobs[i]))
			messages[found++] = Int64GetDatum(jobs[i]->message_id);
	if (found == 0)
		return false;
	values[0] = PointerGetDatum(construct_array(messages, found, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	smsflow_spi_plan(plan, query, lengthof(types), types);
	smsflow_spi_run(*plan, values, NULL, false, SPI_OK_SELECT);
	return true;
}

static void
append_provider_ids(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;

	call_with_ids(&plan, "SELECT smsflow.learn_provider_ids($1)", jobs, count, is_found_by_id);
}

static bool
is_doubtful(const Job *job)
{
	return job->outcome == OUTCOME_IN_DOUBT && job->started_at;
}

/* Where the gateway can be asked, it is. */
static void
append_lookups(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;

	if (call_with_ids(&plan, "SELECT smsflow.plan_lookups($1, interval '5 seconds')", jobs, count, is_doubtful))
		worker.found |= SMSFLOW_NEWS_DOUBTS;
}

static int
compare_jobs(const void *a, const void *b)
{
	int64 left = (*(Job *const *) a)->message_id;
	int64 right = (*(Job *const *) b)->message_id;

	return left < right ? -1 : left > right;
}

void
record_jobs(Job **jobs, int count)
{
	if (count == 0)
		return;
	qsort(jobs, count, sizeof(Job *), compare_jobs);
	append_attempts(jobs, count);
	append_touches(jobs, count);
	append_doubts(jobs, count);
	append_timers(jobs, count);
	append_feedback(jobs, count);
	append_provider_ids(jobs, count);
	append_lookups(jobs, count);
	append_traces(jobs, count);
	count_jobs(jobs, count);
	smsflow_fault("record");
}

void
result_add(Job *job)
{
	dlist_push_tail(&worker.results, &job->node);
	worker.result_count++;
}
