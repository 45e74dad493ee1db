/*
 * curl_loop.c - libcurl, driven by the worker's own wait.
 *
 * Places are spread over several multi handles of at most SHARD_PLACES
 * connections: one multi with many connections searches them all for every
 * request. All sockets are in one epoll set, whose descriptor the worker waits
 * for next to its latch; those of connected places are told by their place, the
 * others by shard and socket.
 *
 * No callback here raises an error or allocates with palloc: libcurl's frames
 * must not be jumped over.
 */
#include "worker/transport_curl.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

/* In the data of an event: it is of the place of that number. */
#define OF_PLACE ((uint64_t) 1 << 63)

/*
 * A kept-alive connection is watched from its first request to its last: libcurl
 * wants its socket removed after every answer and added again for the next
 * request, which would be two system calls for each message. What libcurl does not
 * want to know is forgotten when it happens: see libcurl_event().
 */
typedef struct Watched
{
	bool ours;       /* a connection, as opposed to libcurl's own helpers */
	bool wanted;     /* libcurl waits for it */
	uint32_t events; /* what epoll waits for; 0 none */
} Watched;

#define WATCHED_MAX 1024

static Shard *shards[MAX_SHARDS];
static int shard_count;
static int epoll_fd = -1;
static void (*after_step)(void);     /* NULL: nothing */
static Watched watched[WATCHED_MAX]; /* by descriptor; those above are not kept */

int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
block_signals(sigset_t *previous)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, previous);
}

void
restore_signals(const sigset_t *previous)
{
	pthread_sigmask(SIG_SETMASK, previous, NULL);
}

void
loop_after_step(void (*handed_over)(void))
{
	after_step = handed_over;
}

/* ---- what epoll waits for ---- */

static Watched *
find_watched(curl_socket_t socket)
{
	return socket >= 0 && socket < WATCHED_MAX ? &watched[socket] : NULL;
}

static void
watch(uint64_t data, curl_socket_t socket, uint32_t events, bool known)
{
	struct epoll_event event = {.events = events};

	event.data.u64 = data;
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

void
loop_watch_place(Place *place, uint32_t events)
{
	if (place->events == events)
		return;
	watch(OF_PLACE | (uint64_t) place->number, place->socket, events, true);
	place->events = events;
}

/* ---- callbacks of libcurl ---- */

/* The shard travels in the upper part of the data, the socket in the lower. */
static int
on_socket(CURL *easy, curl_socket_t socket, int what, void *shard, void *known)
{
	Watched *entry = find_watched(socket);
	uint32_t events = ((what & CURL_POLL_IN) ? EPOLLIN : 0) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0);
	uint64_t data = ((uint64_t) ((Shard *) shard)->number << 32) | (uint32_t) socket;

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
		watch(data, socket, events, entry ? entry->events != 0 : known != NULL);
	if (entry)
		entry->events = events;
	curl_multi_assign(((Shard *) shard)->multi, socket, shard);
	return 0;
}

static SmsflowAddressKind
kind_of_address(const struct curl_sockaddr *address)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *) &address->addr;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *) &address->addr;

	if (address->family == AF_INET)
		return smsflow_address_kind((const uint8_t *) &four->sin_addr, sizeof(four->sin_addr));
	if (address->family == AF_INET6)
		return smsflow_address_kind((const uint8_t *) &six->sin6_addr, sizeof(six->sin6_addr));
	return ADDRESS_FORBIDDEN;
}

/* The address is the one that will be connected to, whatever the name of the host led to before. */
static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	Place *place = arg;
	SmsflowAddressKind kind = kind_of_address(address);
	curl_socket_t opened;
	Watched *entry;

	(void) purpose;
	if (kind == ADDRESS_FORBIDDEN || (kind == ADDRESS_PRIVATE && !transport_settings.allow_private))
	{
		place->refused = kind;
		return CURL_SOCKET_BAD;
	}
	opened = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	entry = find_watched(opened);
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

void
loop_own_sockets(Place *place)
{
	curl_easy_setopt(place->easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(place->easy, CURLOPT_OPENSOCKETDATA, place);
	curl_easy_setopt(place->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
}

static int
on_timer(CURLM *multi, long timeout_ms, void *shard)
{
	(void) multi;
	((Shard *) shard)->timer_at = timeout_ms < 0 ? -1 : monotonic_ms() + timeout_ms;
	return 0;
}

/* ---- shards ---- */

bool
loop_start(void)
{
	if (epoll_fd >= 0)
		return true;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return false;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0;
}

void
loop_stop(void)
{
	while (shard_count > 0)
	{
		Shard *shard = shards[--shard_count];

		curl_multi_cleanup(shard->multi);
		free(shard);
	}
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
}

int
loop_descriptor(void)
{
	return epoll_fd;
}

Shard *
loop_add_shard(void)
{
	Shard *shard = calloc(1, sizeof(Shard));

	if (shard == NULL)
		return NULL;
	shard->number = (uint32_t) shard_count;
	shard->timer_at = -1;
	shard->multi = curl_multi_init();
	if (shard->multi == NULL)
	{
		free(shard);
		return NULL;
	}
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(shard->multi, CURLMOPT_SOCKETDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(shard->multi, CURLMOPT_TIMERDATA, shard);
	curl_multi_setopt(shard->multi, CURLMOPT_MAXCONNECTS, (long) SHARD_PLACES);
#if LIBCURL_VERSION_NUM >= 0x081400
	/* The threads that look for names are the multi's since 8.20: at the end, it must not wait for a name server. */
	curl_multi_setopt(shard->multi, CURLMOPT_QUICK_EXIT, 1L);
#endif
	shards[shard_count++] = shard;
	return shard;
}

int
loop_shards(void)
{
	return shard_count;
}

Shard *
loop_shard(int number)
{
	return shards[number];
}

long
loop_timeout(void)
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

CURLMcode
loop_add(Place *place)
{
	sigset_t previous;
	CURLMcode code;

	block_signals(&previous);
	code = curl_multi_add_handle(place->shard->multi, place->easy);
	restore_signals(&previous);
	place->added = code == CURLM_OK;
	place->shard->busy += place->added;
	return code;
}

void
loop_remove(Place *place)
{
	if (place->added)
		curl_multi_remove_handle(place->shard->multi, place->easy);
	place->added = false;
}

/* ---- moving ---- */

/* libcurl writes a request in the step in which it says so: the connection is there, and nothing else is on it. */
static void
act(Shard *shard, curl_socket_t socket, int flags)
{
	int running;

	curl_multi_socket_action(shard->multi, socket, flags, &running);
	if (after_step)
		after_step();
	after_step = NULL;
}

static void
libcurl_event(const struct epoll_event *event)
{
	curl_socket_t socket = (curl_socket_t) (uint32_t) event->data.u64;
	Watched *entry = find_watched(socket);
	int flags = ((event->events & EPOLLIN) ? CURL_CSELECT_IN : 0) | ((event->events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
				((event->events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);

	/* A connection at rest that moves is closed by the gateway: libcurl finds out when it takes it. */
	if (entry && !entry->wanted)
		forget(socket);
	else
		act(shards[event->data.u64 >> 32], socket, flags);
}

static void
read_ends(Shard *shard, void (*ended)(Place *place, CURLcode result))
{
	CURLMsg *message;
	int left;

	while (shard->busy > 0 && (message = curl_multi_info_read(shard->multi, &left)) != NULL)
	{
		Place *place;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &place);
		shard->busy--;
		ended(place, message->data.result);
	}
}

void
loop_drive(void (*moved)(Place *place), void (*ended)(Place *place, CURLcode result))
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count;

	do
	{
		count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, 0);
		for (int i = 0; i < count; i++)
		{
			int number = (int) (events[i].data.u64 & ~OF_PLACE);

			if (events[i].data.u64 & OF_PLACE)
				moved(&shards[number / SHARD_PLACES]->places[number % SHARD_PLACES]);
			else
				libcurl_event(&events[i]);
		}
	} while (count == EVENTS_AT_ONCE);

	for (int i = 0; i < shard_count; i++)
	{
		if (shards[i]->timer_at >= 0 && shards[i]->timer_at <= monotonic_ms())
		{
			shards[i]->timer_at = -1;
			act(shards[i], CURL_SOCKET_TIMEOUT, 0);
		}
		read_ends(shards[i], ended);
	}
}
