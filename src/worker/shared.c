/*
 * shared.c - shared memory of smsflow: request, layout, and the few reads and
 * writes that need care. One slot per worker: those of a database follow one
 * another, in the order of smsflow.databases, fixed at server start.
 */
#include "shared.h"

#include <math.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "compat.h"
#include "worker/common.h"
#include "worker/prepared.h"

#define RING_TRANCHE "smsflow_ring"

SmsflowShared *smsflow_shared = NULL;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static bool
is_listed(const NameData *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(NameStr(names[i]), name) == 0)
			return true;
	return false;
}

/* A database that is named twice has its worker once: two would each send everything. */
int
smsflow_database_names(NameData *names)
{
	char *list = pstrdup(smsflow_databases);
	List *elements;
	ListCell *cell;
	int count = 0;

	if (!SplitIdentifierString(list, ',', &elements))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("parameter \"smsflow.databases\" is not a list of database names"),
						errhint("Write names separated by commas; put a name with capitals in double quotes.")));
	if (list_length(elements) > SMSFLOW_MAX_DATABASES)
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("parameter \"smsflow.databases\" has more than %d names", SMSFLOW_MAX_DATABASES)));
	foreach (cell, elements)
		if (!is_listed(names, count, (char *) lfirst(cell)))
			namestrcpy(&names[count++], (char *) lfirst(cell));
	list_free(elements);
	return count;
}

static Size
shared_size(int slots)
{
	return add_size(offsetof(SmsflowShared, slot), mul_size(slots, sizeof(SmsflowSlot)));
}

static void
request_shared_memory(void)
{
	NameData names[SMSFLOW_MAX_DATABASES];

	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(shared_size(smsflow_database_names(names) * smsflow_workers));
	RequestAddinShmemSpace(smsflow_prepared_size());
	RequestAddinShmemSpace(smsflow_common_size());
	RequestNamedLWLockTranche(RING_TRANCHE, 3);
}

static void
init_slot(SmsflowSlot *slot, const NameData *database, int number)
{
	memset(slot, 0, sizeof(*slot));
	slot->database = *database;
	slot->number = number;
	pg_atomic_init_u32(&slot->database_oid, InvalidOid);
	pg_atomic_init_u32(&slot->sleeping, 0);
	pg_atomic_init_u32(&slot->news, 0);
	for (int i = 0; i < SMSFLOW_DIRTY_WORDS; i++)
		pg_atomic_init_u32(&slot->dirty[i], 0);
	pg_atomic_init_u32(&slot->claims, 0);
	for (int i = 0; i < SMSFLOW_WAITING_WORDS; i++)
		pg_atomic_init_u32(&slot->waiting[i], 0);
	pg_atomic_init_u64(&slot->ring_head, 0);
	pg_atomic_init_u32(&slot->starts, 0);
	pg_atomic_init_u32(&slot->awaiting, 0);
	SpinLockInit(&slot->mutex);
	strlcpy(slot->worker.state, "not started", sizeof(slot->worker.state));
}

static void
start_shared_memory(void)
{
	NameData names[SMSFLOW_MAX_DATABASES];
	int slots = smsflow_database_names(names) * smsflow_workers;
	bool found;

	if (previous_startup_hook)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	smsflow_shared = ShmemInitStruct("smsflow", shared_size(slots), &found);
	if (!found)
	{
		smsflow_shared->ring_lock = &GetNamedLWLockTranche(RING_TRANCHE)[0].lock;
		smsflow_shared->stat_lock = &GetNamedLWLockTranche(RING_TRANCHE)[1].lock;
		smsflow_shared->common_lock = &GetNamedLWLockTranche(RING_TRANCHE)[2].lock;
		smsflow_shared->slots = slots;
		for (int i = 0; i < slots; i++)
			init_slot(&smsflow_shared->slot[i], &names[i / smsflow_workers], i % smsflow_workers);
	}
	smsflow_prepared_start();
	smsflow_common_start();
	LWLockRelease(AddinShmemInitLock);
}

void
smsflow_request_shared_memory(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

bool
smsflow_preloaded(void)
{
	return smsflow_shared != NULL;
}

/*
 * A worker writes its database's oid into its slot; a backend finds the slot
 * by it. Before the worker has connected there is nobody to tell anything, and
 * a starting worker looks at everything.
 */
SmsflowSlot *
smsflow_next_slot(Oid database, int *at)
{
	if (smsflow_shared == NULL || !OidIsValid(database))
		return NULL;
	while (*at < smsflow_shared->slots)
	{
		SmsflowSlot *slot = &smsflow_shared->slot[(*at)++];

		if (pg_atomic_read_u32(&slot->database_oid) == database)
			return slot;
	}
	return NULL;
}

void
smsflow_wake_worker(SmsflowSlot *slot)
{
	Latch *latch;

	/* Pairs with the barrier between "I sleep" and the worker's last look. */
	pg_memory_barrier();
	if (pg_atomic_read_u32(&slot->sleeping) == 0)
		return;
	SpinLockAcquire(&slot->mutex);
	latch = slot->latch;
	SpinLockRelease(&slot->mutex);
	if (latch)
		SetLatch(latch);
}

/* ---- what transactions publish ---- */

void
smsflow_publish_marks(SmsflowSlot *slot, const SmsflowNotes *notes)
{
	uint32 news = slot->number == 0 ? notes->news : notes->news & SMSFLOW_NEWS_FOR_ALL;

	/* Whoever sees the marks sees the news: changed limits count for the messages that were asked for after them. */
	if (news != 0)
		pg_atomic_fetch_or_u32(&slot->news, news);
	for (int i = 0; i < SMSFLOW_DIRTY_WORDS; i++)
		if (notes->dirty.words[i] != 0)
			pg_atomic_fetch_or_u32(&slot->dirty[i], notes->dirty.words[i]);
}

/* A transaction that revokes very much makes the worker re-check everything. */
void
smsflow_append_revocations(SmsflowSlot *slot, const SmsflowNotes *notes)
{
	uint64 head = pg_atomic_read_u64(&slot->ring_head);

	for (int i = 0; i < notes->revocations; i++)
		slot->ring[head++ % SMSFLOW_RING_SIZE] = notes->revocation[i];
	if (notes->revocations_lost)
		head += SMSFLOW_RING_SIZE + 1;
	pg_atomic_write_u64(&slot->ring_head, head);
}

void
smsflow_publish_revocations(SmsflowSlot *slot, const SmsflowNotes *notes)
{
	LWLockAcquire(smsflow_shared->ring_lock, LW_EXCLUSIVE);
	smsflow_append_revocations(slot, notes);
	LWLockRelease(smsflow_shared->ring_lock);
}

int
smsflow_read_revocations(SmsflowSlot *slot, uint64 *tail, SmsflowRevocation *out)
{
	uint64 head = pg_atomic_read_u64(&slot->ring_head);
	int count = 0;

	if (head == *tail)
		return 0;

	LWLockAcquire(smsflow_shared->ring_lock, LW_SHARED);
	head = pg_atomic_read_u64(&slot->ring_head);
	if (head - *tail > SMSFLOW_RING_SIZE)
		count = -1;
	else
		for (uint64 at = *tail; at < head; at++)
			out[count++] = slot->ring[at % SMSFLOW_RING_SIZE];
	*tail = head;
	LWLockRelease(smsflow_shared->ring_lock);
	return count;
}

/* ---- who is first, a request or a commit ---- */

/*
 * The worker makes "starts" odd and then reads the ring; whoever revokes writes
 * the ring and then reads "starts". With a full barrier between the two steps of
 * either side, at least one of them sees what the other wrote: the worker the
 * revocation, and then the request does not start; or the committing backend an
 * odd number, and then its COMMIT returns only after the request has begun. No
 * order of events is left in which a request begins after the COMMIT of its STOP
 * has returned. Whether the number is another one or even, the starts that were
 * going on have ended.
 */
void
smsflow_starts_begin(SmsflowSlot *slot)
{
	uint32 starts = pg_atomic_read_u32(&slot->starts);

	if ((starts & 1) == 0)
		pg_atomic_write_u32(&slot->starts, starts + 1);
	pg_memory_barrier();
}

void
smsflow_starts_end(SmsflowSlot *slot)
{
	uint32 starts = pg_atomic_read_u32(&slot->starts);

	pg_memory_barrier();
	if ((starts & 1) != 0)
		pg_atomic_write_u32(&slot->starts, starts + 1);
}

/*
 * A start takes microseconds, unless the machine lets the worker wait. Whoever
 * commits has their locks meanwhile, so a worker that does not move at all, as
 * one in a debugger, must not hold them for ever.
 */
#define SPINS 1000
#define NAPS 5000
#define NAP_MICROSECONDS 200

void
smsflow_wait_for_starts(SmsflowSlot *slot)
{
	uint32 starts;

	pg_memory_barrier();
	starts = pg_atomic_read_u32(&slot->starts);
	if ((starts & 1) == 0)
		return;
	for (int i = 0; i < SPINS + NAPS && pg_atomic_read_u32(&slot->starts) == starts; i++)
	{
		if (i < SPINS)
			SPIN_DELAY();
		else
			pg_usleep(NAP_MICROSECONDS);
	}
}

double
smsflow_rate_share(int64 microseconds)
{
	return exp(-0.65 * (double) Max(microseconds, 0) / USECS_PER_SEC);
}
