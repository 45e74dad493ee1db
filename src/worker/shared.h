/*
 * shared.h - the shared memory between the backends of a database and its
 * workers: what to look at, what must no longer be sent, and how each worker is
 * doing. Nothing here is process-local (no pointers but latches, which live in
 * shared memory themselves).
 */
#ifndef SMSFLOW_SHARED_H
#define SMSFLOW_SHARED_H

#include "smsflow.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#define SMSFLOW_MAX_DATABASES 32
#define SMSFLOW_LANES 5

/* Queues with new rows are remembered as a bitmap of queue_id modulo this. */
#define SMSFLOW_DIRTY_BITS 1024
#define SMSFLOW_DIRTY_WORDS (SMSFLOW_DIRTY_BITS / 32)

/* Queues with something to be claimed, now or later, as a bitmap of queue_id modulo this. */
#define SMSFLOW_WAITING_BITS 16384
#define SMSFLOW_WAITING_WORDS (SMSFLOW_WAITING_BITS / 32)

/* Revocations kept for the worker; when more come it re-checks everything. */
#define SMSFLOW_RING_SIZE 4096

/* Kinds of work other than a queue, bits of SmsflowSlot.news. */
#define SMSFLOW_NEWS_EVENTS 1u
#define SMSFLOW_NEWS_CALLBACKS 2u
#define SMSFLOW_NEWS_CONFIG 4u
#define SMSFLOW_NEWS_RULES 8u
#define SMSFLOW_NEWS_RESOLUTIONS 16u
#define SMSFLOW_NEWS_PREPARED 32u
#define SMSFLOW_NEWS_AWAITED 64u
#define SMSFLOW_NEWS_TIMERS 1024u  /* messages of any queue are due again */
#define SMSFLOW_NEWS_RESULTS 128u  /* another worker has recorded some */
#define SMSFLOW_NEWS_FEEDBACK 256u /* ... that say something of contacts */
#define SMSFLOW_NEWS_DOUBTS 512u   /* ... that gateways can be asked about */

/* Of what backends tell, this concerns all workers; the rest only the first, who does the chores. */
#define SMSFLOW_NEWS_FOR_ALL (SMSFLOW_NEWS_CONFIG | SMSFLOW_NEWS_RULES | SMSFLOW_NEWS_PREPARED)

typedef struct SmsflowDirty
{
	uint32 words[SMSFLOW_DIRTY_WORDS];
} SmsflowDirty;

/* Revocations that a transaction names one by one. */
#define SMSFLOW_NOTED_REVOCATIONS 64

/* What a transaction has for the worker, if it commits. */
typedef struct SmsflowNotes
{
	bool any;
	bool revocations_lost; /* there were more than are named */
	uint32 news;
	SmsflowDirty dirty;
	int revocations;
	SmsflowRevocation revocation[SMSFLOW_NOTED_REVOCATIONS];
} SmsflowNotes;

/* How the worker is doing, for health() and the stat views. */
typedef struct SmsflowWorkerState
{
	int pid;
	char state[64];
	int64 generation;
	TimestampTz last_turn;
	char last_error[256];
	TimestampTz last_error_at;
	int32 in_flight;
	int32 backlog;
	int64 sent;
	int32 gaps;     /* transactions that may still commit messages behind a cursor */
	int64 loop_p50; /* microseconds of work between two waits, -1 none yet */
	int64 loop_p99;
} SmsflowWorkerState;

/* Gateways and senders that are shown; more of them work, but are not seen. */
#define SMSFLOW_SHOWN_GATEWAYS 64
#define SMSFLOW_SHOWN_SENDERS 2048
#define SMSFLOW_HTTP_CODES 12

typedef struct SmsflowRouteState
{
	int32 id;
	int32 in_flight;
	int32 waiting; /* parts claimed and not started */
	int32 tokens;  /* parts that may leave at once */
	int64 parts;   /* that left since the worker started */
	double rate;   /* parts per second, of the last seconds */
	int32 breaker; /* SmsflowBreakerState */
	int32 failures;
	int32 trips;
	TimestampTz open_until; /* 0: not open */
	int64 used_today;
	int64 daily_limit; /* parts; 0 none */
} SmsflowRouteState;

typedef struct SmsflowGatewayState
{
	SmsflowRouteState route;
	int64 p50; /* microseconds, -1 none yet */
	int64 p95;
	int64 p99;
	int16 http_status[SMSFLOW_HTTP_CODES]; /* 0: no answer; -1: all others */
	int64 http_count[SMSFLOW_HTTP_CODES];
} SmsflowGatewayState;

typedef struct SmsflowSenderState
{
	SmsflowRouteState route;
	char paused_for[32]; /* reason code, or "" */
} SmsflowSenderState;

/* Under the stat lock. */
typedef struct SmsflowRoutes
{
	TimestampTz published_at;
	int gateways;
	int senders;
	SmsflowGatewayState gateway[SMSFLOW_SHOWN_GATEWAYS];
	SmsflowSenderState sender[SMSFLOW_SHOWN_SENDERS];
} SmsflowRoutes;

/* Transactions that wait at one time for the end of what the worker has in hand; more of them queue up. */
#define SMSFLOW_AWAITED 64

typedef struct SmsflowAwaited
{
	int64 contact_id;
	Latch *latch; /* of who waits, NULL: a free place */
	bool done;
} SmsflowAwaited;

typedef struct SmsflowSlot
{
	NameData database;
	int number; /* of the worker among those of its database, from 0 */
	pg_atomic_uint32 database_oid;
	pg_atomic_uint32 sleeping;
	pg_atomic_uint32 news;
	pg_atomic_uint32 dirty[SMSFLOW_DIRTY_WORDS];
	pg_atomic_uint32 claims;                         /* 1: an armed worker looks after its queues, so that waiting is right */
	pg_atomic_uint32 waiting[SMSFLOW_WAITING_WORDS]; /* a queue whose bit is not set here, nor in dirty, is empty */
	pg_atomic_uint64 ring_head;
	pg_atomic_uint32 starts;                   /* odd while the worker starts a request */
	pg_atomic_uint32 awaiting;                 /* places of awaited that are taken */
	SmsflowRevocation ring[SMSFLOW_RING_SIZE]; /* under the ring lock */
	slock_t mutex;                             /* guards what follows */
	Latch *latch;
	SmsflowAwaited awaited[SMSFLOW_AWAITED];
	SmsflowWorkerState worker;
	SmsflowRoutes routes;
} SmsflowSlot;

typedef struct SmsflowShared
{
	LWLock *ring_lock;
	LWLock *stat_lock;
	LWLock *common_lock; /* of common.h */
	int slots;
	SmsflowSlot slot[FLEXIBLE_ARRAY_MEMBER];
} SmsflowShared;

extern SmsflowShared *smsflow_shared;

/*
 * The slots of the workers that have connected to a database, one after the
 * other: *at is 0 for the first. NULL after the last.
 */
extern SmsflowSlot *smsflow_next_slot(Oid database, int *at);

/* Sets the worker's latch, if it sleeps; after what it is to find was written. */
extern void smsflow_wake_worker(SmsflowSlot *slot);

/* What a rate still counts after so many microseconds: what is older than some seconds has no part in it. */
extern double smsflow_rate_share(int64 microseconds);

/* Splits smsflow.databases; returns the number of names put into names. */
extern int smsflow_database_names(NameData *names);

/* What the notes of a transaction that has committed, or is about to, mean for the worker. */
extern void smsflow_publish_marks(SmsflowSlot *slot, const SmsflowNotes *notes);
extern void smsflow_publish_revocations(SmsflowSlot *slot, const SmsflowNotes *notes);

/* The same for a caller that has the ring lock. */
extern void smsflow_append_revocations(SmsflowSlot *slot, const SmsflowNotes *notes);

/*
 * The worker says that it starts requests, and that their bytes are with the
 * system or will never be. A committing transaction that has published its
 * revocations waits for the latter, at most about a second: see shared.c.
 */
extern void smsflow_starts_begin(SmsflowSlot *slot);
extern void smsflow_starts_end(SmsflowSlot *slot);
extern void smsflow_wait_for_starts(SmsflowSlot *slot);

/*
 * Copies revocations published since *tail into out (SMSFLOW_RING_SIZE places)
 * and moves *tail. Returns their number, or -1 when some were overwritten.
 */
extern int smsflow_read_revocations(SmsflowSlot *slot, uint64 *tail, SmsflowRevocation *out);

#endif
