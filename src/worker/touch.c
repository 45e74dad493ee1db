/*
 * touch.c - writing down whom messages reached, or may have reached. A campaign
 * reaches contacts whose ids follow each other, and a row with its entry in an
 * index for each of them would be a quarter of all that sending writes: what is
 * recorded in one turn for contacts of one span, and is alike in all else, is
 * one row, a run.
 */
#include "worker/record.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "message/policy.h"
#include "message/touch.h"
#include "segment/sent.h"
#include "types/types.h"

/*
 * Whoever reads the touches of one contact passes the runs of its neighbours. With fewer contacts a run would save little,
 * and with more than a span has it would grow beyond what a row holds in place.
 */
#define SHORTEST_RUN 4
#define LONGEST_RUN 64

/* A run has one instant for all, the last: none of them is younger than it says, and none older by more than this. */
#define RUN_TIME USECS_PER_SEC

typedef struct Touch
{
	const Job *job;
	const char *subject;
	bool wording;
} Touch;

static const char *const touch_columns[] = {"contact_id", "sent_at", "message_id", "purpose",
											"subject",    "ref",     "counted",    "wording"};
static const char *const run_columns[] = {"span", "sent_at", "purpose", "subject", "counted", "wording", "places", "message_ids"};

/* The same try is recorded once more when its doubt is settled. */
static bool
is_touch(const Job *job)
{
	return job->contact_id && (job->outcome == OUTCOME_ACCEPTED || job->outcome == OUTCOME_IN_DOUBT) && !job->was_in_doubt;
}

static bool
says_how_to_opt_out(const Job *job)
{
	return job->body && smsflow_purpose_is_marketing(job->purpose) && smsflow_has_opt_out_wording(job->body, strlen(job->body));
}

/* Other purposes may reach a person every minute, and their runs would be in the way of all neighbours. */
static bool
may_run(const Touch *touch)
{
	return touch->job->purpose == SMSFLOW_PURPOSE_PROMOTIONAL && touch->job->ref == NULL;
}

static int
compare_runs(const Touch *a, const Touch *b)
{
	int64 a_span = CONTACT_SPAN(a->job->contact_id), b_span = CONTACT_SPAN(b->job->contact_id);

	if (may_run(a) != may_run(b))
		return may_run(a) ? 1 : -1;
	if (a_span != b_span)
		return a_span < b_span ? -1 : 1;
	if (a->job->counted != b->job->counted)
		return a->job->counted ? 1 : -1;
	if (a->wording != b->wording)
		return a->wording ? 1 : -1;
	return strcmp(a->subject, b->subject);
}

static int
compare_touches(const void *left, const void *right)
{
	const Touch *a = left, *b = right;
	int order = compare_runs(a, b);

	if (order != 0)
		return order;
	return a->job->message_id < b->job->message_id ? -1 : a->job->message_id > b->job->message_id;
}

/* How many of the touches, which are sorted, are one run. */
static int
run_length(const Touch *touches, int count)
{
	TimestampTz first = touches[0].job->finished_at, last = first;
	int length = 1;

	while (length < count && length < LONGEST_RUN && compare_runs(&touches[0], &touches[length]) == 0)
	{
		first = Min(first, touches[length].job->finished_at);
		last = Max(last, touches[length].job->finished_at);
		if (last - first > RUN_TIME)
			break;
		length++;
	}
	return length;
}

static void
append_run(Appender *runs, const Touch *touches, int count)
{
	const Job *job = touches[0].job;
	TimestampTz sent_at = DT_NOBEGIN;
	Datum places[LONGEST_RUN];
	Datum messages[LONGEST_RUN];

	for (int i = 0; i < count; i++)
	{
		places[i] = Int16GetDatum(CONTACT_PLACE(touches[i].job->contact_id));
		messages[i] = Int64GetDatum(touches[i].job->message_id);
		sent_at = Max(sent_at, touches[i].job->finished_at);
	}
	append_row(runs);
	append_value(runs, RUN_SPAN, Int64GetDatum(CONTACT_SPAN(job->contact_id)));
	append_value(runs, RUN_SENT, TimestampTzGetDatum(sent_at));
	append_value(runs, RUN_PURPOSE, purpose_label(job->purpose, runs, RUN_PURPOSE));
	append_value(runs, RUN_SUBJECT, CStringGetTextDatum(touches[0].subject));
	append_value(runs, RUN_COUNTED, BoolGetDatum(job->counted));
	append_value(runs, RUN_WORDING, BoolGetDatum(touches[0].wording));
	append_value(runs, RUN_PLACES, PointerGetDatum(construct_array(places, count, INT2OID, sizeof(int16), true, TYPALIGN_SHORT)));
	append_value(runs, RUN_MESSAGES,
				 PointerGetDatum(construct_array(messages, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

static void
append_touch(Appender *rows, const Touch *touch)
{
	const Job *job = touch->job;

	append_row(rows);
	append_value(rows, TOUCH_CONTACT, Int64GetDatum(job->contact_id));
	append_value(rows, TOUCH_SENT, TimestampTzGetDatum(job->finished_at));
	append_value(rows, TOUCH_MESSAGE, Int64GetDatum(job->message_id));
	append_value(rows, TOUCH_PURPOSE, purpose_label(job->purpose, rows, TOUCH_PURPOSE));
	append_value(rows, TOUCH_SUBJECT, CStringGetTextDatum(touch->subject));
	append_text(rows, TOUCH_REF, job->ref);
	append_value(rows, TOUCH_COUNTED, BoolGetDatum(job->counted));
	append_value(rows, TOUCH_WORDING, BoolGetDatum(touch->wording));
}

static void
write_touches(const Touch *touches, int count)
{
	Appender *rows = NULL;
	Appender *runs = NULL;
	int length;

	for (int i = 0; i < count; i += length)
	{
		length = may_run(&touches[i]) ? run_length(&touches[i], count - i) : 1;
		if (length >= SHORTEST_RUN)
		{
			if (runs == NULL)
				runs = append_begin("touch_run", run_columns, lengthof(run_columns));
			append_run(runs, &touches[i], length);
			continue;
		}
		if (rows == NULL)
			rows = append_begin("touch", touch_columns, lengthof(touch_columns));
		for (int j = i; j < i + length; j++)
			append_touch(rows, &touches[j]);
	}
	if (runs)
		append_end(runs);
	if (rows)
		append_end(rows);
}

void
append_touches(Job **jobs, int count)
{
	Touch *touches = palloc(sizeof(Touch) * count);
	SmsflowSent *sent = palloc(sizeof(SmsflowSent) * count);
	int found = 0;

	for (int i = 0; i < count; i++)
	{
		const Job *job = jobs[i];

		if (!is_touch(job))
			continue;
		sent[found] = (SmsflowSent){job->contact_id, job->finished_at};
		touches[found++] = (Touch){job, job->subject ? job->subject : "", says_how_to_opt_out(job)};
	}
	qsort(touches, found, sizeof(Touch), compare_touches);
	write_touches(touches, found);
	smsflow_note_sent(sent, found);
}
