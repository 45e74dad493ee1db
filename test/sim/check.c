/*
 * check.c - what must hold whatever happens, told apart from the code that is checked: nothing here asks core for a policy.
 */
#include "sim.h"

/* ---- on the wire ---- */

/* The most requests of a message that the policy of its purpose allows, besides those that were surely refused. */
static int
most_taken(const World *world, const Message *message)
{
	if (world->removes_repeats)
		return 1;
	switch (message->purpose)
	{
		case SMSFLOW_PURPOSE_OTP:
		case SMSFLOW_PURPOSE_TRANSACTIONAL:
		case SMSFLOW_PURPOSE_COMPLIANCE:
			return 2;
		default:
			return 1;
	}
}

static bool
is_open(const World *world)
{
	int of_day = (int) (wall(world) / MINUTE % SMSFLOW_DAY_MINUTES);

	return of_day >= world->opens && of_day < world->closes;
}

void
check_first_byte(World *world, int id)
{
	Message *message = &world->messages[id];
	bool service = message->purpose <= SMSFLOW_PURPOSE_TRANSACTIONAL;

	if (message->revoked)
		violated(world, id, "it starts although a STOP or cancel has returned");
	if (message->expires_at <= wall(world))
		violated(world, id, "it starts after it has expired");
	if (message->send_at > wall(world) && !world->jobs[id].clock_set)
		violated(world, id, "it starts before it is due");
	if (is_marketing(message->purpose) && !is_open(world) && !world->jobs[id].clock_set)
		violated(world, id, "marketing starts outside the window");
	if (message->maybe_taken && !service)
		violated(world, id, "what may have been sent is sent again, and its purpose forbids it");
	if (message->requests++ > 12 + 40)
		violated(world, id, "it is sent again and again");
	message->maybe_before = message->maybe_taken;
	message->maybe_taken = true;
}

void
check_taken(World *world, int id)
{
	Message *message = &world->messages[id];

	if (message->taken > most_taken(world, message))
		violated(world, id, "the gateway has taken it too often");
}

/* Over any window that ends now, at most rate * time + burst; a message larger than the burst passes alone. */
void
check_pass(World *world, int parts)
{
	double sum = parts;

	for (int i = world->pass_count - 1; i >= 0; i--)
	{
		double span = (double) (world->mono - world->passes[i].at) / 1e6;
		double burst = world->burst > 3 ? world->burst : 3;

		sum += world->passes[i].parts;
		if (sum > world->rate * span + burst + 1e-6)
			violated(world, -1, "more parts pass than rate and burst allow");
	}
	if (world->pass_count < MAX_PASSES)
		world->passes[world->pass_count++] = (Pass){world->mono, parts};
}

/* ---- status ---- */

/* Written down from the diagram of a message's life, not from the table. */
static bool
may_become(SmsflowStatus from, SmsflowStatus to)
{
	switch (from)
	{
		case STATUS_DELIVERED:
		case STATUS_SUPPRESSED:
		case STATUS_CANCELLED:
		case STATUS_REJECTED:
			return false;
		case STATUS_UNKNOWN:
		case STATUS_EXPIRED:
		case STATUS_UNDELIVERED:
			return to == STATUS_DELIVERED;
		case STATUS_ACCEPTED:
			return to >= STATUS_UNKNOWN && to != STATUS_SUPPRESSED && to != STATUS_CANCELLED;
		case STATUS_IN_DOUBT:
			return to != STATUS_SCHEDULED && to != STATUS_SUPPRESSED && to != STATUS_CANCELLED;
		default:
			return true;
	}
}

void
check_statuses(World *world)
{
	for (int id = 0; id < world->message_count; id++)
	{
		Message *message = &world->messages[id];
		SmsflowStatus status = fold(world, message);

		if (status == message->status)
			continue;
		TRACE(world, "%d is %s", id, smsflow_status_name(status));
		if (!may_become(message->status, status))
			violated(world, id, "its status moves where it may not");
		if ((status == STATUS_SUPPRESSED || status == STATUS_CANCELLED) && message->taken > 0)
			violated(world, id, "it counts as never sent, and the gateway has taken it");
		message->status = status;
	}
}

/* ---- the end ---- */

void
check_end(World *world)
{
	for (int id = 0; id < world->message_count; id++)
	{
		Message *message = &world->messages[id];

		if (message->status <= STATUS_SENDING)
			violated(world, id, "it is lost: nothing is wrong any more, and it is not settled");
		if (message->status == STATUS_ACCEPTED && message->taken == 0)
			violated(world, id, "it counts as accepted, and the gateway never took it");
		if (message->status == STATUS_IN_DOUBT && message->requests == 0 && !world->journal_lost)
			violated(world, id, "it is in doubt, and was never on the wire");
	}
}

/* ---- the limiter under load ---- */

#define LOAD_SECONDS 60

void
check_limiter(World *world)
{
	int64_t end = world->mono + LOAD_SECONDS * SECOND;
	int64_t begun = world->mono;
	double taken = 0;
	int parts = 1;

	smsflow_limiter_init(&world->limiter, world->rate, world->burst, world->mono);
	while (world->mono < end)
	{
		int64_t wait = smsflow_limiter_wait(&world->limiter, parts, world->mono);

		if (wait == 0)
		{
			smsflow_limiter_take(&world->limiter, parts, world->mono);
			if (world->pass_count == MAX_PASSES)
				world->pass_count = 0;
			check_pass(world, parts);
			taken += parts;
			parts = 1 + (int) random_below(world, 3);
		}
		/* Wakes a little late, as processes do. */
		else
			world->mono += wait + random_below(world, 2000);
	}
	if (taken + world->burst + 3 < 0.98 * world->rate * (double) (world->mono - begun) / 1e6)
		violated(world, -1, "less than 98 percent of the rate is used");
}
