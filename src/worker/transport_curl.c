/*
 * transport_curl.c - the shipped transport: places for requests, and what their
 * answers prove.
 *
 * Every place is an easy handle that lives as long as the worker, with fixed
 * buffers, so that memory per request is bounded whatever a gateway answers.
 * libcurl finds names, connects and speaks TLS; an ordinary request then goes
 * over the connection by exchange.c, and the connection stays with its place for
 * the next request to the same host. What is out of the ordinary, as a request
 * that libcurl signs, is a transfer of libcurl's (transfer.c).
 *
 * No callback here raises an error or allocates with palloc: libcurl's frames
 * must not be jumped over.
 */
#include "worker/transport_curl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* A connection that was at rest for longer is not used again: gateways close them after a minute or more. */
#define MAX_IDLE_MS 50000

/* Free places: those with connections first, used last first; then those without. */
static Place *free_head;
static Place *free_tail;
static int free_count;

/* Those that have ended, in that order. */
static Place *ended_head;
static Place *ended_tail;

TransportPrepared transport_settings;

static int64_t look_at = -1; /* when a deadline may have passed, monotonic milliseconds; -1 none */

/* ---- free places ---- */

static void
unlink_free(Place *place)
{
	*(place->previous ? &place->previous->next : &free_head) = place->next;
	*(place->next ? &place->next->previous : &free_tail) = place->previous;
	free_count--;
}

static void
link_free(Place *place)
{
	bool first = place->state == PLACE_IDLE;

	place->previous = first ? NULL : free_tail;
	place->next = first ? free_head : NULL;
	*(place->previous ? &place->previous->next : &free_head) = place;
	*(place->next ? &place->next->previous : &free_tail) = place;
	free_count++;
}

/* Takes the place from libcurl, which closes its connection. */
static void
disconnect(Place *place)
{
	loop_remove(place);
	place->state = PLACE_FREE;
	place->exchanges = 0;
	place->events = 0;
	place->origin[0] = '\0';
}

static void
disconnect_free(Place *place)
{
	unlink_free(place);
	disconnect(place);
	link_free(place);
}

static void
release_place(Place *place)
{
	curl_slist_free_all(place->headers);
	place->headers = NULL;
	if (place->state == PLACE_IDLE)
		place->idle_since = monotonic_ms();
	link_free(place);
}

static bool
is_usable(const Place *place)
{
	return monotonic_ms() - place->idle_since <= MAX_IDLE_MS && exchange_is_clean(place);
}

/*
 * A place that is connected to the origin; else one without a connection, and when
 * all have one, the one that was at rest for longest. NULL: any will do.
 */
static Place *
take_place(const char *origin)
{
	Place *place = free_head;

	while (origin && place && place->state == PLACE_IDLE)
	{
		Place *next = place->next;

		if (strcmp(place->origin, origin) == 0)
		{
			if (is_usable(place))
			{
				unlink_free(place);
				return place;
			}
			disconnect_free(place);
		}
		place = next;
	}
	place = free_tail;
	if (place)
	{
		unlink_free(place);
		disconnect(place);
	}
	return place;
}

/* ---- the transport ---- */

static void
stop(void)
{
	for (int i = 0; i < loop_shards(); i++)
		for (int j = 0; j < SHARD_PLACES; j++)
		{
			Place *place = &loop_shard(i)->places[j];

			loop_remove(place);
			curl_easy_cleanup(place->easy);
			curl_slist_free_all(place->headers);
			free(place->bytes);
		}
	loop_stop();
	free_head = free_tail = ended_head = ended_tail = NULL;
	free_count = 0;
}

static bool
add_shard(void)
{
	Shard *shard = loop_shards() < MAX_SHARDS ? loop_add_shard() : NULL;
	bool complete = shard != NULL;

	if (shard == NULL)
		return false;
	for (int i = 0; i < SHARD_PLACES; i++)
	{
		Place *place = &shard->places[i];

		place->shard = shard;
		place->number = (int) shard->number * SHARD_PLACES + i;
		place->easy = curl_easy_init();
		complete &= place->easy != NULL;
		if (place->easy)
			release_place(place);
	}
	return complete;
}

/* Connections at rest were made with other transport_settings. */
static void
disconnect_all_free(void)
{
	while (free_head && free_head->state == PLACE_IDLE)
		disconnect_free(free_head);
}

static bool
configure(const SmsflowTransportSettings *wanted)
{
	int needed = (wanted->places + SHARD_PLACES - 1) / SHARD_PLACES;
	sigset_t previous;
	bool fine;

	transport_settings.number++;
	transport_settings.allow_insecure = wanted->allow_insecure;
	transport_settings.allow_private = wanted->allow_private;
	snprintf(transport_settings.ca_file, sizeof(transport_settings.ca_file), "%s", wanted->ca_file);
	disconnect_all_free();
	block_signals(&previous);
	fine = loop_start();
	while (fine && loop_shards() < needed)
		fine = add_shard();
	restore_signals(&previous);
	return fine;
}

static long
wait_timeout(void)
{
	long timeout = loop_timeout();
	int64_t left;

	if (ended_head)
		return 0;
	if (look_at < 0)
		return timeout;
	left = look_at - monotonic_ms();
	left = left > 0 ? left : 0;
	return timeout < 0 || left < timeout ? (long) left : timeout;
}

static int
free_places(void)
{
	return free_count;
}

/* ---- starting ---- */

static void
begin(Place *place, const SmsflowRequest *request)
{
	place->tag = request->tag;
	place->on_wire = request->on_wire;
	place->handed_over = request->handed_over;
	place->times_on_wire = 0;
	place->header_length = 0;
	place->answer_length = 0;
	place->truncated = false;
	place->refused = ADDRESS_PUBLIC;
	place->deadline = monotonic_ms() + request->timeout_ms;
}

/* Over the connection that the place has, or a new one; false when that cannot be. */
static bool
start_request(Place *place, const SmsflowRequest *request, const char *origin)
{
	bool connected = place->state == PLACE_IDLE;

	if (origin)
	{
		snprintf(place->origin, sizeof(place->origin), "%s", origin);
		if (!exchange_compose(place, request))
			return false;
	}
	if (connected)
	{
		exchange_begin(place);
		return true;
	}
	return (origin ? transfer_connect(place, request) : transfer_prepare(place, request)) && loop_add(place) == CURLM_OK;
}

static bool
submit(const SmsflowRequest *request, char *error, size_t error_size)
{
	char origin[ORIGIN_SIZE];
	bool ordinary = exchange_origin(request, origin);
	Place *place = take_place(ordinary ? origin : NULL);

	if (place == NULL)
	{
		snprintf(error, error_size, "no free connection");
		return false;
	}
	begin(place, request);
	if (!start_request(place, request, ordinary ? origin : NULL))
	{
		snprintf(error, error_size, "request could not be made");
		disconnect(place);
		release_place(place);
		return false;
	}
	return true;
}

/* ---- answers ---- */

/*
 * Static texts only: a URL, which may carry a secret, is in none of them.
 */
static const char *
words_of(const Place *place)
{
	if (place->result == CURLE_UNSUPPORTED_PROTOCOL && !transport_settings.allow_insecure)
		return "plain http is not allowed";
	if (place->refused == ADDRESS_PRIVATE)
		return "private address: smsflow.allow_private_gateway is off";
	if (place->refused == ADDRESS_FORBIDDEN)
		return "an address that no gateway may have";
	if (place->header_length > SMSFLOW_HTTP_MAX_HEADER_BYTES)
		return "the answer has too many headers";
	if (place->result == CURLE_ABORTED_BY_CALLBACK && place->times_on_wire > 0)
		return "the connection was closed without an answer";
	return curl_easy_strerror(place->result);
}

/* Seconds that a header "Retry-After" asks for, or -1 (RFC 9110, 10.2.3). */
static long
retry_after_of(const char *value)
{
	long long seconds;
	char *end;

	if (value[0] >= '0' && value[0] <= '9')
	{
		errno = 0;
		seconds = strtoll(value, &end, 10);
		if (*end != '\0' || errno != 0)
			return -1;
	}
	else
	{
		time_t date = value[0] ? curl_getdate(value, NULL) : -1;

		seconds = date < 0 ? -1 : date - time(NULL);
	}
	return seconds > 0 ? (long) seconds : -1;
}

static void
fill_answer(SmsflowAnswer *answer, Place *place)
{
	bool complete = place->result == CURLE_OK || (place->result == CURLE_WRITE_ERROR && place->truncated);

	*answer = (SmsflowAnswer){
		.tag = place->tag,
		.wire = complete                   ? WIRE_YES
				: place->times_on_wire > 0 ? WIRE_MAYBE
										   : WIRE_NONE,
		.retry_after = -1,
		.misconfigured = place->refused != ADDRESS_PUBLIC && place->times_on_wire == 0,
		.timed_out = place->result == CURLE_OPERATION_TIMEDOUT,
		.body = place->answer,
		.body_length = place->answer_length,
		.truncated = place->truncated,
	};
	place->answer[place->answer_length] = '\0';
	if (!complete)
		snprintf(answer->error, sizeof(answer->error), "%s", words_of(place));
}

static void
fill_transfer(SmsflowAnswer *answer, Place *place)
{
	long status = 0;
	curl_off_t retry_after = 0;

	fill_answer(answer, place);
	curl_easy_getinfo(place->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(place->easy, CURLINFO_RETRY_AFTER, &retry_after);
	answer->status = answer->wire == WIRE_YES ? (int) status : 0;
	answer->retry_after = retry_after > 0 ? (long) retry_after : -1;
}

static void
fill_exchange(SmsflowAnswer *answer, Place *place)
{
	place->answer_length = place->reader.body_length;
	place->truncated = place->reader.truncated;
	place->header_length = place->reader.header_bytes;
	fill_answer(answer, place);
	answer->status = answer->wire == WIRE_YES ? place->reader.status : 0;
	answer->retry_after = retry_after_of(place->reader.retry_after);
}

/* ---- moving ---- */

void
place_look_at(int64_t monotonic)
{
	if (look_at < 0 || monotonic < look_at)
		look_at = monotonic;
}

void
place_ended(Place *place, CURLcode result)
{
	place->result = result;
	place->ended_as = place->state;
	place->state = PLACE_ENDED;
	place->next = NULL;
	*(ended_head ? &ended_tail->next : &ended_head) = place;
	ended_tail = place;
}

static void
moved(Place *place)
{
	if (place->state == PLACE_EXCHANGING)
		exchange_move(place);
	else if (place->state == PLACE_IDLE)
		disconnect_free(place);
}

static void
libcurl_ended(Place *place, CURLcode result)
{
	if (place->state == PLACE_CONNECTING && result == CURLE_OK)
		result = curl_easy_getinfo(place->easy, CURLINFO_ACTIVESOCKET, &place->socket);
	if (place->state == PLACE_CONNECTING && result == CURLE_OK)
		exchange_begin(place);
	else
		place_ended(place, result);
}

static void
look_at_deadlines(void)
{
	int64_t now = monotonic_ms();

	if (look_at < 0 || now < look_at)
		return;
	look_at = -1;
	for (int i = 0; i < loop_shards(); i++)
		for (int j = 0; j < SHARD_PLACES; j++)
		{
			int64_t next = exchange_look(&loop_shard(i)->places[j], now);

			if (next >= 0)
				place_look_at(next);
		}
}

static void
take_answer(Place *place, void (*answered)(const SmsflowAnswer *answer))
{
	SmsflowAnswer answer;

	if (place->ended_as == PLACE_TRANSFER)
		fill_transfer(&answer, place);
	else if (place->ended_as == PLACE_EXCHANGING)
		fill_exchange(&answer, place);
	else
		fill_answer(&answer, place);
	if (place->ended_as == PLACE_EXCHANGING && place->settings == transport_settings.number && exchange_keeps_alive(place))
		place->state = PLACE_IDLE;
	else
		disconnect(place);
	answered(&answer);
	release_place(place);
}

static void
transport_poll(void (*answered)(const SmsflowAnswer *answer))
{
	sigset_t previous;

	block_signals(&previous);
	loop_drive(moved, libcurl_ended);
	look_at_deadlines();
	restore_signals(&previous);
	while (ended_head)
	{
		Place *place = ended_head;

		ended_head = place->next;
		take_answer(place, answered);
	}
}

const SmsflowTransport smsflow_curl_transport = {
	.configure = configure,
	.wait_descriptor = loop_descriptor,
	.wait_timeout = wait_timeout,
	.free_places = free_places,
	.submit = submit,
	.poll = transport_poll,
	.stop = stop,
};
