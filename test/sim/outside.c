/*
 * outside.c - what happens to the worker: the store that asks and revokes, the gateway that takes, refuses, reports or says
 * nothing, the network that loses answers, and crashes.
 */
#include "sim.h"

#include <string.h>

/* ---- the store ---- */

void
store_ask(World *world)
{
	Message *message;

	if (world->message_count == MAX_MESSAGES)
		return;
	message = &world->messages[world->message_count];
	*message = (Message){.purpose = (SmsflowPurpose) random_below(world, SMSFLOW_PURPOSES),
						 .parts = 1 + (int) random_below(world, (uint32_t) (world->burst < 3 ? world->burst : 3)),
						 .contact = (int) random_below(world, CONTACTS),
						 .expires_at = wall(world) + (1 + random_below(world, 300)) * (random_below(world, 2) ? SECOND : MINUTE)};
	if (random_below(world, 4) == 0)
		message->send_at = wall(world) + random_below(world, 120) * SECOND;
	message->status = fold(world, message);
	message->revoked = is_marketing(message->purpose) && world->stop_returned[message->contact];
	TRACE(world, "ask for %d: %s, %d parts", world->message_count, smsflow_purpose_name(message->purpose), message->parts);
	world->message_count++;
}

/* A STOP of a contact, or the cancel of a message that is not on its way yet. */
void
store_revoke(World *world)
{
	Revocation *revocation = &world->revocations[world->revocation_count];
	bool whole_contact = random_below(world, 2) == 0;

	if (world->revocation_count == MAX_REVOCATIONS || world->message_count == 0)
		return;
	*revocation =
		(Revocation){whole_contact, (int) random_below(world, whole_contact ? CONTACTS : (uint32_t) world->message_count), 0};
	if (!whole_contact && world->messages[revocation->id].status > STATUS_HELD)
		return;
	world->revocation_count++;
}

static void
publish(World *world, const Revocation *revocation)
{
	world->ring[world->published++] = *revocation;
}

static void
commit(World *world, const Revocation *revocation)
{
	if (revocation->whole_contact)
		world->stopped[revocation->id] = true;
	else
		world->messages[revocation->id].cancelled = true;
}

static void
return_to_caller(World *world, const Revocation *revocation)
{
	TRACE(world, "%s %d has returned", revocation->whole_contact ? "stop of contact" : "cancel of", revocation->id);
	for (int id = 0; id < world->message_count; id++)
	{
		Message *message = &world->messages[id];

		if (revocation->whole_contact ? revocation->id == message->contact && is_marketing(message->purpose)
									  : revocation->id == id)
			message->revoked = true;
	}
	if (revocation->whole_contact)
		world->stop_returned[revocation->id] = true;
}

/* One step of a revocation that is under way: noted, committed, noted again and returned. False when none is. */
bool
revocation_advance(World *world)
{
	for (int i = 0; i < world->revocation_count; i++)
	{
		Revocation *revocation = &world->revocations[i];

		if (revocation->phase == 3)
			continue;
		revocation->phase++;
		if (revocation->phase != 2)
			publish(world, revocation);
		else
			commit(world, revocation);
		if (revocation->phase == 3)
			return_to_caller(world, revocation);
		return true;
	}
	return false;
}

/* ---- the gateway ---- */

typedef struct Answer
{
	int http_status;
	bool retry_after;
	bool takes;
	bool refuses; /* and says so: 500, 408 and a bare 503 say nothing */
} Answer;

static const Answer answers[] = {{200, false, true, false},  {200, false, true, false}, {200, false, true, false},
								 {500, false, true, false},  {408, false, true, false}, {503, false, true, false},
								 {500, false, false, false}, {400, false, false, true}, {429, true, false, true},
								 {401, false, false, true},  {503, true, false, true},  {302, false, false, true}};

void
gateway_receive(World *world, Request *request)
{
	Message *message = &world->messages[request->message];
	const Answer *answer = &answers[world->quiet ? 0 : random_below(world, sizeof(answers) / sizeof(answers[0]))];

	request->state = REQUEST_ANSWERED;
	request->http_status = answer->http_status;
	request->retry_after = answer->retry_after;
	request->refused = answer->refuses;
	TRACE(world, "gateway has %d: HTTP %d", request->message, request->http_status);
	if (!answer->takes)
		return;
	if (message->taken == 0 || !world->removes_repeats)
		message->taken++;
	check_taken(world, request->message);
}

/* Early, late, doubled, out of order: any report at any time after it was taken. */
void
gateway_report(World *world, int id)
{
	Message *message = &world->messages[id];

	if (message->taken == 0 || message->report_count == MAX_REPORTS)
		return;
	message->reports[message->report_count++] =
		(SmsflowObservation) (SEEN_REPORT_ACCEPTED + random_below(world, SMSFLOW_OBSERVATIONS - SEEN_REPORT_ACCEPTED));
	TRACE(world, "report about %d", id);
}

/* The answer arrives, or is lost, and the worker waits no longer. */
void
network_answer(World *world, Request *request)
{
	bool lost = request->state == REQUEST_FLYING || (!world->quiet && random_below(world, 6) == 0);

	if (request->awaited && !lost && request->refused)
		world->messages[request->message].maybe_taken = world->messages[request->message].maybe_before;
	if (request->awaited)
		worker_answer(world, request->message, lost ? WIRE_MAYBE : WIRE_YES, request->http_status, request->retry_after);
	request->awaited = false;
	if (request->state != REQUEST_FLYING)
		request->state = REQUEST_GONE;
}

/* ---- accidents ---- */

/* The worker's process, or the machine with all transactions. Requests that left may still arrive. */
void
crash(World *world, bool machine)
{
	world->journal_lost |= machine;
	TRACE(world, "crash of the %s", machine ? "machine" : "worker");
	for (int i = 0; i < world->request_count; i++)
		world->requests[i].awaited = false;
	for (int i = 0; machine && i < world->revocation_count; i++)
	{
		Revocation *revocation = &world->revocations[i];

		if (revocation->phase == 2)
			return_to_caller(world, revocation);
		revocation->phase = 3;
	}
	worker_start(world, !machine);
	memset(world->marked, 0, sizeof(world->marked));
}
