/*
 * transport.h - the seam between the worker and the network: hand a request
 * over, learn later what became of it. The shipped transport is libcurl
 * (transport_curl.c); a test module may put another in its place through the
 * rendezvous variable "smsflow_transport".
 */
#ifndef SMSFLOW_TRANSPORT_H
#define SMSFLOW_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/delivery.h"

/* Bytes of an answer that are kept; the rest is read and dropped. */
#define SMSFLOW_ANSWER_SIZE 16384
#define SMSFLOW_MAX_HEADERS 16

#define SMSFLOW_MAX_PLACES 512

typedef struct SmsflowRequest
{
	const char *method;
	const char *url;
	const char *headers[SMSFLOW_MAX_HEADERS]; /* "Name: value" */
	int header_count;
	const char *body; /* NULL: none */
	size_t body_length;
	const char *username; /* NULL: no HTTP Basic authentication */
	const char *password;
	const char *sigv4; /* sign by AWS Signature Version 4 instead: provider:provider:region:service */
	long timeout_ms;   /* for the request in all */
	void *tag;         /* comes back with the answer */

	/*
	 * Called when the first byte is about to leave. False stops the request;
	 * true makes it count as perhaps sent from here on. Must neither raise
	 * errors nor allocate.
	 */
	bool (*on_wire)(void *tag);

	/*
	 * NULL, or called after on_wire, once or for several at a time, when what can be
	 * written of the requests was given to the system, or never will be. Must
	 * neither raise errors nor allocate.
	 */
	void (*handed_over)(void);
} SmsflowRequest;

typedef struct SmsflowAnswer
{
	void *tag;
	SmsflowWire wire; /* WIRE_YES when a whole answer came */
	int status;       /* HTTP status; 0 when none came */
	long retry_after; /* seconds; -1 when the gateway said nothing */
	bool timed_out;
	bool misconfigured; /* its address is not allowed: nothing was sent, and a person has to see to it */
	char error[128];    /* what went wrong in the transport, or "" */
	const char *body;   /* valid until the next call of any function */
	size_t body_length;
	bool truncated;
} SmsflowAnswer;

typedef struct SmsflowTransportSettings
{
	int places;          /* requests at one time, at most SMSFLOW_MAX_PLACES */
	bool allow_insecure; /* plain http, too */
	bool allow_private;  /* addresses of the house, too */
	const char *ca_file; /* certificates that gateways are verified by; "": the system's */
} SmsflowTransportSettings;

typedef struct SmsflowTransport
{
	/*
	 * Starts, or goes on with other settings from the next request on; places
	 * once made are kept. False when memory or descriptors are missing.
	 */
	bool (*configure)(const SmsflowTransportSettings *settings);

	/* A descriptor that is readable when poll has something to do. */
	int (*wait_descriptor)(void);

	/* Milliseconds until poll should be called anyway, -1: no need. */
	long (*wait_timeout)(void);

	/* Requests that submit would take now. */
	int (*free_places)(void);

	/* Takes a request (everything is copied); false with words in error. */
	bool (*submit)(const SmsflowRequest *request, char *error, size_t error_size);

	/* Moves data, then calls answered for each request that has ended. */
	void (*poll)(void (*answered)(const SmsflowAnswer *answer));

	/* Ends everything; requests without an answer get none. */
	void (*stop)(void);
} SmsflowTransport;

extern const SmsflowTransport smsflow_curl_transport;

#endif
