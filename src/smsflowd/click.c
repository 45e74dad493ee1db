/*
 * Hits of short links: what of a request tells people from programs.  Nothing else of it is kept.
 */
#define _GNU_SOURCE /* mempcpy, strcasestr */
#include "click.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/time.h>

#include "text.h"

#define MICROSECONDS 1000000

/* In one statement. */
#define MOST_TOLD 1000

/* In memory, while the database is away or cannot keep up; some 150 bytes each. */
#define MOST_WAITING 100000

struct batch
{
	STAILQ_ENTRY(batch) next;
	struct evbuffer *json; /* an array, without its end until it is told */
	long count;
	bool told; /* once at least: it takes no more */
};

struct clicks
{
	STAILQ_HEAD(batches, batch) batches; /* oldest first */
	struct batch *newest;                /* NULL when there is none */
	long count;                          /* of all hits */
};

/* Copies what fits, up to the last whole character. */
static void
copy_cut(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size);

	if (length == size)
		for (length = size - 1; length > 0 && ((unsigned char) from[length] & 0xC0) == 0x80; length--)
			;
	memcpy(to, from, length);
	to[length] = '\0';
}

/* The address that stands hops places before the end of a list; empty if it is none. */
static void
read_forwarded(char address[INET6_ADDRSTRLEN], const char *list, long hops)
{
	const char *end = list + strlen(list);
	const char *start;
	char bytes[sizeof(struct in6_addr)];

	for (;;)
	{
		for (start = end; start > list && start[-1] != ','; start--)
			;
		if (--hops <= 0 || start == list)
			break;
		end = start - 1;
	}
	start += strspn(start, " ");
	while (end > start && end[-1] == ' ')
		end--;
	if (end - start >= INET6_ADDRSTRLEN)
		return;
	memcpy(address, start, (size_t) (end - start));
	address[end - start] = '\0';
	if (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1)
		address[0] = '\0';
}

static void
read_address(struct click *click, struct evhttp_request *request, const char *forwarded, long hops)
{
	char *peer = NULL;
	ev_uint16_t port;

	if (hops > 0 && forwarded != NULL)
	{
		read_forwarded(click->address, forwarded, hops);
		return;
	}
	evhttp_connection_get_peer(evhttp_request_get_connection(request), &peer, &port);
	if (peer != NULL)
		copy_cut(click->address, sizeof(click->address), peer);
}

/* Browsers and messengers that fetch ahead say so: Purpose, Sec-Purpose, X-Purpose, X-Moz. */
static bool
is_prefetch(const struct evkeyval *header)
{
	static const char *const names[] = {"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(header->key, names[i]) == 0)
			return strcasestr(header->value, "prefetch") != NULL || strcasestr(header->value, "preview") != NULL;
	return false;
}

void
click_read(struct click *click, struct evhttp_request *request, const char *code, long hops)
{
	const struct evkeyval *header;
	const char *forwarded = NULL;
	struct timeval now;

	memset(click, 0, sizeof(*click));
	memcpy(click->code, code, CODE_LENGTH);
	gettimeofday(&now, NULL);
	click->at = (int64_t) now.tv_sec * MICROSECONDS + now.tv_usec;
	click->head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
	TAILQ_FOREACH(header, evhttp_request_get_input_headers(request), next)
	{
		if (strcasecmp(header->key, "User-Agent") == 0)
			copy_cut(click->agent, sizeof(click->agent), header->value);
		else if (strcasecmp(header->key, "X-Forwarded-For") == 0)
			forwarded = header->value;
		else if (is_prefetch(header))
			click->prefetch = true;
	}
	read_address(click, request, forwarded, hops);
}

static char *
put_number(char *to, int64_t value)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = (char) ('0' + value % 10);
	while ((value /= 10) > 0);
	while (count > 0)
		*to++ = digits[--count];
	return to;
}

/* As an object.  printf would take as long for it as all else that a redirect needs of ours. */
static void
append(struct evbuffer *json, const struct click *click)
{
	char text[160 + CODE_LENGTH + INET6_ADDRSTRLEN];
	char *to = stpcpy(text, "{\"code\":\"");

	to = mempcpy(to, click->code, CODE_LENGTH);
	to = stpcpy(to, click->head ? "\",\"method\":\"HEAD\",\"at\":" : "\",\"method\":\"GET\",\"at\":");
	to = put_number(to, click->at);
	to = stpcpy(to, click->prefetch ? "e-6,\"prefetch\":true,\"address\":\"" : "e-6,\"prefetch\":false,\"address\":\"");
	to = stpcpy(to, click->address);
	to = stpcpy(to, "\",\"agent\":\"");
	evbuffer_add(json, text, (size_t) (to - text));
	text_append_escaped(json, click->agent);
	evbuffer_add(json, "\"}", 2);
}

/* ---- those that wait ---- */

struct clicks *
clicks_open(void)
{
	struct clicks *clicks = calloc(1, sizeof(*clicks));

	if (clicks != NULL)
		STAILQ_INIT(&clicks->batches);
	return clicks;
}

void
clicks_close(struct clicks *clicks)
{
	while (!STAILQ_EMPTY(&clicks->batches))
		clicks_forget(clicks);
	free(clicks);
}

/* The batch that takes the next hit; NULL when out of memory. */
static struct batch *
open_batch(struct clicks *clicks)
{
	struct batch *batch = clicks->newest;

	if (batch != NULL && batch->count < MOST_TOLD && !batch->told)
		return batch;
	batch = calloc(1, sizeof(*batch));
	if (batch == NULL)
		return NULL;
	batch->json = evbuffer_new();
	STAILQ_INSERT_TAIL(&clicks->batches, batch, next);
	clicks->newest = batch;
	return batch;
}

bool
clicks_add(struct clicks *clicks, const struct click *click)
{
	struct batch *batch = clicks->count < MOST_WAITING ? open_batch(clicks) : NULL;

	if (batch == NULL)
		return false;
	evbuffer_add(batch->json, batch->count == 0 ? "[" : ",", 1);
	append(batch->json, click);
	batch->count++;
	clicks->count++;
	return true;
}

long
clicks_count(const struct clicks *clicks)
{
	return clicks->count;
}

bool
clicks_are_many(const struct clicks *clicks)
{
	return clicks->count >= MOST_TOLD;
}

const char *
clicks_tell(struct clicks *clicks)
{
	struct batch *batch = STAILQ_FIRST(&clicks->batches);

	if (!batch->told)
		evbuffer_add(batch->json, "]", 2);
	batch->told = true;
	return (const char *) evbuffer_pullup(batch->json, -1);
}

long
clicks_forget(struct clicks *clicks)
{
	struct batch *batch = STAILQ_FIRST(&clicks->batches);
	long count = batch->count;

	STAILQ_REMOVE_HEAD(&clicks->batches, next);
	if (STAILQ_EMPTY(&clicks->batches))
		clicks->newest = NULL;
	evbuffer_free(batch->json);
	free(batch);
	clicks->count -= count;
	return count;
}
