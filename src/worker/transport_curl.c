/*
 * transport_curl.c - requests over libcurl, driven by the worker's own wait.
 *
 * Every place is an easy handle that lives as long as the worker, with fixed
 * buffers, so that memory per request is bounded whatever a gateway answers.
 * Places are spread over several multi handles of at most SHARD_PLACES
 * connections: one multi with many connections searches them all for every
 * request. All sockets are in one epoll set, whose descriptor the worker
 * waits for next to its latch.
 *
 * libcurl silently sends a POST again on a new connection when a kept-alive
 * one turns out to be dead. The second call of the pre-request callback stops
 * that: the gateway may have read the first.
 *
 * No callback here raises an error or allocates with palloc: libcurl's frames
 * must not be jumped over.
 */
#include "worker/transport.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SHARD_PLACES 16
#define MAX_SHARDS (SMSFLOW_MAX_PLACES / SHARD_PLACES)
#define EVENTS_AT_ONCE 64

#define CONNECT_TIMEOUT_MS 5000L

/* An answer that has begun and then comes slower than this, for so long, is given up. */
#define SLOW_BYTES_PER_SECOND 50L
#define SLOW_SECONDS 5L

/* libcurl keeps the headers of an answer. */
#define MAX_HEADER_BYTES 65536

/*
 * A kept-alive connection is watched from its first request to its last: libcurl
 * wants its socket removed after every answer and added again for the next
 * request, which would be two system calls for each message. What libcurl does not
 * want to know is forgotten when it happens: see drive().
 */
typedef struct Watched
{
	bool ours;       /* a connection, as opposed to libcurl's own helpers */
	bool wanted;     /* libcurl waits for it */
	uint32_t events; /* what epoll waits for; 0 none */
} Watched;

#define WATCHED_MAX 1024

typedef struct Place
{
	struct Shard *shard;
	struct Place *next_free;
	CURL *easy;
	unsigned int settings; /* those that easy was prepared for */
	struct curl_slist *headers;
	char *body;
	void *tag;
	bool (*on_wire)(void *tag);
	void (*handed_over)(void);
	int times_on_wire;
	size_t header_length;
	size_t answer_length;
	bool truncated;
	char answer[SMSFLOW_ANSWER_SIZE];
} Place;

typedef struct Shard
{
	uint32_t number;
	CURLM *multi;
	Place *free;
	int free_count;
	int64_t timer_at; /* milliseconds, monotonic; -1 none */
	Place places[SHARD_PLACES];
} Shard;

static Shard *shards[MAX_SHARDS];
static int shard_count;
static int next_shard;
static int epoll_fd = -1;
static void (*handed_over)(void);    /* to be called after the step of libcurl under way; NULL: nothing starts in it */
static Watched watched[WATCHED_MAX]; /* by descriptor; those above are not kept */

/* What easy handles are prepared with; each change has another number. */
static struct
{
	unsigned int number;
	bool allow_insecure;
	char ca_file[1024];
} settings;

static int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * libcurl resolves names in a thread. It inherits the signal mask, so with
 * everything blocked here the server's handlers never run in it.
 */
static void
block_signals(sigset_t *previous)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, previous);
}

static void
restore_signals(const sigset_t *previous)
{
	pthread_sigmask(SIG_SETMASK, previous, NULL);
}

/* ---- callbacks of libcurl ---- */

static Watched *
find_watched(curl_socket_t socket)
{
	return socket >= 0 && socket < WATCHED_MAX ? &watched[socket] : NULL;
}

/* The shard travels in the upper part of the epoll data, the socket in the lower. */
static void
watch(const Shard *shard, curl_socket_t socket, uint32_t events, bool known)
{
	struct epoll_event event = {.events = events};

	event.data.u64 = ((uint64_t) shard->number << 32) | (uint32_t) socket;
	if (epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket, &event) < 0)
		epoll_ctl(epoll_fd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event);
}

static void
forget(curl_socket_t socket)
{
	Watched *entry = find_watched(socket);

	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, socket, NULL);
	if (entry)
		entry->events = 0;
}

static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *shard, void *known)
{
	Watched *entry = find_watched(socket);
	uint32_t events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);

	(void) easy;
	if (entry)
		entry->wanted = what != CURL_POLL_REMOVE;
	if (what == CURL_POLL_REMOVE)
	{
		if (entry == NULL || !entry->ours)
			forget(socket);
		return 0;
	}
	if (entry == NULL || entry->events != events)
		watch(shard, socket, events, entry ? entry->events != 0 : known != NULL);
	if (entry)
		entry->events = events;
	curl_multi_assign(((Shard *) shard)->multi, socket, shard);
	return 0;
}

static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	curl_socket_t opened = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	Watched *entry = find_watched(opened);

	(void) arg;
	(void) purpose;
	if (entry)
		*entry = (Watched){.ours = true};
	return opened;
}

static int
on_close(void *arg, curl_socket_t socket)
{
	Watched *entry = find_watched(socket);

	(void) arg;
	if (entry)
		*entry = (Watched){0};
	return close(socket);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *shard)
{
	(void) multi;
	((Shard *) shard)->timer_at = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

static int
on_request(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	Place *place = arg;

	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	(void) local_port;
	if (place->times_on_wire > 0)
		return CURL_PREREQFUNC_ABORT;
	if (place->handed_over)
		handed_over = place->handed_over;
	if (!place->on_wire(place->tag))
		return CURL_PREREQFUNC_ABORT;
	place->times_on_wire++;
	return CURL_PREREQFUNC_OK;
}

/* From the first byte of an answer on it has to come; before that, the gateway may take its time. */
static size_t
on_header(char *data, size_t size, size_t count, void *arg)
{
	Place *place = arg;

	(void) data;
	if (place->header_length == 0)
	{
		curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_PER_SECOND);
		curl_easy_setopt(place->easy, CURLOPT_LOW_SPEED_TIME, SLOW_SECONDS);
	}
	place->header_length += size * count;
	return place->header_length > MAX_HEADER_BYTES ? 0 : size * count;
}

static size_t
on_answer(char *data, size_t size, size_t count, void *arg)
{
	Place *place = arg;
	size_t length = size * count;
	size_t room = sizeof(place->answer) - 1 - place->answer_length;
	size_t kept = length < room ? length : room;

	memcpy(place->answer + place->answer_length, data, kept);
	place->answer_length += kept;
	if (kept < length)
	{
		/* Nothing useful follows, and a hostile gateway may never end. */
		place->truncated = true;
		return 0;
	}
	return length;
}

/* ---- places ---- */

/*
 * What is the same for all requests. A compressed answer is never asked for,
 * and never unpacked.
 */
static void
prepare_place(Place *place)
{
	CURL *easy = place->easy;

	if (place->settings == settings.number)
		return;
	place->settings = settings.number;
	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, place);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, settings.allow_insecure ? "http,https" : "https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 60L);
	if (settings.ca_file[0] != '\0')
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings.ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, 50L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
	curl_easy_setopt(easy, CURLOPT_PREREQDATA, place);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, place);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, place);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "smsflow");
}

static void
release_place(Place *place)
{
	curl_slist_free_all(place->headers);
	place->headers = NULL;
	free(place->body);
	place->body = NULL;
	place->next_free = place->shard->free;
	place->shard->free = place;
	place->shard->free_count++;
}

/* Shards take turns, so that no multi gets crowded. */
static Place *
take_place(void)
{
	for (int i = 0; i < shard_count; i++)
	{
		Shard *shard = shards[next_shard];
		Place *place = shard->free;

		next_shard = (next_shard + 1) % shard_count;
		if (place == NULL)
			continue;
		shard->free = place->next_free;
		shard->free_count--;
		return place;
	}
	return NULL;
}

static void
stop_shard(Shard *shard)
{
	for (int i = 0; i < SHARD_PLACES; i++)
	{
		Place *place = &shard->places[i];

		if (place->easy == NULL)
			continue;
		curl_multi_remove_handle(shard->multi, place->easy);
		curl_easy_cleanup(place->easy);
		curl_slist_free_all(place->headers);
		free(place->body);
	}
	if (shard->multi)
		curl_multi_cleanup(shard->multi);
	free(shard);
}

static bool
start_shard(Shard *shard)
{
	shard->timer_at = -1;
	shard->multi = curl_multi_init();
	if (shard->multi == NULL)
		return false;
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long) SHARD_PLACES);
	for (int i = 0; i < SHARD_PLACES; i++)
	{
		Place *place = &shard->places[i];

		place->shard = shard;
		place->easy = curl_easy_init();
		if (place->easy == NULL)
			return false;
		release_place(place);
	}
	return true;
}

/* ---- the transport ---- */

static void
stop(void)
{
	while (shard_count > 0)
		stop_shard(shards[--shard_count]);
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
}

static bool
add_shard(void)
{
	Shard *shard = calloc(1, sizeof(Shard));

	if (shard == NULL)
		return false;
	shard->number = (uint32_t) shard_count;
	if (!start_shard(shard))
	{
		stop_shard(shard);
		return false;
	}
	shards[shard_count++] = shard;
	return true;
}

static bool
start(void)
{
	if (epoll_fd >= 0)
		return true;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0;
}

static bool
configure(const SmsflowTransportSettings *wanted)
{
	int needed = (wanted->places + SHARD_PLACES - 1) / SHARD_PLACES;
	sigset_t previous;
	bool fine;

	settings.number++;
	settings.allow_insecure = wanted->allow_insecure;
	snprintf(settings.ca_file, sizeof(settings.ca_file), "%s", wanted->ca_file);
	block_signals(&previous);
	fine = start();
	while (fine && shard_count < needed && shard_count < MAX_SHARDS)
		fine = add_shard();
	restore_signals(&previous);
	return fine;
}

static int
wait_descriptor(void)
{
	return epoll_fd;
}

static long
wait_timeout(void)
{
	int64_t soonest = -1;
	int64_t now;

	for (int i = 0; i < shard_count; i++)
		if (shards[i]->timer_at >= 0 && (soonest < 0 || shards[i]->timer_at < soonest))
			soonest = shards[i]->timer_at;
	if (soonest < 0)
		return -1;
	now = monotonic_ms();
	return soonest > now ? (long) (soonest - now) : 0;
}

static int
free_places(void)
{
	int count = 0;

	for (int i = 0; i < shard_count; i++)
		count += shards[i]->free_count;
	return count;
}

static bool
set_headers(Place *place, const SmsflowRequest *request)
{
	/* No "Expect: 100-continue": it would delay every larger body by a second. */
	place->headers = curl_slist_append(NULL, "Expect:");
	for (int i = 0; i < request->header_count && place->headers; i++)
	{
		struct curl_slist *longer = curl_slist_append(place->headers, request->headers[i]);

		if (longer == NULL)
			return false;
		place->headers = longer;
	}
	return place->headers != NULL;
}

static void
set_login(CURL *easy, const SmsflowRequest *request)
{
	curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, request->sigv4);
	if (request->sigv4 == NULL)
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_USERNAME, request->username);
	curl_easy_setopt(easy, CURLOPT_PASSWORD, request->username ? (request->password ? request->password : "") : NULL);
}

static bool
set_body(Place *place, const SmsflowRequest *request)
{
	CURL *easy = place->easy;

	place->body = malloc(request->body_length + 1);
	if (place->body == NULL)
		return false;
	if (request->body_length > 0)
		memcpy(place->body, request->body, request->body_length);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, place->body);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_length);
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, strcmp(request->method, "POST") == 0 ? NULL : request->method);
	return true;
}

/* What an earlier request of this place had set is set again, or unset. */
static bool
set_request(Place *place, const SmsflowRequest *request)
{
	CURL *easy = place->easy;

	prepare_place(place);
	if (!set_headers(place, request))
		return false;
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, place->headers);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
					 request->timeout_ms < CONNECT_TIMEOUT_MS ? request->timeout_ms : CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 0L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
	set_login(easy, request);
	if (strcmp(request->method, "GET") == 0)
	{
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	}
	else if (!set_body(place, request))
		return false;
	return curl_easy_setopt(easy, CURLOPT_URL, request->url) == CURLE_OK;
}

static bool
submit(const SmsflowRequest *request, char *error, size_t error_size)
{
	Place *place = take_place();
	sigset_t previous;
	CURLMcode code;

	if (place == NULL)
	{
		snprintf(error, error_size, "no free connection");
		return false;
	}
	place->tag = request->tag;
	place->on_wire = request->on_wire;
	place->handed_over = request->handed_over;
	place->times_on_wire = 0;
	place->header_length = 0;
	place->answer_length = 0;
	place->truncated = false;
	if (!set_request(place, request))
	{
		snprintf(error, error_size, "request could not be made");
		release_place(place);
		return false;
	}
	block_signals(&previous);
	code = curl_multi_add_handle(place->shard->multi, place->easy);
	restore_signals(&previous);
	if (code != CURLM_OK)
	{
		snprintf(error, error_size, "%s", curl_multi_strerror(code));
		release_place(place);
		return false;
	}
	return true;
}

/*
 * Static texts only: a URL, which may carry a secret, is in none of them.
 */
static const char *
words_of(const Place *place, CURLcode result)
{
	if (result == CURLE_UNSUPPORTED_PROTOCOL && !settings.allow_insecure)
		return "plain http is not allowed";
	if (place->header_length > MAX_HEADER_BYTES)
		return "the answer has too many headers";
	if (result == CURLE_ABORTED_BY_CALLBACK && place->times_on_wire > 0)
		return "the connection was closed without an answer";
	return curl_easy_strerror(result);
}

static void
fill_answer(SmsflowAnswer *answer, Place *place, CURLcode result)
{
	long status = 0;
	curl_off_t retry_after = 0;
	bool complete = result == CURLE_OK || (result == CURLE_WRITE_ERROR && place->truncated);

	memset(answer, 0, sizeof(*answer));
	curl_easy_getinfo(place->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(place->easy, CURLINFO_RETRY_AFTER, &retry_after);
	place->answer[place->answer_length] = '\0';
	answer->tag = place->tag;
	answer->wire = complete ? WIRE_YES : place->times_on_wire > 0 ? WIRE_MAYBE : WIRE_NONE;
	answer->status = complete ? (int) status : 0;
	answer->retry_after = retry_after > 0 ? (long) retry_after : -1;
	answer->timed_out = result == CURLE_OPERATION_TIMEDOUT;
	answer->body = place->answer;
	answer->body_length = place->answer_length;
	answer->truncated = place->truncated;
	if (!complete)
		snprintf(answer->error, sizeof(answer->error), "%s", words_of(place, result));
}

/* libcurl writes a request in the step in which it calls on_request: the connection is there, and nothing else is on it. */
static void
act(Shard *shard, curl_socket_t socket, int flags)
{
	int running;

	curl_multi_socket_action(shard->multi, socket, flags, &running);
	if (handed_over)
		handed_over();
	handed_over = NULL;
}

static void
drive(void)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count;

	do
	{
		count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, 0);
		for (int i = 0; i < count; i++)
		{
			Shard *shard = shards[events[i].data.u64 >> 32];
			curl_socket_t socket = (curl_socket_t) (uint32_t) events[i].data.u64;
			Watched *entry = find_watched(socket);
			int flags = ((events[i].events & EPOLLIN) ? CURL_CSELECT_IN : 0) |
						((events[i].events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
						((events[i].events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);

			/* A connection at rest that moves is closed by the gateway: libcurl finds out when it takes it. */
			if (entry && !entry->wanted)
				forget(socket);
			else
				act(shard, socket, flags);
		}
	} while (count == EVENTS_AT_ONCE);

	for (int i = 0; i < shard_count; i++)
		if (shards[i]->timer_at >= 0 && shards[i]->timer_at <= monotonic_ms())
		{
			shards[i]->timer_at = -1;
			act(shards[i], CURL_SOCKET_TIMEOUT, 0);
		}
}

static void
harvest(Shard *shard, void (*answered)(const SmsflowAnswer *answer))
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(shard->multi, &left)) != NULL)
	{
		Place *place;
		SmsflowAnswer answer;
		CURLcode result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &place);
		fill_answer(&answer, place, result);
		curl_multi_remove_handle(shard->multi, place->easy);
		answered(&answer);
		release_place(place);
	}
}

static void
transport_poll(void (*answered)(const SmsflowAnswer *answer))
{
	sigset_t previous;

	block_signals(&previous);
	drive();
	restore_signals(&previous);
	for (int i = 0; i < shard_count; i++)
		harvest(shards[i], answered);
}

const SmsflowTransport smsflow_curl_transport = {
	.configure = configure,
	.wait_descriptor = wait_descriptor,
	.wait_timeout = wait_timeout,
	.free_places = free_places,
	.submit = submit,
	.poll = transport_poll,
	.stop = stop,
};
