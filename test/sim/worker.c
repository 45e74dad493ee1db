/*
 * worker.c - what the worker does with messages, as src/worker does it: a turn writes results down and claims, what is claimed
 * waits, starts, is answered, and waits to be written down.
 */
#include "sim.h"

#include <string.h>

#define CLOSING_MARGIN (5 * SECOND)

bool
is_marketing(SmsflowPurpose purpose)
{
	return purpose == SMSFLOW_PURPOSE_PROMOTIONAL || purpose == SMSFLOW_PURPOSE_CART;
}

/* Whether a timer is ahead of the newest attempt. */
static bool
has_timer(const Message *message)
{
	return message->timer != TIMER_NONE && message->attempt < message->next_attempt;
}

/* Claimed, and nothing written down about it since. */
static bool
is_unrecorded(const Message *message)
{
	return has_timer(message) ? message->timer_claimed : message->claimed && message->attempt == 0;
}

bool
waits_for_timer(const Message *message)
{
	return has_timer(message) && !message->timer_claimed;
}

/* As smsflow_fold_status() in src/message/message.c. */
SmsflowStatus
fold(const World *world, const Message *message)
{
	SmsflowStatus status = message->send_at > wall(world) ? STATUS_SCHEDULED : STATUS_QUEUED;

	if (message->attempt > 0)
		status = smsflow_status_after(status, message->seen);
	if (has_timer(message) && message->timer != TIMER_RESEND_LATER)
		status = smsflow_status_after(status, message->timer == TIMER_NOT_DUE ? SEEN_SCHEDULE
											  : message->timer == TIMER_HELD  ? SEEN_HOLD
																			  : SEEN_RETRY);
	if (is_unrecorded(message))
		status = smsflow_status_after(status, SEEN_CLAIM);
	for (int i = 0; i < message->report_count; i++)
		status = smsflow_status_after(status, message->reports[i]);
	return status;
}

/* ---- results ---- */

static void
set_timer(Job *job, TimerKind timer, int64_t due_at, int next_attempt)
{
	job->timer = timer;
	job->due_at = due_at;
	job->next_attempt = next_attempt;
}

static void
end_job(Job *job, SmsflowObservation seen)
{
	job->state = JOB_RESULT;
	job->has_attempt = true;
	job->seen = seen;
}

/* Ended without a request; what may have been sent before stays in doubt. */
static void
refuse_job(Job *job, SmsflowObservation seen)
{
	end_job(job, smsflow_doubt_remains(job->was_in_doubt, false) ? SEEN_DOUBT : seen);
}

/* Back to the gate at that time, as if it had not been claimed. */
static void
release_job(Job *job, TimerKind timer, int64_t due_at)
{
	job->state = JOB_RESULT;
	job->has_attempt = false;
	set_timer(job, job->was_in_doubt ? TIMER_RESEND_LATER : timer, due_at, job->attempt);
}

static void
stop_job(World *world, Job *job, SmsflowStart start)
{
	if (start == START_ASK_GATE)
		release_job(job, TIMER_AGAIN, wall(world));
	else if (start == START_WINDOW_ENDED)
		release_job(job, TIMER_HELD, job->open_until > wall(world) ? job->open_until : wall(world));
	else
		refuse_job(job, SEEN_EXPIRE);
}

static void
try_again(World *world, int id, SmsflowDecision decision, int64_t pause)
{
	static const TimerKind timers[] = {[AGAIN_RETRY] = TIMER_AGAIN,
									   [AGAIN_WITH_ROUTE] = TIMER_HELD,
									   [AGAIN_RESEND] = TIMER_RESEND_LATER,
									   [AGAIN_RESEND_LATER] = TIMER_RESEND_LATER};
	Job *job = &world->jobs[id];
	SmsflowNext next = smsflow_next(decision, world->messages[id].purpose, job->attempt, world->removes_repeats, pause,
									world->seed + (uint64_t) id);

	if (next.again != AGAIN_NEVER)
		set_timer(job, timers[next.again], wall(world) + next.wait, job->attempt + 1);
}

static void
record(World *world, int id)
{
	Message *message = &world->messages[id];
	Job *job = &world->jobs[id];

	if (job->has_attempt)
	{
		message->attempt = job->attempt;
		message->seen = job->seen;
	}
	if (job->timer != TIMER_NONE)
	{
		message->timer = job->timer;
		message->due_at = job->due_at;
		message->next_attempt = job->next_attempt;
		message->timer_claimed = false;
	}
	world->marked[id] = false;
	*job = (Job){0};
}

/* ---- claiming ---- */

/* What the gate says by the tables of a snapshot; the minutes of the window are those of the wall clock. */
static void
ask_gate(const World *world, int id, const Snapshot *snapshot, Job *job)
{
	const Message *message = &world->messages[id];
	int64_t now = wall(world);
	int64_t minute = now / MINUTE;
	int weekday = (int) (minute / SMSFLOW_DAY_MINUTES % 7);
	int of_day = (int) (minute % SMSFLOW_DAY_MINUTES);
	int64_t opens = now;
	bool late;

	job->open_until = FOREVER;
	if (is_marketing(message->purpose))
	{
		int wait = smsflow_window_wait(&world->window, weekday, of_day, 0);

		if (wait > 0)
			opens = (minute + wait) * MINUTE;
		else
			job->open_until = (minute + smsflow_window_left(&world->window, weekday, of_day, 0)) * MINUTE;
	}
	if (message->send_at > opens)
		opens = message->send_at;
	late = message->expires_at <= opens;
	if (snapshot->cancelled[id])
		refuse_job(job, SEEN_CANCEL);
	else if (is_marketing(message->purpose) && snapshot->stopped[message->contact])
		refuse_job(job, SEEN_SUPPRESS);
	else if (late)
		refuse_job(job, SEEN_EXPIRE);
	else if (opens > now)
		release_job(job, job->was_in_doubt ? TIMER_RESEND_LATER : message->send_at > now ? TIMER_NOT_DUE : TIMER_HELD, opens);
}

static void
claim(World *world, int id, const Snapshot *snapshot)
{
	Message *message = &world->messages[id];
	Job *job = &world->jobs[id];
	bool by_timer = has_timer(message);

	*job = (Job){.state = JOB_WAITING,
				 .attempt = by_timer ? message->next_attempt : 1,
				 .was_in_doubt = by_timer && message->timer == TIMER_RESEND_LATER};
	if (by_timer)
		message->timer_claimed = true;
	message->claimed = true;
	if (job->was_in_doubt && message->report_count > 0)
		end_job(job, SEEN_ACCEPT);
	else
		ask_gate(world, id, snapshot, job);
	TRACE(world, "claim %d, try %d%s", id, job->attempt, job->state == JOB_RESULT ? ": not now" : "");
	if (job->state == JOB_RESULT)
		record(world, id);
}

static bool
is_claimable(const World *world, const Message *message)
{
	if (waits_for_timer(message))
		return message->due_at <= wall(world);
	return message->timer == TIMER_NONE && message->attempt == 0 && !message->claimed;
}

/* One transaction: what others commit while it runs is not in its snapshot. */
void
worker_turn(World *world)
{
	Snapshot snapshot = {.message_count = world->message_count};

	memcpy(snapshot.stopped, world->stopped, sizeof(snapshot.stopped));
	for (int id = 0; id < world->message_count; id++)
		snapshot.cancelled[id] = world->messages[id].cancelled;
	while (!world->quiet && random_below(world, 3) == 0 && revocation_advance(world))
		;
	for (int id = 0; id < world->message_count; id++)
		if (world->jobs[id].state == JOB_RESULT)
			record(world, id);
	for (int id = 0; id < snapshot.message_count; id++)
		if (world->jobs[id].state == JOB_FREE && is_claimable(world, &world->messages[id]))
			claim(world, id, &snapshot);
}

/* ---- sending ---- */

static bool
concerns(const World *world, const Revocation *revocation, int id)
{
	return revocation->id == (revocation->whole_contact ? world->messages[id].contact : id);
}

/* The ring keeps the newest few: when some are lost to it, everything in hand is asked about again. */
static void
read_ring(World *world)
{
	int oldest = world->published - RING_SIZE;
	bool overflowed = world->ring_tail < oldest;

	for (int id = 0; id < world->message_count; id++)
	{
		world->jobs[id].check_again |= overflowed;
		for (int i = overflowed ? oldest : world->ring_tail; i < world->published; i++)
			world->jobs[id].check_again |= concerns(world, &world->ring[i], id);
	}
	world->ring_tail = world->published;
}

static SmsflowStart
may_start(World *world, int id, int64_t margin)
{
	Job *job = &world->jobs[id];

	read_ring(world);
	return smsflow_may_start(job->check_again, world->messages[id].expires_at, job->open_until, margin, wall(world));
}

void
worker_dispatch(World *world, int id)
{
	Job *job = &world->jobs[id];
	int parts = world->messages[id].parts;
	SmsflowStart start = may_start(world, id, CLOSING_MARGIN);

	if (start != START_NOW)
	{
		stop_job(world, job, start);
		return;
	}
	if (world->in_flight >= smsflow_breaker_window(&world->breaker, world->mono) ||
		smsflow_limiter_wait(&world->limiter, parts, world->mono) > 0)
		return;
	smsflow_limiter_take(&world->limiter, parts, world->mono);
	check_pass(world, parts);
	TRACE(world, "dispatch %d", id);
	job->state = JOB_CONNECTING;
	world->in_flight++;
}

void
worker_first_byte(World *world, int id)
{
	Job *job = &world->jobs[id];
	SmsflowStart start = may_start(world, id, 0);

	if (start != START_NOW)
	{
		TRACE(world, "stopped %d in the last moment", id);
		world->in_flight--;
		stop_job(world, job, start);
		return;
	}
	world->marked[id] = true;
	world->marked_attempt[id] = job->attempt;
	job->state = JOB_ON_WIRE;
	TRACE(world, "first byte of %d, try %d", id, job->attempt);
	check_first_byte(world, id);
	world->requests[world->request_count++] = (Request){.state = REQUEST_FLYING, .message = id, .awaited = true};
}

void
worker_no_connection(World *world, int id)
{
	worker_answer(world, id, WIRE_NONE, 0, false);
}

static SmsflowClass
classify(SmsflowWire wire, int http_status, bool retry_after)
{
	if (wire == WIRE_MAYBE)
		return CLASS_AMBIGUOUS;
	return wire == WIRE_NONE ? CLASS_TEMPORARY : smsflow_class_of_status(http_status, retry_after);
}

/* What one try proves, it does not prove of the one before. */
static void
keep_doubt(Job *job)
{
	if (!smsflow_doubt_remains(job->was_in_doubt, job->seen == SEEN_ACCEPT))
		return;
	job->seen = SEEN_DOUBT;
	if (job->timer != TIMER_NONE)
		job->timer = TIMER_RESEND_LATER;
}

static void
refused(World *world, int id, SmsflowClass class)
{
	Job *job = &world->jobs[id];
	SmsflowDecision decision = smsflow_decide(class);
	int64_t pause = class == CLASS_THROTTLED ? smsflow_throttle_pause(-1, 1) : MINUTE;

	end_job(job, decision == DECIDE_REJECT ? SEEN_REJECT : decision == DECIDE_DOUBT ? SEEN_DOUBT : SEEN_RETRY);
	if (decision == DECIDE_HOLD)
		smsflow_breaker_open(&world->breaker, pause, world->mono);
	if (class == CLASS_THROTTLED)
		smsflow_limiter_drain(&world->limiter, world->mono + pause);
	try_again(world, id, decision, pause);
	keep_doubt(job);
}

void
worker_answer(World *world, int id, SmsflowWire wire, int http_status, bool retry_after)
{
	SmsflowClass class = classify(wire, http_status, retry_after);

	world->in_flight--;
	TRACE(world, "answer to %d: wire %d, HTTP %d", id, wire, http_status);
	if (wire != WIRE_YES || class == CLASS_AMBIGUOUS)
		smsflow_breaker_failure(&world->breaker, world->seed, world->mono);
	else
		smsflow_breaker_success(&world->breaker, MAX_MESSAGES, world->mono);
	if (wire == WIRE_YES && http_status == 200)
		end_job(&world->jobs[id], SEEN_ACCEPT);
	else
		refused(world, id, class);
}

/* ---- taking over ---- */

static void
recover_message(World *world, int id, bool trusted)
{
	Message *message = &world->messages[id];
	Job *job = &world->jobs[id];
	bool by_timer = has_timer(message);
	bool marked;

	*job = (Job){.state = JOB_RESULT,
				 .attempt = by_timer ? message->next_attempt : 1,
				 .was_in_doubt = by_timer && message->timer == TIMER_RESEND_LATER};
	marked = world->marked[id] && world->marked_attempt[id] == job->attempt;
	if (smsflow_lost_in_doubt(trusted, trusted && marked))
	{
		end_job(job, SEEN_DOUBT);
		try_again(world, id, DECIDE_DOUBT, 0);
	}
	else
		release_job(job, TIMER_AGAIN, wall(world));
	TRACE(world, "recover %d: %s", id, job->has_attempt ? "in doubt" : "released");
	record(world, id);
}

/* All that was in memory is gone; buckets start empty. */
void
worker_start(World *world, bool journal_trusted)
{
	memset(world->jobs, 0, sizeof(world->jobs));
	world->in_flight = 0;
	world->ring_tail = world->published;
	smsflow_limiter_init(&world->limiter, world->rate, world->burst, world->mono);
	smsflow_breaker_reset(&world->breaker);
	for (int id = 0; id < world->message_count; id++)
		if (is_unrecorded(&world->messages[id]))
			recover_message(world, id, journal_trusted);
}
