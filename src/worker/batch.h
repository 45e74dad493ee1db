/*
 * batch.h - several messages in one request, for gateways that take them. Each
 * has its own limits, its own place in the journal and its own result.
 */
#ifndef SMSFLOW_BATCH_H
#define SMSFLOW_BATCH_H

#include "worker/job.h"

#define SMSFLOW_MAX_BATCH 100

typedef struct Batch
{
	Exchange exchange;
	MemoryContext context;
	int count;
	Job *jobs[SMSFLOW_MAX_BATCH]; /* of one queue and one sender */
} Batch;

/* Whether a message of this queue may share a request with others, if they are there. */
extern bool batch_possible(const Queue *queue, const Job *job, const Sender *sender, int64 monotonic);

extern Batch *batch_begin(void);
extern void batch_free(Batch *batch);

/* Whether the batch takes this one, too. */
extern bool batch_takes(const Batch *batch, const Job *job, const Sender *sender);
extern void batch_add(Batch *batch, Job *job);

/*
 * Makes and starts the request; on_wire as the transport has it, with the batch
 * as its tag. False when it could not be started: every message is given back.
 */
extern bool batch_start(Batch *batch, Sender *sender, bool (*on_wire)(void *tag), void (*handed_over)(void));

/* No message of it was sent: they go back into their queue. alone: each has its own request then. */
extern void batch_dissolve(Batch *batch, bool alone);

/* What the answer says of each message: its record in the list of results, or NULL. */
extern Jsonb *batch_result(const Batch *batch, int index, Jsonb *answer);

/* Builds the request, as request_build() does for one. */
extern SmsflowRequest *request_build_batch(const Batch *batch, const char **problem);

/* Takes the answer to a batch. */
extern void answer_to_batch(Exchange *exchange, const SmsflowAnswer *answer);

#endif
