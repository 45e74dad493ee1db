/*
 * batch.c - several messages in one request. They are those of one queue that
 * may leave at the same moment; nothing waits until a batch is full. When one
 * of them is revoked before the first byte, the request does not start, and the
 * others are taken anew. When a gateway refuses the whole, each is tried alone,
 * so that a bad one takes no other with it.
 */
#include "worker/batch.h"

#include "utils/memutils.h"

#include "fault.h"
#include "types/types.h"
#include "worker/journal.h"
#include "worker/worker.h"

/* How much shorter the validity of a message may become by what the first of its request has. */
#define VALIDITY_SLACK (60 * USECS_PER_SEC)

/* ---- what may share a request ---- */

/* What is said once for all is said by the first: its text, and until when it is worth sending. */
static bool
same_words(const Job *first, const Job *job)
{
	return strcmp(first->body, job->body) == 0 && job->expires_at >= first->expires_at &&
		   job->expires_at - first->expires_at <= VALIDITY_SLACK;
}

/* Items of a batch name no media. */
static bool
fits(const Job *job, const Gateway *gateway)
{
	return !job->alone && job->media_count == 0 && (!gateway->batch.marketing || smsflow_purpose_is_marketing(job->purpose)) &&
		   request_problem(job, gateway) == NULL;
}

/* While a route is on trial, one message tries it. */
bool
batch_possible(const Queue *queue, const Job *job, const Sender *sender, int64 monotonic)
{
	const Gateway *gateway = sender->gateway;

	return gateway->batch.most > 1 && queue->sender && queue->lane > 0 && queue->job_count > 1 && !queue->traced &&
		   fits(job, gateway) && smsflow_breaker_state(&sender->breaker, monotonic) == BREAKER_CLOSED &&
		   smsflow_breaker_state(&gateway->breaker, monotonic) == BREAKER_CLOSED;
}

bool
batch_takes(const Batch *batch, const Job *job, const Sender *sender)
{
	const Gateway *gateway = sender->gateway;

	if (batch->count >= Min(gateway->batch.most, SMSFLOW_MAX_BATCH) || !fits(job, gateway))
		return false;
	if (gateway->batch.same_body && !same_words(batch->jobs[0], job))
		return false;
	for (int i = 0; i < batch->count && gateway->batch.number; i++)
		if (batch->jobs[i]->recipient == job->recipient)
			return false;
	return true;
}

/* ---- life ---- */

Batch *
batch_begin(void)
{
	MemoryContext context = AllocSetContextCreate(worker.long_lived, "smsflow batch", ALLOCSET_SMALL_SIZES);
	Batch *batch = MemoryContextAllocZero(context, sizeof(Batch));

	batch->context = context;
	return batch;
}

void
batch_free(Batch *batch)
{
	MemoryContextDelete(batch->context);
}

void
batch_add(Batch *batch, Job *job)
{
	batch->jobs[batch->count++] = job;
}

void
batch_dissolve(Batch *batch, bool alone)
{
	for (int i = 0; i < batch->count; i++)
	{
		Job *job = batch->jobs[i];

		if (job->journal_place >= 0)
			smsflow_journal_release(job->journal_place);
		job->journal_place = -1;
		job->started_at = 0;
		job->alone |= alone;
		limits_give_back(&job->limits, job->parts);
		if (job->start == START_NOW)
			queue_push(job);
		else
			dispatch_end(job, job->start);
	}
}

static void
give_back(Batch *batch, const char *reason)
{
	for (int i = 0; i < batch->count; i++)
	{
		batch->jobs[i]->started_at = 0;
		limits_give_back(&batch->jobs[i]->limits, batch->jobs[i]->parts);
		dispatch_release(batch->jobs[i], reason);
	}
}

static bool
take_journal(Batch *batch)
{
	for (int i = 0; i < batch->count; i++)
	{
		Job *job = batch->jobs[i];

		job->journal_place = smsflow_journal_take(job->message_id, job->attempt);
		if (job->journal_place < 0)
			return false;
		job->started_at = worker.clock->now();
	}
	return true;
}

bool
batch_start(Batch *batch, Sender *sender, bool (*on_wire)(void *tag), void (*handed_over)(void))
{
	const char *problem;
	bool marked = take_journal(batch);
	SmsflowRequest *request = marked ? request_build_batch(batch, &problem) : NULL;
	char error[128];

	if (request == NULL)
	{
		/* What is wrong with a profile is said about a message alone. */
		if (marked)
			batch_dissolve(batch, true);
		else
			give_back(batch, "released");
		batch_free(batch);
		return false;
	}
	smsflow_fault("dispatch");
	batch->exchange.answered = answer_to_batch;
	request->tag = batch;
	request->on_wire = on_wire;
	request->handed_over = handed_over;
	if (!worker.transport->submit(request, error, sizeof(error)))
	{
		give_back(batch, "no_connection");
		batch_free(batch);
		return false;
	}
	sender->gateway->in_flight++;
	sender->in_flight++;
	worker.in_flight++;
	worker.batched += batch->count - 1;
	return true;
}

/* ---- results ---- */

static int64
digits(const char *text, size_t length)
{
	int64 number = 0;

	for (size_t i = 0; i < length && number < INT64CONST(1000000000000000); i++)
		if (text[i] >= '0' && text[i] <= '9')
			number = number * 10 + (text[i] - '0');
	return number;
}

/* By the number in it, or by its place in the list. */
Jsonb *
batch_result(const Batch *batch, int index, Jsonb *answer)
{
	const Job *job = batch->jobs[index];
	const BatchRules *rules = &job->sender->gateway->batch;
	Jsonb *list = answer && rules->results ? smsflow_jsonb_at(answer, rules->results) : NULL;

	if (list == NULL || !JB_ROOT_IS_ARRAY(list))
		return NULL;
	if (rules->number == NULL)
		return JB_ROOT_COUNT(list) == (uint32) batch->count ? smsflow_jsonb_at(list, psprintf("%d", index)) : NULL;
	for (uint32 i = 0; i < JB_ROOT_COUNT(list); i++)
	{
		Jsonb *record = smsflow_jsonb_at(list, psprintf("%u", i));
		const char *text;
		size_t length;

		if (record && smsflow_jsonb_field(record, rules->number, &text, &length) && digits(text, length) == job->recipient)
			return record;
	}
	return NULL;
}
