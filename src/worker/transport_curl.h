/*
 * transport_curl.h - what the files of the shipped transport share: places for
 * requests, and the shards of libcurl that they live in.
 */
#ifndef SMSFLOW_TRANSPORT_CURL_H
#define SMSFLOW_TRANSPORT_CURL_H

#include "worker/transport.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdint.h>

#include "core/address.h"
#include "core/http.h"

#define SHARD_PLACES 16
#define MAX_SHARDS (SMSFLOW_MAX_PLACES / SHARD_PLACES)

/* An answer that has begun and then comes slower than this, for so long, is given up. */
#define SLOW_BYTES_PER_SECOND 50L
#define SLOW_SECONDS 5L

/* "https://host:port" of a kept connection. */
#define ORIGIN_SIZE 256

typedef enum PlaceState
{
	PLACE_FREE,       /* without a connection */
	PLACE_IDLE,       /* free, with a connection that is kept */
	PLACE_CONNECTING, /* libcurl makes the connection */
	PLACE_EXCHANGING, /* the request is sent, or its answer awaited, by us */
	PLACE_TRANSFER,   /* libcurl does everything */
	PLACE_ENDED       /* waits for its answer to be taken */
} PlaceState;

typedef struct Place
{
	struct Shard *shard;
	int number;
	PlaceState state;
	PlaceState ended_as; /* the state before PLACE_ENDED */
	struct Place *next;  /* of free places, or of ended ones */
	struct Place *previous;
	CURL *easy;
	bool added;            /* easy is in the shard's multi */
	unsigned int settings; /* those that easy was prepared for */

	/* The request. */
	void *tag;
	bool (*on_wire)(void *tag);
	void (*handed_over)(void);
	int times_on_wire;
	char *bytes; /* as they go over the connection, or the body of a transfer */
	size_t bytes_room;
	size_t bytes_length;
	size_t bytes_sent;
	struct curl_slist *headers; /* of a transfer */

	/* The connection. */
	char origin[ORIGIN_SIZE];
	curl_socket_t socket;
	uint32_t events;    /* that are waited for */
	int exchanges;      /* that it has carried */
	int64_t idle_since; /* monotonic milliseconds, as those that follow */
	int64_t deadline;
	int64_t slow_at;  /* when the answer must have come on, 0 not yet */
	size_t slow_from; /* bytes that had come before */
	size_t bytes_come;

	/* The answer. */
	CURLcode result;
	SmsflowAddressKind refused; /* the kind of an address that was not connected to; public: none */
	SmsflowHttpReader reader;
	size_t header_length; /* of a transfer, as the two that follow */
	size_t answer_length;
	bool truncated;
	char answer[SMSFLOW_ANSWER_SIZE];
} Place;

typedef struct Shard
{
	uint32_t number;
	CURLM *multi;
	int busy;         /* places that libcurl works for */
	int64_t timer_at; /* milliseconds, monotonic; -1 none */
	Place places[SHARD_PLACES];
} Shard;

/* What easy handles are prepared with; each change has another number. */
typedef struct TransportPrepared
{
	unsigned int number;
	bool allow_insecure;
	bool allow_private;
	char ca_file[1024];
} TransportPrepared;

extern TransportPrepared transport_settings;

/* ---- libcurl, driven by epoll (curl_loop.c) ---- */

extern int64_t monotonic_ms(void);

/*
 * libcurl resolves names in a thread. It inherits the signal mask, so with
 * everything blocked here the server's handlers never run in it.
 */
extern void block_signals(sigset_t *previous);
extern void restore_signals(const sigset_t *previous);

extern bool loop_start(void);
extern void loop_stop(void);
extern int loop_descriptor(void);

/* A shard with its multi, without easy handles; NULL when memory is missing. */
extern Shard *loop_add_shard(void);
extern int loop_shards(void);
extern Shard *loop_shard(int number);

/* Milliseconds until libcurl wants to be called, -1: no need. */
extern long loop_timeout(void);

/* Sockets that the place's handle opens are those of the loop, and lead to addresses that are allowed alone. */
extern void loop_own_sockets(Place *place);

/* libcurl takes the handle of a place, or gives it back, which closes a connection of ours. */
extern CURLMcode loop_add(Place *place);
extern void loop_remove(Place *place);

/* From here on events of its socket are for the place, not for libcurl. */
extern void loop_watch_place(Place *place, uint32_t events);

/*
 * Moves what can be moved: libcurl's part of it here, that of connected places by
 * moved(), and what libcurl has ended by ended(). handed_over, when it is set
 * meanwhile, is called after the step of libcurl under way.
 */
extern void loop_drive(void (*moved)(Place *place), void (*ended)(Place *place, CURLcode result));
extern void loop_after_step(void (*handed_over)(void));

/* ---- one request over a connection (exchange.c) ---- */

/*
 * Copies the origin of the request. False when libcurl must do all of it: it signs,
 * or there is something about URL or headers that it knows better.
 */
extern bool exchange_origin(const SmsflowRequest *request, char origin[ORIGIN_SIZE]);

/* Makes the bytes of the request; false when memory is missing. */
extern bool exchange_compose(Place *place, const SmsflowRequest *request);

/* The place is connected: the request leaves, unless on_wire says no. */
extern void exchange_begin(Place *place);

/* Something has come, or more can be sent. */
extern void exchange_move(Place *place);

/* A deadline may have passed; returns the next one, -1 none. */
extern int64_t exchange_look(Place *place, int64_t now);

/* Nothing was closed, and nothing has come, while the connection was at rest. */
extern bool exchange_is_clean(const Place *place);

/* Whether the connection may carry another request. */
extern bool exchange_keeps_alive(const Place *place);

/* ---- what libcurl is told (transfer.c) ---- */

/* All of a request; false when memory is missing or it makes no sense to libcurl. */
extern bool transfer_prepare(Place *place, const SmsflowRequest *request);

/* To connect to the place's origin; of the request it learns its time alone. */
extern bool transfer_connect(Place *place, const SmsflowRequest *request);

/* ---- places (transport_curl.c) ---- */

/* The request of a place has ended; its answer is taken by the next poll. */
extern void place_ended(Place *place, CURLcode result);

/* A place is to be looked at by exchange_look then, at the latest. */
extern void place_look_at(int64_t monotonic);

#endif
