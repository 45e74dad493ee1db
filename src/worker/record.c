/*
 * record.c - writing down what became of messages: attempts, timers for what
 * is tried again, and the change of the counters, each as one statement over
 * arrays.
 */
#include "worker/worker.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "fault.h"
#include "message/policy.h"
#include "message/spi.h"

static const char *const outcome_names[] = {NULL,         "accepted",  "rejected", "retry",   "in_doubt",
											"suppressed", "cancelled", "expired",  "resolved"};
static const char *const wire_names[] = {"none", "maybe", "yes"};

/* ---- columns as arrays ---- */

typedef struct Column
{
	Datum *values;
	bool *nulls;
	int count;
	Oid type;
} Column;

static Column
column_make(Oid type, int size)
{
	Column column = {palloc(sizeof(Datum) * Max(size, 1)), palloc(sizeof(bool) * Max(size, 1)), 0, type};

	return column;
}

static void
add(Column *column, Datum value)
{
	column->nulls[column->count] = false;
	column->values[column->count++] = value;
}

static void
add_null(Column *column)
{
	column->nulls[column->count] = true;
	column->values[column->count++] = (Datum) 0;
}

static void
add_text(Column *column, const char *value)
{
	if (value && value[0] != '\0')
		add(column, CStringGetTextDatum(value));
	else
		add_null(column);
}

static void
add_id(Column *column, int64 value)
{
	if (value)
		add(column, Int64GetDatum(value));
	else
		add_null(column);
}

static Datum
column_array(Column *column)
{
	int dims[] = {column->count};
	int lower[] = {1};
	int16 length;
	bool by_value;
	char align;

	if (column->count == 0)
		return PointerGetDatum(construct_empty_array(column->type));
	get_typlenbyvalalign(column->type, &length, &by_value, &align);
	return PointerGetDatum(
		construct_md_array(column->values, column->nulls, 1, dims, lower, column->type, length, by_value, align));
}

/* ---- attempts ---- */

static const char attempt_query[] =
	"INSERT INTO smsflow.attempt (message_id, contact_id, started_at, finished_at, generation, sender_id, attempt, http_status,"
	" wire, outcome, class, code, reason, provider_id)"
	" SELECT a.message_id, a.contact_id, a.started_at, a.finished_at, $13, a.sender_id::integer, a.attempt::smallint,"
	"  a.http_status::smallint, a.wire::smsflow.wire, a.outcome::smsflow.attempt_outcome, a.class, a.code, a.reason, "
	"a.provider_id"
	" FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[],"
	"  $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $14::text[])"
	"  AS a (message_id, contact_id, started_at, finished_at, sender_id, attempt, http_status, wire, outcome, class, code, "
	"reason, provider_id)";

static void
append_attempts(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT8ARRAYOID,
				   INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,        TEXTARRAYOID,        TEXTARRAYOID, TEXTARRAYOID,
				   INT8OID,      TEXTARRAYOID};
	Column column[13];
	Datum values[14];
	int rows = 0;

	for (int i = 0; i < 13; i++)
		column[i] = column_make(i == 2 || i == 3 ? TIMESTAMPTZOID : i < 7 ? INT8OID : TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		Job *job = jobs[i];

		if (job->outcome == OUTCOME_NONE)
			continue;
		rows++;
		add(&column[0], Int64GetDatum(job->message_id));
		add_id(&column[1], job->contact_id);
		if (job->started_at)
			add(&column[2], TimestampTzGetDatum(job->started_at));
		else
			add_null(&column[2]);
		add(&column[3], TimestampTzGetDatum(job->finished_at));
		add_id(&column[4], job->sender ? job->sender->sender_id : 0);
		add(&column[5], Int64GetDatum(job->attempt));
		add_id(&column[6], job->http_status);
		add_text(&column[7], wire_names[job->wire]);
		add_text(&column[8], outcome_names[job->outcome]);
		add_text(&column[9], smsflow_class_name(job->class));
		add_text(&column[10], job->code);
		add_text(&column[11], job->reason);
		add_text(&column[12], job->provider_id);
	}
	if (rows == 0)
		return;
	for (int i = 0; i < 12; i++)
		values[i] = column_array(&column[i]);
	values[12] = Int64GetDatum(worker.generation);
	values[13] = column_array(&column[12]);
	smsflow_spi_plan(&plan, attempt_query, lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
}

/* ---- touches ---- */

/* What may have reached a person, for the caps. The same try is recorded once more when its doubt is settled. */
static bool
is_touch(const Job *job)
{
	return job->contact_id && (job->outcome == OUTCOME_ACCEPTED || job->outcome == OUTCOME_IN_DOUBT) && !job->was_in_doubt &&
		   smsflow_policy_counts(job->purpose);
}

static void
append_touches(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Column column[6];
	Datum values[6];

	for (int i = 0; i < 6; i++)
		column[i] = column_make(i == 1 ? TIMESTAMPTZOID : i < 3 ? INT8OID : TEXTOID, count);
	for (int i = 0; i < count; i++)
	{
		Job *job = jobs[i];

		if (!is_touch(job))
			continue;
		add(&column[0], Int64GetDatum(job->contact_id));
		add(&column[1], TimestampTzGetDatum(job->finished_at));
		add(&column[2], Int64GetDatum(job->message_id));
		add_text(&column[3], smsflow_purpose_name(job->purpose));
		add_text(&column[4], job->subject);
		add_text(&column[5], job->ref);
	}
	if (column[0].count == 0)
		return;
	for (int i = 0; i < 6; i++)
		values[i] = column_array(&column[i]);
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.touch (contact_id, sent_at, message_id, purpose, subject, ref)"
					 " SELECT t.contact_id, t.sent_at, t.message_id, t.purpose::smsflow.purpose, coalesce(t.subject, ''), t.ref"
					 " FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[])"
					 "  AS t (contact_id, sent_at, message_id, purpose, subject, ref)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
}

/* ---- timers ---- */

/*
 * The due time never lies behind the queue's cursor over its timers, so the
 * cursor finds every timer.
 */
static void
append_timers(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID};
	Column column[5] = {column_make(INT8OID, count), column_make(TIMESTAMPTZOID, count), column_make(INT8OID, count),
						column_make(INT8OID, count), column_make(TEXTOID, count)};
	Datum values[5];

	for (int i = 0; i < count; i++)
	{
		Job *job = jobs[i];

		if (job->due_at == DT_NOBEGIN)
			continue;
		job->due_at = Max(job->due_at, job->queue->timer_due);
		add(&column[0], Int64GetDatum(job->message_id));
		add(&column[1], TimestampTzGetDatum(job->due_at));
		add(&column[2], Int64GetDatum(job->queue->queue_id));
		add(&column[3], Int64GetDatum(job->next_attempt));
		add_text(&column[4], job->timer_reason);
		if (job->due_at < job->queue->next_due)
			job->queue->next_due = job->due_at;
	}
	if (column[0].count == 0)
		return;
	for (int i = 0; i < 5; i++)
		values[i] = column_array(&column[i]);
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.timer (message_id, due_at, queue_id, attempt, reason)"
					 " SELECT t.message_id, t.due_at, t.queue_id::integer, t.attempt::smallint, t.reason"
					 " FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bigint[], $5::text[])"
					 "  AS t (message_id, due_at, queue_id, attempt, reason)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
}

/* ---- counters ---- */

typedef struct Delta
{
	int32 brand_id;
	int32 campaign_id;
	int32 sequence_id;
	int32 sender_id;
	int16 step;
	SmsflowPurpose purpose;
	const char *measure;
	int64 value;
	TimestampTz first_at;
	TimestampTz last_at;
} Delta;

typedef struct Deltas
{
	Delta *delta;
	int count;
	int size;
} Deltas;

static bool
same_key(const Delta *a, const Delta *b)
{
	return a->brand_id == b->brand_id && a->campaign_id == b->campaign_id && a->sequence_id == b->sequence_id &&
		   a->sender_id == b->sender_id && a->step == b->step && a->purpose == b->purpose && a->measure == b->measure;
}

/* A batch has few keys, so looking through the list is the fastest. */
static void
count_delta(Deltas *deltas, const Job *job, const char *measure, int64 value)
{
	Delta key = {job->brand_id,    job->campaign_id, job->sequence_id, job->sender ? job->sender->sender_id : 0,
				 job->step,        job->purpose,     measure,          value,
				 job->finished_at, job->finished_at};

	for (int i = deltas->count - 1; i >= 0; i--)
		if (same_key(&deltas->delta[i], &key))
		{
			deltas->delta[i].value += value;
			deltas->delta[i].first_at = Min(deltas->delta[i].first_at, key.first_at);
			deltas->delta[i].last_at = Max(deltas->delta[i].last_at, key.last_at);
			return;
		}
	if (deltas->count == deltas->size)
	{
		deltas->size = Max(deltas->size * 2, 64);
		deltas->delta =
			deltas->delta ? repalloc(deltas->delta, sizeof(Delta) * deltas->size) : palloc(sizeof(Delta) * deltas->size);
	}
	deltas->delta[deltas->count++] = key;
}

static const char *
status_after(const Job *job)
{
	switch (job->outcome)
	{
		case OUTCOME_ACCEPTED:
			return "accepted";
		case OUTCOME_REJECTED:
			return "rejected";
		case OUTCOME_IN_DOUBT:
			/* To be sent again at once counts as queued, as the view has it. */
			return job->due_at != DT_NOBEGIN && strcmp(job->timer_reason, "resend") == 0 ? "queued" : "in_doubt";
		case OUTCOME_SUPPRESSED:
			return "suppressed";
		case OUTCOME_CANCELLED:
			return "cancelled";
		case OUTCOME_EXPIRED:
			return "expired";
		default:
			return "queued";
	}
}

/* What a report had changed already was counted with the report. */
static void
count_job(Deltas *deltas, const Job *job)
{
	const char *before = job->was_in_doubt ? "in_doubt" : "queued";
	const char *after = status_after(job);

	if (job->outcome == OUTCOME_ACCEPTED && job->sender && job->sender->daily_limit > 0)
		count_delta(deltas, job, "sent_parts", job->parts);
	if (job->reported || job->outcome == OUTCOME_NONE || job->outcome == OUTCOME_RESOLVED)
		return;

	/* In doubt is left only by an answer or a report. */
	if (job->was_in_doubt && job->outcome != OUTCOME_ACCEPTED && job->outcome != OUTCOME_REJECTED &&
		job->outcome != OUTCOME_RETRY)
		return;
	if (strcmp(before, after) != 0)
	{
		count_delta(deltas, job, before, -1);
		count_delta(deltas, job, after, 1);
	}
	if (job->outcome == OUTCOME_ACCEPTED)
		count_delta(deltas, job, "sent", 1);
}

static void
append_deltas(Deltas *deltas)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID,        INT8ARRAYOID,
				   TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID};
	Column column[10];
	Datum values[10];

	if (deltas->count == 0)
		return;
	for (int i = 0; i < 10; i++)
		column[i] = column_make(i >= 8 ? TIMESTAMPTZOID : i == 5 || i == 6 ? TEXTOID : INT8OID, deltas->count);
	for (int i = 0; i < deltas->count; i++)
	{
		Delta *delta = &deltas->delta[i];

		add(&column[0], Int64GetDatum(delta->brand_id));
		add(&column[1], Int64GetDatum(delta->campaign_id));
		add(&column[2], Int64GetDatum(delta->sequence_id));
		add(&column[3], Int64GetDatum(delta->sender_id));
		add(&column[4], Int64GetDatum(delta->step));
		add_text(&column[5], smsflow_purpose_name(delta->purpose));
		add_text(&column[6], delta->measure);
		add(&column[7], Int64GetDatum(delta->value));
		add(&column[8], TimestampTzGetDatum(delta->first_at));
		add(&column[9], TimestampTzGetDatum(delta->last_at));
	}
	for (int i = 0; i < 10; i++)
		values[i] = column_array(&column[i]);
	smsflow_spi_plan(&plan,
					 "INSERT INTO smsflow.metric_delta (bucket, brand_id, campaign_id, sequence_id, sender_id, step, purpose,"
					 " measure, value, first_at, last_at)"
					 " SELECT date_trunc('hour', now(), 'UTC'), d.brand, d.campaign, d.sequence, d.sender, d.step,"
					 "  d.purpose::smsflow.purpose, d.measure, d.value, d.first_at, d.last_at"
					 " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],"
					 "  $8::bigint[], $9::timestamptz[], $10::timestamptz[])"
					 "  AS d (brand, campaign, sequence, sender, step, purpose, measure, value, first_at, last_at)",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_INSERT);
}

/* ---- opt-outs that a gateway knows of ---- */

static void
learn_opt_outs(Job **jobs, int count)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT8ARRAYOID};
	Column messages = column_make(INT8OID, count);
	Datum values[1];

	for (int i = 0; i < count; i++)
		if (jobs[i]->outcome == OUTCOME_REJECTED && jobs[i]->class == CLASS_OPTED_OUT)
			add(&messages, Int64GetDatum(jobs[i]->message_id));
	if (messages.count == 0)
		return;
	values[0] = column_array(&messages);
	smsflow_spi_plan(&plan, "SELECT smsflow.learn_from_refusals($1)", lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
}

void
record_jobs(Job **jobs, int count)
{
	Deltas deltas = {0};

	if (count == 0)
		return;
	append_attempts(jobs, count);
	append_touches(jobs, count);
	append_timers(jobs, count);
	learn_opt_outs(jobs, count);
	for (int i = 0; i < count; i++)
		count_job(&deltas, jobs[i]);
	append_deltas(&deltas);
	smsflow_fault("record");
}

void
result_add(Job *job)
{
	dlist_push_tail(&worker.results, &job->node);
	worker.result_count++;
}
