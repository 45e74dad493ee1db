/*
 * job.c - a message in the worker's hands: made from a row, freed when its
 * result is durable.
 */
#include "worker/worker.h"

#include "utils/memutils.h"

#include "message/gate.h"
#include "message/policy.h"
#include "message/spi.h"
#include "worker/journal.h"

void
job_free(Job *job)
{
	hash_search(worker.jobs, &job->message_id, HASH_REMOVE, NULL);
	if (job->journal_place >= 0)
		smsflow_journal_release(job->journal_place);
	job_leave_contact(job);
	job_discard(job);
}

bool
job_is_reported(int64 message_id)
{
	JobEntry *entry = hash_search(worker.jobs, &message_id, HASH_FIND, NULL);

	if (entry)
		entry->job->reported = true;
	return entry != NULL;
}

void
job_discard(Job *job)
{
	MemoryContextDelete(job->context);
}

void
job_keep(Job *job)
{
	MemoryContextSetParent(job->context, worker.long_lived);
}

/* What may have been sent already is not made unsent by a refusal now. */
void
job_refuse(Job *job, Outcome outcome, const char *reason)
{
	job->outcome = smsflow_doubt_remains(job->was_in_doubt, false) ? OUTCOME_IN_DOUBT : outcome;
	job->reason = MemoryContextStrdup(job->context, reason);
}

bool
job_take_contact(Job *job)
{
	bool taken = false;

	if (job->contact_id == 0 || !smsflow_policy_is_capped(job->purpose))
		return true;
	hash_search(worker.busy, &job->contact_id, HASH_ENTER, &taken);
	job->capped = !taken && common_take_contact(job->contact_id);
	if (!taken && !job->capped)
		hash_search(worker.busy, &job->contact_id, HASH_REMOVE, NULL);
	return job->capped;
}

void
job_leave_contact(Job *job)
{
	if (job->capped)
	{
		hash_search(worker.busy, &job->contact_id, HASH_REMOVE, NULL);
		common_leave_contact(job->contact_id);
	}
	job->capped = false;
}

int64
column_id(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
column_int(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
column_bool(uint64 row, int column)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return !isnull && DatumGetBool(value);
}

TimestampTz
column_time(uint64 row, int column, TimestampTz missing)
{
	bool isnull;
	Datum value = smsflow_spi_value(row, column, &isnull);

	return isnull ? missing : DatumGetTimestampTz(value);
}

/* URLs hold no space. */
static void
read_media(Job *job, const char *urls)
{
	const char *end;

	if (urls == NULL)
		return;
	job->media = palloc(sizeof(char *) * (strlen(urls) / 2 + 1));
	for (; *urls != '\0'; urls = *end == ' ' ? end + 1 : end)
	{
		end = urls + strcspn(urls, " ");
		job->media[job->media_count++] = pnstrdup(urls, end - urls);
	}
}

Job *
job_make(Queue *queue)
{
	MemoryContext context = AllocSetContextCreate(worker.scratch, "smsflow message", ALLOCSET_SMALL_SIZES);
	Job *job = MemoryContextAllocZero(context, sizeof(Job));

	job->context = context;
	job->queue = queue;
	job->attempt = 1;
	job->journal_place = -1;
	job->open_until = DT_NOEND;
	job->due_at = DT_NOBEGIN;
	job->finished_at = worker.clock->now();
	return job;
}

bool
job_counts(SmsflowPurpose purpose, NullableDatum source_options)
{
	int own = smsflow_cap_flag(source_options, SMSFLOW_CAP_COUNTS);

	return own >= 0 ? own : smsflow_policy_counts(purpose);
}

Job *
job_from_row(Queue *queue, uint64 row)
{
	Job *job = job_make(queue);
	MemoryContext old = MemoryContextSwitchTo(job->context);
	char *purpose = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 8);
	NullableDatum options;

	options.value = smsflow_spi_value(row, GATED_COUNT, &options.isnull);
	job->message_id = column_id(row, 1);
	job->contact_id = column_id(row, 2);
	job->enrollment_id = column_id(row, 3);
	job->brand_id = column_int(row, 4);
	job->campaign_id = column_int(row, 5);
	job->sequence_id = column_int(row, 6);
	job->step = (int16) column_int(row, 7);
	smsflow_purpose_from_name(purpose, strlen(purpose), &job->purpose);
	job->parts = column_int(row, 9);
	job->unicode = column_bool(row, 10);
	job->recipient = strtoll(SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 11) + 1, NULL, 10);
	job->body = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 12);
	job->expires_at = column_time(row, 13, DT_NOEND);
	job->open_until = column_time(row, 16, DT_NOEND);
	job->subject = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 17);
	job->ref = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 18);
	job->sender_id = column_int(row, 19);
	read_media(job, SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 20));
	job->variant = (int16) column_int(row, 21);
	job->counted = job_counts(job->purpose, options);
	MemoryContextSwitchTo(old);
	return job;
}
