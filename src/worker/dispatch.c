/*
 * dispatch.c - handing messages to the transport: lane by lane, queue by queue
 * in turn, as limits, pauses and free places allow. The last look before a
 * request starts is at the ring of revocations: whatever was stopped since the
 * claim goes back to the gate.
 */
#include "worker/worker.h"

#include "fault.h"
#include "worker/batch.h"
#include "worker/journal.h"
#include "worker/prepared.h"

/* Places that only the lane of compliance and one-time passwords may take. */
#define RESERVED_PLACES 4

/* What cannot go on within this time goes back into its table, and its place in memory to others. */
#define LONGEST_WAIT (2 * USECS_PER_SEC)

/* No request starts so shortly before the recipient's window closes: it takes time to reach the phone. */
#define CLOSING_MARGIN (5 * USECS_PER_SEC)

/* Marketing that a prepared transaction may stop is looked at again after this. */
#define PREPARED_PAUSE (5 * USECS_PER_SEC)

/* A route that cannot be used is tried again after this. */
#define CONFIGURATION_PAUSE (60 * USECS_PER_SEC)

int64
dispatch_wait(void)
{
	return lanes_wake();
}

/* ---- ends that need no request ---- */

/* A message in doubt stays so until it is tried again. */
void
dispatch_hold(Job *job, const char *reason, TimestampTz due_at)
{
	job->outcome = OUTCOME_NONE;
	job->due_at = due_at;
	job->timer_reason = job->was_in_doubt ? "resend_later" : reason;
	job->next_attempt = job->attempt;
	job->finished_at = worker.clock->now();

	/* It is not sent by this claim, so the next one need not wait for what the caps will say of it. */
	job_leave_contact(job);
	result_add(job);
}

void
dispatch_release(Job *job, const char *reason)
{
	dispatch_hold(job, reason, worker.clock->now());
}

/* The window of the recipient closes: at that moment the gate says when it opens again. */
static void
hold_for_gate(Job *job)
{
	dispatch_hold(job, "quiet_hours", Max(worker.clock->now(), job->open_until));
}

static void
expire(Job *job)
{
	job_refuse(job, OUTCOME_EXPIRED, "expired");
	job->finished_at = worker.clock->now();
	result_add(job);
}

void
dispatch_end(Job *job, SmsflowStart start)
{
	switch (start)
	{
		case START_ASK_GATE:
			dispatch_release(job, "released");
			break;
		case START_EXPIRED:
			expire(job);
			break;
		case START_WINDOW_ENDED:
			hold_for_gate(job);
			break;
		case START_NOW:
			break;
	}
}

/* The message itself cannot be sent: set aside with its reason. */
static void
set_aside(Job *job, const char *problem)
{
	job->outcome = OUTCOME_REJECTED;
	job->class = CLASS_INVALID;
	job->reason = problem;
	job->finished_at = worker.clock->now();
	result_add(job);
}

/* ---- what a queue waits for ---- */

/* All of it goes back, until the instant at which it is worth another try. */
static void
hold_queue(Queue *queue, const char *reason, TimestampTz due_at)
{
	while (queue->job_count > 0)
		dispatch_hold(queue_pop(queue), reason, due_at);
}

static void
wait_or_hold(Queue *queue, int64 wait, int64 monotonic, const char *reason)
{
	if (wait <= LONGEST_WAIT)
		queue_wait_until(queue, monotonic + wait);
	else
		hold_queue(queue, reason, worker.clock->now() + wait);
}

/*
 * What a person may mend at any time is due at once: it is claimed when the
 * route is open again.
 */
static void
wait_for_route(Queue *queue, const Sender *sender, int64 opens, int64 monotonic)
{
	bool of_sender = opens == sender->breaker.open_until;

	if (of_sender && strcmp(sender->paused_for, "throttled") != 0 && opens - monotonic > LONGEST_WAIT)
		hold_queue(queue, sender->paused_for, worker.clock->now());
	else
		wait_or_hold(queue, opens - monotonic, monotonic, of_sender ? sender->paused_for : "no_connection");
}

/* True when the route may be used now; else the queue waits for it. */
static bool
route_free(Queue *queue, Sender *sender, int64 monotonic)
{
	Gateway *gateway = sender->gateway;
	int64 opens = Max(sender->breaker.open_until, gateway->breaker.open_until);

	if (opens > monotonic)
		wait_for_route(queue, sender, opens, monotonic);
	else if (sender->in_flight >= smsflow_breaker_window(&sender->breaker, monotonic))
		queue_wait_for_news(queue);
	else if (gateway_room(gateway, queue->lane, monotonic) <= 0)
		queue_wait_for_place(queue, gateway);
	else
		return true;
	return false;
}

/* True when limits let the job pass, and what it needs of them is taken; else its queue waits. */
static bool
within_limits(Queue *queue, Job *job, Sender *sender, int64 monotonic)
{
	const char *reason = NULL;
	int64 wait;

	limits_of(queue, sender, job->brand_id, &job->limits);
	wait = limits_take(&job->limits, job->parts, queue->lane, monotonic, &reason);
	if (wait == PG_INT64_MAX)
		queue_wait_for_news(queue);
	else if (wait > 0)
		wait_or_hold(queue, wait, monotonic, reason);
	return wait == 0;
}

/* ---- what must not start ---- */

static bool
concerns(const SmsflowRevocation *revocation, const Job *job)
{
	switch (revocation->kind)
	{
		case SMSFLOW_REVOKE_CONTACT:
			return job->contact_id == revocation->id;
		case SMSFLOW_REVOKE_MESSAGE:
			return job->message_id == revocation->id;
		case SMSFLOW_REVOKE_CAMPAIGN:
			return job->campaign_id == revocation->id;
		case SMSFLOW_REVOKE_ENROLLMENT:
			return job->enrollment_id == revocation->id;
	}
	return true;
}

/* ---- starting a request ---- */

static SmsflowStart
may_start(const Job *job, int64 margin)
{
	dispatch_read_revocations();
	return smsflow_may_start(job->check_again, job->expires_at, job->open_until, margin, worker.clock->now());
}

/* A cancel is about that message, whatever its purpose; all else that transactions revoke stops marketing. */
static bool
may_stop(const SmsflowNotes *notes, const void *what)
{
	const Job *job = what;

	for (int i = 0; i < notes->revocations; i++)
		if ((smsflow_purpose_is_marketing(job->purpose) || notes->revocation[i].kind == SMSFLOW_REVOKE_MESSAGE) &&
			concerns(&notes->revocation[i], job))
			return true;
	return false;
}

static bool
may_stop_anything(const SmsflowNotes *notes, const void *what)
{
	return notes->revocations_lost;
}

/* True while a transaction that is prepared, and not ended, may have stopped the message. */
static bool
waits_for_prepared(const Job *job)
{
	return smsflow_prepared_concerns(may_stop, job) ||
		   (smsflow_purpose_is_marketing(job->purpose) && smsflow_prepared_concerns(may_stop_anything, NULL));
}

/*
 * The last moment at which a STOP, a cancel or a purchase can win. Prepared
 * transactions are looked at before the ring, into which their notes move when
 * they end. Looking takes a lock for a moment, but neither allocates nor fails.
 */
static bool
on_wire(void *tag)
{
	Job *job = tag;

	smsflow_starts_begin(worker.slot);
	job->start = waits_for_prepared(job) ? START_ASK_GATE : may_start(job, 0);
	if (job->start != START_NOW)
		return false;
	smsflow_fault("first_byte");
	smsflow_journal_on_wire(job->journal_place);
	smsflow_fault("on_wire");
	return true;
}

static void
handed_over(void)
{
	smsflow_starts_end(worker.slot);
}

/* The same for several: when one must not start, the request does not. */
static bool
batch_on_wire(void *tag)
{
	Batch *batch = tag;
	bool starts = true;

	smsflow_starts_begin(worker.slot);
	for (int i = 0; i < batch->count; i++)
	{
		batch->jobs[i]->start = waits_for_prepared(batch->jobs[i]) ? START_ASK_GATE : may_start(batch->jobs[i], 0);
		starts &= batch->jobs[i]->start == START_NOW;
	}
	if (!starts)
		return false;
	smsflow_fault("first_byte");
	for (int i = 0; i < batch->count; i++)
		smsflow_journal_on_wire(batch->jobs[i]->journal_place);
	smsflow_fault("on_wire");
	return true;
}

static bool
start_request(Job *job, Sender *sender)
{
	const char *problem = NULL;
	SmsflowRequest *request;
	char error[128];

	job->sender = sender;
	request = request_build(job, &problem);
	if (request == NULL)
	{
		if (strcmp(problem, "secret_missing") != 0)
		{
			set_aside(job, problem);
			return true;
		}
		sender->paused_for = problem;
		smsflow_breaker_open(&sender->breaker, CONFIGURATION_PAUSE, worker.clock->monotonic());
		dispatch_release(job, problem);
		return true;
	}
	job->journal_place = smsflow_journal_take(job->message_id, job->attempt);
	if (job->journal_place < 0)
		return false;
	trace_request(job);
	smsflow_fault("dispatch");
	job->started_at = worker.clock->now();
	job->exchange.answered = answer_to_message;
	request->tag = job;
	request->on_wire = on_wire;
	request->handed_over = handed_over;
	if (!worker.transport->submit(request, error, sizeof(error)))
	{
		job->started_at = 0;
		dispatch_release(job, "no_connection");
		return true;
	}
	sender->gateway->in_flight++;
	sender->in_flight++;
	worker.in_flight++;
	return true;
}

/* Ends the first job of a queue when it needs no request any more. */
static bool
ends_without_request(Queue *queue, Job *job)
{
	SmsflowStart start = may_start(job, CLOSING_MARGIN);

	if (start == START_NOW)
		return false;
	dispatch_end(queue_pop(queue), start);
	return true;
}

/* True when a prepared transaction keeps the first job of a queue from starting: it waits, or all of the queue does. */
static bool
waits_for_commit(Queue *queue, Job *job)
{
	if (!waits_for_prepared(job))
		return false;
	if (smsflow_purpose_is_marketing(job->purpose) && smsflow_prepared_concerns(may_stop_anything, NULL))
		queue_wait_until(queue, worker.clock->monotonic() + SMSFLOW_PREPARED_LOOK);
	else
		dispatch_hold(queue_pop(queue), "prepared", worker.clock->now() + PREPARED_PAUSE);
	return true;
}

/* Whether the first job of a queue may leave with a batch, now; then what it needs of limits is taken. */
static bool
joins(const Batch *batch, Queue *queue, Sender *sender, int64 now)
{
	const char *reason;
	Job *job;

	if (queue->job_count == 0)
		return false;
	job = dlist_container(Job, node, dlist_head_node(&queue->jobs));
	if (!batch_takes(batch, job, sender) || may_start(job, CLOSING_MARGIN) != START_NOW || waits_for_prepared(job))
		return false;
	limits_of(queue, sender, job->brand_id, &job->limits);
	return limits_take(&job->limits, job->parts, queue->lane, now, &reason) == 0;
}

/* The first job of a queue, and as many behind it as may leave with it; what that is beyond its turn, the queue owes. */
static bool
advance_batch(Queue *queue, Sender *sender, int64 now)
{
	Batch *batch = batch_begin();

	do
	{
		Job *job = dlist_container(Job, node, dlist_head_node(&queue->jobs));

		queue->deficit -= job->parts;
		queue_pop(queue);
		job->sender = sender;
		batch_add(batch, job);
	} while (joins(batch, queue, sender, now));
	return batch_start(batch, sender, batch_on_wire, handed_over);
}

/* Sends or ends the first job of a queue; false when the queue has to wait. */
static bool
advance_queue(Queue *queue)
{
	Job *job = dlist_container(Job, node, dlist_head_node(&queue->jobs));
	Sender *sender = queue->sender ? queue->sender : config_sender(job->sender_id);
	int64 now = worker.clock->monotonic();

	if (ends_without_request(queue, job))
		return true;
	if (waits_for_commit(queue, job))
		return queue->state == QUEUE_READY;
	if (sender == NULL || !sender->present || !sender->gateway->present)
	{
		/* Switched off, or gone: it waits in its table, or the gate chooses another. */
		hold_queue(queue, "released", worker.clock->now());
		return false;
	}
	if (!route_free(queue, sender, now) || !within_limits(queue, job, sender, now))
		return false;
	if (batch_possible(queue, job, sender, now))
		return advance_batch(queue, sender, now);
	queue_pop(queue);
	queue->deficit -= job->parts;
	if (!start_request(job, sender))
	{
		limits_untake(&job->limits, job->parts, now);
		dispatch_release(job, "released");
		return false;
	}
	if (job->started_at == 0)
		limits_untake(&job->limits, job->parts, now);
	return true;
}

static int
places_for(int lane)
{
	int places = Min(worker.transport->free_places(), worker_places() - worker.in_flight);

	return lane == 0 ? places : places - Min(RESERVED_PLACES, worker_places() / 2);
}

static bool
turn_lasts(Queue *queue)
{
	return queue->state == QUEUE_READY && queue->deficit >= dlist_container(Job, node, dlist_head_node(&queue->jobs))->parts &&
		   places_for(queue->lane) > 0;
}

/*
 * Deficit round robin: with each turn a queue may send as many parts as its
 * weight, and keeps what it could not use because its next message is longer.
 */
static void
advance_lane(int lane)
{
	Queue *queue;

	while (places_for(lane) > 0 && (queue = lane_next(lane, worker.clock->monotonic())) != NULL)
	{
		if (!turn_lasts(queue))
			queue->deficit += queue->weight;
		while (turn_lasts(queue) && advance_queue(queue))
			;
		if (queue->state == QUEUE_READY && places_for(lane) > 0)
			queue_yield(queue);
	}
}

void
dispatch(void)
{
	if (worker.backlog == 0)
		return;
	do
	{
		for (int lane = 0; lane < SMSFLOW_LANES; lane++)
			advance_lane(lane);
	} while (lanes_admit());
}

/* ---- revocations ---- */

static void
mark(const SmsflowRevocation *revocations, int count)
{
	HASH_SEQ_STATUS scan;
	JobEntry *entry;

	hash_seq_init(&scan, worker.jobs);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (count < 0)
			entry->job->check_again = true;
		for (int i = 0; i < count; i++)
			if (concerns(&revocations[i], entry->job))
				entry->job->check_again = true;
	}
}

void
dispatch_read_revocations(void)
{
	static SmsflowRevocation revocations[SMSFLOW_RING_SIZE];
	int count = smsflow_read_revocations(worker.slot, &worker.ring_tail, revocations);

	if (count != 0)
		mark(revocations, count);
}
