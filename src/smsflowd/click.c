/*
 * Hits of short links: what of a request tells people from programs.  Nothing else of it is kept.
 */
#include "click.h"

#include <arpa/inet.h>
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

#include "text.h"

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
	click->at = (double) now.tv_sec + (double) now.tv_usec / 1e6;
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

void
click_append(struct evbuffer *json, const struct click *click)
{
	evbuffer_add_printf(json, "{\"code\":\"%.*s\",\"method\":\"%s\",\"at\":%.6f,\"prefetch\":%s,\"address\":\"%s\",\"agent\":\"",
						CODE_LENGTH, click->code, click->head ? "HEAD" : "GET", click->at, click->prefetch ? "true" : "false",
						click->address);
	text_append_escaped(json, click->agent);
	evbuffer_add(json, "\"}", 2);
}
