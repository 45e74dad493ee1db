/*
 * shared.h - the shared memory between the backends of a database and its
 * worker: what to look at, what must no longer be sent, and how the worker is
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

/* Revocations kept for the worker; when more come it re-checks everything. */
#define SMSFLOW_RING_SIZE 4096

/* Kinds of work other than a queue, bits of SmsflowSlot.news. */
#define SMSFLOW_NEWS_EVENTS 1u
#define SMSFLOW_NEWS_CALLBACKS 2u
#define SMSFLOW_NEWS_CONFIG 4u
#define SMSFLOW_NEWS_RULES 8u
#define SMSFLOW_NEWS_RESOLUTIONS 16u

typedef struct SmsflowDirty
{
	uint32 words[SMSFLOW_DIRTY_WORDS];
} SmsflowDirty;

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
	char route_problem[256]; /* "" when every route works */
} SmsflowWorkerState;

typedef struct SmsflowSlot
{
	NameData database;
	pg_atomic_uint32 database_oid;
	pg_atomic_uint32 sleeping;
	pg_atomic_uint32 news;
	pg_atomic_uint32 dirty[SMSFLOW_DIRTY_WORDS];
	pg_atomic_uint64 ring_head;
	SmsflowRevocation ring[SMSFLOW_RING_SIZE]; /* under the ring lock */
	slock_t mutex;                             /* guards what follows */
	Latch *latch;
	SmsflowWorkerState worker;
} SmsflowSlot;

typedef struct SmsflowShared
{
	LWLock *ring_lock;
	int slots;
	SmsflowSlot slot[FLEXIBLE_ARRAY_MEMBER];
} SmsflowShared;

extern SmsflowShared *smsflow_shared;

/* The slot of the database this backend is connected to, or NULL. */
extern SmsflowSlot *smsflow_my_slot(void);

/* Splits smsflow.databases; returns the number of names put into names. */
extern int smsflow_database_names(NameData *names);

/*
 * Copies revocations published since *tail into out (SMSFLOW_RING_SIZE places)
 * and moves *tail. Returns their number, or -1 when some were overwritten.
 */
extern int smsflow_read_revocations(SmsflowSlot *slot, uint64 *tail, SmsflowRevocation *out);

#endif
