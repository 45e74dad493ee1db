/*
 * dispatch.c - handing messages to the transport: lane by lane, queue by queue
 * in turn, as limits, pauses and free places allow. The last look before a
 * request starts is at the ring of revocations: whatever was stopped since the
 * claim goes back to the gate.
 */
#include "worker/worker.h"

#include "fault.h"
#include "worker/journal.h"

/* Places that only the lane of compliance and one-time passwords may take. */
#define RESERVED_PLACES 4

/* No request starts so shortly before the recipient's window closes: it takes time to reach the phone. */
#define CLOSING_MARGIN (5 * USECS_PER_SEC)

/* A route that cannot be used is tried again after this. */
#define CONFIGURATION_PAUSE (60 * USECS_PER_SEC)

static int64 wait_until = PG_INT64_MAX;

static void
wait_at_most(int64 monotonic)
{
	wait_until = Min(wait_until, monotonic);
}

int64
dispatch_wait(void)
{
	return wait_until;
}

/* ---- ends that need no request ---- */

static Job *
take_job(Queue *queue)
{
	Job *job = dlist_container(Job, node, dlist_pop_head_node(&queue->jobs));

	queue->job_count--;
	worker.backlog--;
	return job;
}

void
dispatch_release(Job *job, const char *reason)
{
	job->outcome = OUTCOME_NONE;
	job->due_at = worker.clock->now();
	job->timer_reason = reason;
	job->next_attempt = job->attempt;
	job->finished_at = job->due_at;

	/* It is not sent by this claim, so the next one need not wait for what the caps will say of it. */
	job_leave_contact(job);
	result_add(job);
}

/* The window of the recipient closes: at that moment the gate says when it opens again. */
static void
hold_for_gate(Job *job)
{
	dispatch_release(job, "quiet_hours");
	job->due_at = Max(job->due_at, job->open_until);
}

static void
expire(Job *job)
{
	job_refuse(job, OUTCOME_EXPIRED, "expired");
	job->finished_at = worker.clock->now();
	result_add(job);
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

/* ---- limits ---- */

static void
start_new_day(Sender *sender)
{
	int64 today = worker.clock->now() / USECS_PER_DAY;

	if (sender->day == today)
		return;
	sender->day = today;
	sender->sent_today = 0;
}

static bool
within_daily_limit(Sender *sender, int parts)
{
	if (sender->daily_limit == 0)
		return true;
	start_new_day(sender);
	if (sender->sent_today + parts <= sender->daily_limit)
		return true;
	sender->paused_until = worker.clock->monotonic() + 60 * USECS_PER_SEC;
	return false;
}

static bool
within_rate(Sender *sender, int parts, int64 now)
{
	int64 wait =
		Max(smsflow_limiter_wait(&sender->limiter, parts, now), smsflow_limiter_wait(&sender->gateway->limiter, parts, now));

	if (wait == 0)
		return true;
	wait_at_most(now + wait);
	return false;
}

static bool
route_free(Sender *sender, int64 now)
{
	Gateway *gateway = sender->gateway;

	if (!sender->present || !gateway->present)
		return false;
	if (sender->paused_until > now || gateway->paused_until > now)
	{
		wait_at_most(Max(sender->paused_until, gateway->paused_until));
		return false;
	}
	return gateway->in_flight < gateway->max_in_flight;
}

/* ---- starting a request ---- */

/*
 * The last moment at which a STOP, a cancel or a purchase can win. Reading the
 * ring takes a lock for a moment, but neither allocates nor fails.
 */
static bool
on_wire(void *tag)
{
	Job *job = tag;

	dispatch_read_revocations();
	if (job->check_again || job->open_until <= worker.clock->now())
		return false;
	smsflow_fault("first_byte");
	smsflow_journal_on_wire(job->journal_place);
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
		sender->paused_until = worker.clock->monotonic() + CONFIGURATION_PAUSE;
		sender->misconfigured = true;
		dispatch_release(job, problem);
		return true;
	}
	job->journal_place = smsflow_journal_take(job->message_id, job->attempt);
	if (job->journal_place < 0)
		return false;
	smsflow_fault("dispatch");
	job->started_at = worker.clock->now();
	request->tag = job;
	request->on_wire = on_wire;
	if (!worker.transport->submit(request, error, sizeof(error)))
	{
		job->started_at = 0;
		dispatch_release(job, "no_connection");
		return true;
	}
	sender->gateway->in_flight++;
	worker.in_flight++;
	return true;
}

/* Sends, ends or leaves the first job of a queue; true when it was taken. */
static bool
advance_queue(Queue *queue)
{
	Job *job = dlist_container(Job, node, dlist_head_node(&queue->jobs));
	Sender *sender = queue->sender ? queue->sender : config_sender(job->sender_id);
	int64 now = worker.clock->monotonic();

	dispatch_read_revocations();
	if (job->check_again)
	{
		dispatch_release(take_job(queue), "released");
		return true;
	}
	if (job->open_until - CLOSING_MARGIN <= worker.clock->now())
	{
		hold_for_gate(take_job(queue));
		return true;
	}
	if (job->expires_at <= worker.clock->now())
	{
		expire(take_job(queue));
		return true;
	}
	if (sender == NULL)
	{
		/* The sender that the gate allowed is gone: it chooses another. */
		dispatch_release(take_job(queue), "released");
		return true;
	}
	if (!route_free(sender, now) || !within_daily_limit(sender, job->parts) || !within_rate(sender, job->parts, now))
		return false;
	job = take_job(queue);
	if (!start_request(job, sender))
	{
		dispatch_release(job, "released");
		return false;
	}
	smsflow_limiter_take(&sender->limiter, job->parts, now);
	smsflow_limiter_take(&sender->gateway->limiter, job->parts, now);
	sender->sent_today += job->parts;
	return true;
}

static int
places_for(int lane)
{
	int places = Min(worker.transport->free_places(), smsflow_max_in_flight - worker.in_flight);

	return lane == 0 ? places : places - Min(RESERVED_PLACES, smsflow_max_in_flight / 2);
}

/* One message of each queue, then the next of each, so that all take turns. */
static void
advance_lane(int lane)
{
	bool moved = true;

	while (moved)
	{
		dlist_mutable_iter iter;

		moved = false;
		dlist_foreach_modify(iter, &worker.lanes[lane])
		{
			Queue *queue = dlist_container(Queue, in_lane, iter.cur);

			if (dlist_is_empty(&queue->jobs))
				continue;
			if (places_for(lane) <= 0)
				return;
			moved |= advance_queue(queue);
		}
	}
}

void
dispatch(void)
{
	wait_until = PG_INT64_MAX;
	if (worker.backlog == 0)
		return;
	for (int lane = 0; lane < SMSFLOW_LANES; lane++)
		advance_lane(lane);
}

/* ---- revocations ---- */

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
