/*
 * count.c - what results change of the counters: one row for each key and batch
 * of messages, in the transaction that records them. A file of its own, so that
 * test/bench/metrics.sh can build the worker without it, to see what it costs.
 */
#include "worker/record.h"

#include "utils/builtins.h"
#include "utils/numeric.h"

typedef struct Delta
{
	int32 brand_id;
	int32 campaign_id;
	int32 sequence_id;
	int32 sender_id;
	int16 step;
	int16 variant;
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
		   a->sender_id == b->sender_id && a->step == b->step && a->variant == b->variant && a->purpose == b->purpose &&
		   a->measure == b->measure;
}

/* A batch has few keys, so looking through the list is the fastest. */
static void
count_delta(Deltas *deltas, const Job *job, const char *measure, int64 value)
{
	Delta key = {job->brand_id, job->campaign_id, job->sequence_id, job->sender ? job->sender->sender_id : 0,
				 job->step,     job->variant,     job->purpose,     measure,
				 value,         job->finished_at, job->finished_at};

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
			return "in_doubt";
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

/* One text for each class, because deltas are told apart by its address. */
static const char *
failed_measure(SmsflowClass class)
{
	static char measures[CLASS_UNKNOWN + 1][32];
	const char *name = smsflow_class_name(class);

	snprintf(measures[class], sizeof(measures[class]), "failed:%s", name ? name : "unknown");
	return measures[class];
}

/* What a report had changed already was counted with the report. */
static void
count_job(Deltas *deltas, const Job *job)
{
	const char *before = job->was_in_doubt ? "in_doubt" : "queued";
	const char *after = status_after(job);

	if (job->reported || job->outcome == OUTCOME_NONE || job->outcome == OUTCOME_RESOLVED)
		return;

	/* In doubt is left only by an answer or a report. */
	if (job->was_in_doubt && job->outcome != OUTCOME_ACCEPTED)
		return;
	if (strcmp(before, after) != 0)
	{
		count_delta(deltas, job, before, -1);
		count_delta(deltas, job, after, 1);
	}
	if (job->outcome == OUTCOME_ACCEPTED)
		count_delta(deltas, job, "sent", 1);
	if (job->outcome == OUTCOME_REJECTED)
		count_delta(deltas, job, failed_measure(job->class), 1);
}

enum
{
	DELTA_BUCKET,
	DELTA_BRAND,
	DELTA_CAMPAIGN,
	DELTA_SEQUENCE,
	DELTA_SENDER,
	DELTA_STEP,
	DELTA_PURPOSE,
	DELTA_MEASURE,
	DELTA_VALUE,
	DELTA_FIRST,
	DELTA_LAST,
	DELTA_CURRENCY,
	DELTA_VARIANT,
	DELTA_COUNTRY
};
static const char *const delta_columns[] = {"bucket",  "brand_id", "campaign_id", "sequence_id", "sender_id",
											"step",    "purpose",  "measure",     "value",       "first_at",
											"last_at", "currency", "variant",     "country"};

/* Hours of UTC: both epochs begin with one. */
static void
append_deltas(Deltas *deltas)
{
	TimestampTz now = worker.clock->now();
	Appender *rows;

	if (deltas->count == 0)
		return;
	rows = append_begin("metric_delta", delta_columns, lengthof(delta_columns));
	for (int i = 0; i < deltas->count; i++)
	{
		Delta *delta = &deltas->delta[i];

		append_row(rows);
		append_value(rows, DELTA_BUCKET, TimestampTzGetDatum(now - now % USECS_PER_HOUR));
		append_value(rows, DELTA_BRAND, Int32GetDatum(delta->brand_id));
		append_value(rows, DELTA_CAMPAIGN, Int32GetDatum(delta->campaign_id));
		append_value(rows, DELTA_SEQUENCE, Int32GetDatum(delta->sequence_id));
		append_value(rows, DELTA_SENDER, Int32GetDatum(delta->sender_id));
		append_value(rows, DELTA_STEP, Int16GetDatum(delta->step));
		append_value(rows, DELTA_PURPOSE, purpose_label(delta->purpose, rows, DELTA_PURPOSE));
		append_value(rows, DELTA_MEASURE, CStringGetTextDatum(delta->measure));
		append_value(rows, DELTA_VALUE, NumericGetDatum(int64_to_numeric(delta->value)));
		append_value(rows, DELTA_FIRST, TimestampTzGetDatum(delta->first_at));
		append_value(rows, DELTA_LAST, TimestampTzGetDatum(delta->last_at));
		append_value(rows, DELTA_CURRENCY, CStringGetTextDatum(""));
		append_value(rows, DELTA_VARIANT, Int16GetDatum(delta->variant));
		append_value(rows, DELTA_COUNTRY, CStringGetTextDatum(""));
	}
	append_end(rows);
}

void
count_jobs(Job **jobs, int count)
{
	Deltas deltas = {0};

	for (int i = 0; i < count; i++)
		count_job(&deltas, jobs[i]);
	append_deltas(&deltas);
}
