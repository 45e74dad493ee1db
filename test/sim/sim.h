/*
 * sim.h - a small world in which the policies of core run under a random schedule: a store that asks for messages and revokes
 * them, tables that survive, a worker that dies, a gateway that forgets to answer, and clocks that jump.
 *
 * What is decided (states, what follows a try, whether a message may start, limits, breaker, windows) is decided by the code
 * that ships. What the worker and the tables do around it is told again here in the fewest words: rows are appended, a turn is
 * one transaction, a job is in memory only. Time is virtual; one seed makes one schedule.
 */
#ifndef SMSFLOW_SIM_H
#define SMSFLOW_SIM_H

#include "breaker.h"
#include "delivery.h"
#include "limiter.h"
#include "window.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)
#define DAY (24 * 60 * MINUTE)
#define FOREVER INT64_MAX

#define MAX_MESSAGES 6
#define MAX_REPORTS 8
#define MAX_REQUESTS 64
#define MAX_REVOCATIONS 6
#define MAX_PASSES 128
#define CONTACTS 2
#define RING_SIZE 2 /* small, so that it overflows */

/* ---- what is durable ---- */

typedef enum TimerKind
{
	TIMER_NONE,
	TIMER_NOT_DUE,     /* until send_at */
	TIMER_HELD,        /* the gate, or a pause of the route */
	TIMER_AGAIN,       /* surely not sent, or sent again at once */
	TIMER_RESEND_LATER /* in doubt until then */
} TimerKind;

/* A message with the rows that were appended about it; of attempts and timers the newest is what counts. */
typedef struct Message
{
	SmsflowPurpose purpose;
	int parts;
	int contact;
	int64_t send_at; /* by the wall clock, as expires_at */
	int64_t expires_at;
	bool cancelled;
	bool claimed; /* as a new message */
	int attempt;  /* of the newest attempt row, 0: none */
	SmsflowObservation seen;
	TimerKind timer;
	int64_t due_at;
	int next_attempt;
	bool timer_claimed;
	SmsflowObservation reports[MAX_REPORTS];
	int report_count;

	/* What only an onlooker of everything knows. */
	SmsflowStatus status; /* when last looked at */
	int requests;         /* that had their first byte sent */
	int taken;            /* times the gateway has sent it on, repeats removed */
	bool maybe_taken;     /* a request is or was out whose fate the worker cannot know */
	bool maybe_before;    /* as maybe_taken, without the newest request */
	bool revoked;         /* a revocation of it has returned to its caller */
} Message;

/* ---- what a crash ends ---- */

typedef enum JobState
{
	JOB_FREE,
	JOB_WAITING,
	JOB_CONNECTING,
	JOB_ON_WIRE,
	JOB_RESULT
} JobState;

/* One for each message at most. */
typedef struct Job
{
	JobState state;
	int attempt;
	bool was_in_doubt;
	bool check_again;
	bool clock_set; /* since the gate allowed it, so that it was allowed by another time */
	int64_t open_until;
	bool has_attempt; /* to be recorded */
	SmsflowObservation seen;
	TimerKind timer;
	int64_t due_at;
	int next_attempt;
} Job;

/* ---- outside ---- */

typedef enum RequestState
{
	REQUEST_FLYING,
	REQUEST_ANSWERED, /* the answer is on its way back */
	REQUEST_GONE
} RequestState;

typedef struct Request
{
	RequestState state;
	int message;
	int http_status;
	bool retry_after;
	bool refused; /* and the answer proves it */
	bool awaited; /* the worker that sent it lives */
} Request;

typedef struct Revocation
{
	bool whole_contact;
	int id;
	int phase; /* 0: not begun, 1: noted, 2: committed, 3: noted again and returned */
} Revocation;

/* What a transaction sees of what others commit. */
typedef struct Snapshot
{
	bool stopped[CONTACTS];
	bool cancelled[MAX_MESSAGES];
	int message_count;
} Snapshot;

typedef struct Pass
{
	int64_t at;
	int parts;
} Pass;

typedef struct World
{
	uint64_t seed;
	uint64_t random;
	bool trace;
	int64_t mono;
	int64_t clock_offset; /* of the wall clock */
	bool journal_lost;    /* once at least, with the machine */
	bool quiet;           /* nothing goes wrong any more: what is left must be settled */

	Message messages[MAX_MESSAGES];
	int message_count;
	bool stopped[CONTACTS]; /* committed */
	bool stop_returned[CONTACTS];
	bool marked[MAX_MESSAGES]; /* the journal */
	int marked_attempt[MAX_MESSAGES];

	Job jobs[MAX_MESSAGES];
	int in_flight;
	int ring_tail;
	SmsflowLimiter limiter;
	SmsflowBreaker breaker;

	Request requests[MAX_REQUESTS];
	int request_count;
	bool removes_repeats;
	Revocation revocations[MAX_REVOCATIONS];
	int revocation_count;
	Revocation ring[4 * MAX_REVOCATIONS];
	int published;

	double rate;
	int burst;
	SmsflowWindow window;
	int opens; /* minutes of the day between which it is open */
	int closes;
	Pass passes[MAX_PASSES];
	int pass_count;
} World;

/* ---- sim.c ---- */

extern uint32_t random_below(World *world, uint32_t bound);
extern int64_t wall(const World *world);

/* Prints what does not hold and the seed, and ends the program. */
extern void violated(const World *world, int message, const char *what);

#define TRACE(world, ...)                                                                                                        \
	do                                                                                                                           \
	{                                                                                                                            \
		if ((world)->trace)                                                                                                      \
			trace(world, __VA_ARGS__);                                                                                           \
	} while (0)
extern void trace(const World *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- worker.c: the worker between its tables and its transport ---- */

extern bool is_marketing(SmsflowPurpose purpose);
extern bool waits_for_timer(const Message *message);
extern SmsflowStatus fold(const World *world, const Message *message);
extern void worker_start(World *world, bool journal_trusted);
extern void worker_turn(World *world);
extern void worker_dispatch(World *world, int message);
extern void worker_first_byte(World *world, int message);
extern void worker_no_connection(World *world, int message);
extern void worker_answer(World *world, int message, SmsflowWire wire, int http_status, bool retry_after);

/* ---- outside.c: the store, the gateway, the network, accidents ---- */

extern void store_ask(World *world);
extern void store_revoke(World *world);
extern bool revocation_advance(World *world);
extern void gateway_receive(World *world, Request *request);
extern void gateway_report(World *world, int message);
extern void network_answer(World *world, Request *request);
extern void crash(World *world, bool machine);

/* ---- check.c: what must hold ---- */

extern void check_first_byte(World *world, int message);
extern void check_taken(World *world, int message);
extern void check_pass(World *world, int parts);
extern void check_statuses(World *world);
extern void check_end(World *world);

/* The limiter alone, under full load: exact, and used. */
extern void check_limiter(World *world);

#endif
