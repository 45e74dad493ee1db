/*
 * nowhere.c - a transport without a network: every request is answered 201 as
 * soon as it is submitted. It stands in for libcurl through the seam of the
 * worker, so that what is measured is the queue alone. How long the worker's
 * turns take (claim, gate, results, commit: from their first instant until they
 * are durable) is added up in the file turns of the data directory, because the
 * rest of its time, above all the request that it writes, is not the queue's.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

#include "worker/transport.h"

PG_MODULE_MAGIC;
void _PG_init(void);

#define PLACES 1024

static SmsflowRequest waiting[PLACES];
static int count;
static int places;
static int descriptor = -1;

static bool
configure(const SmsflowTransportSettings *settings)
{
	places = Min(settings->places, PLACES);
	if (descriptor < 0)
		descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return descriptor >= 0;
}

static int
wait_descriptor(void)
{
	return descriptor;
}

static long
wait_timeout(void)
{
	return count > 0 ? 0 : -1;
}

static int
free_places(void)
{
	return places - count;
}

static bool
submit(const SmsflowRequest *request, char *error, size_t error_size)
{
	waiting[count++] = *request;
	return true;
}

static void
answer_all(void (*answered)(const SmsflowAnswer *answer))
{
	while (count > 0)
	{
		SmsflowRequest *request = &waiting[--count];
		bool sent = request->on_wire(request->tag);
		SmsflowAnswer answer = {.tag = request->tag,
								.wire = sent ? WIRE_YES : WIRE_NONE,
								.status = sent ? 201 : 0,
								.retry_after = -1,
								.body = "{\"id\": \"1\"}",
								.body_length = sent ? 11 : 0};

		request->handed_over();
		answered(&answer);
	}
}

static void
stop(void)
{
}

static const SmsflowTransport transport = {
	.configure = configure,
	.wait_descriptor = wait_descriptor,
	.wait_timeout = wait_timeout,
	.free_places = free_places,
	.submit = submit,
	.poll = answer_all,
	.stop = stop,
};

/* Microseconds; written as text of one width, so that it can be read at any time. */
static void
add_turn(XactEvent event, void *arg)
{
	static int64 total = 0;
	static int file = -1;
	char text[32];

	if (event != XACT_EVENT_COMMIT || MyBEEntry == NULL ||
		strcmp(MyBEEntry->st_activity_raw, "recording and claiming messages") != 0)
		return;
	total += GetCurrentTimestamp() - GetCurrentTransactionStartTimestamp();
	if (file < 0)
		file = open("turns", O_CREAT | O_TRUNC | O_WRONLY, 0644);
	snprintf(text, sizeof(text), "%020lld\n", (long long) total);
	if (pwrite(file, text, strlen(text), 0) < 0)
		elog(WARNING, "could not write the file \"turns\": %m");
}

void
_PG_init(void)
{
	RegisterXactCallback(add_turn, NULL);
	*(const SmsflowTransport **) find_rendezvous_variable("smsflow_transport") = &transport;
}
