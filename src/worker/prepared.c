/*
 * prepared.c - see prepared.h. One array for all databases, under the ring lock:
 * notes go from it to the ring in one step, so that whoever looks here first and
 * at the ring then misses none.
 */
#include "worker/prepared.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "storage/shmem.h"

typedef struct PreparedNotes
{
	TransactionId xid;
	Oid database;
	SmsflowNotes notes;
} PreparedNotes;

typedef struct PreparedList
{
	pg_atomic_uint32 count;
	uint32 room;
	PreparedNotes entry[FLEXIBLE_ARRAY_MEMBER];
} PreparedList;

static PreparedList *list = NULL;

/* Prepared ones, and those that every backend is about to prepare. */
static int
wanted_room(void)
{
	return max_prepared_xacts == 0 ? 0 : max_prepared_xacts + MaxBackends;
}

Size
smsflow_prepared_size(void)
{
	return add_size(offsetof(PreparedList, entry), mul_size(wanted_room(), sizeof(PreparedNotes)));
}

void
smsflow_prepared_start(void)
{
	bool found;

	list = ShmemInitStruct("smsflow prepared transactions", smsflow_prepared_size(), &found);
	if (found)
		return;
	pg_atomic_init_u32(&list->count, 0);
	list->room = wanted_room();
}

static uint32
entries(void)
{
	return list ? pg_atomic_read_u32(&list->count) : 0;
}

/* With the ring lock. */
static void
settle(void)
{
	uint32 count = entries();

	for (uint32 i = 0; i < count;)
	{
		PreparedNotes *entry = &list->entry[i];
		SmsflowSlot *slot;
		int at = 0;

		if (TransactionIdIsInProgress(entry->xid))
		{
			i++;
			continue;
		}
		while ((slot = smsflow_next_slot(entry->database, &at)) != NULL)
		{
			smsflow_publish_marks(slot, &entry->notes);
			smsflow_append_revocations(slot, &entry->notes);
		}
		*entry = list->entry[--count];
	}
	pg_write_barrier();
	pg_atomic_write_u32(&list->count, count);
}

void
smsflow_prepared_settle(void)
{
	if (entries() == 0)
		return;
	LWLockAcquire(smsflow_shared->ring_lock, LW_EXCLUSIVE);
	settle();
	LWLockRelease(smsflow_shared->ring_lock);
}

static bool
known(TransactionId xid)
{
	for (uint32 i = 0; i < entries(); i++)
		if (list->entry[i].xid == xid)
			return true;
	return false;
}

static void
add(TransactionId xid, const SmsflowNotes *notes)
{
	uint32 count;

	LWLockAcquire(smsflow_shared->ring_lock, LW_EXCLUSIVE);
	settle();
	count = entries();
	if (count >= list->room)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("too many prepared transactions"),
						errdetail("What a prepared transaction means for messages is kept in shared memory until it ends."),
						errhint("Raise max_prepared_transactions.")));
	if (!known(xid))
	{
		list->entry[count] = (PreparedNotes){.xid = xid, .database = MyDatabaseId, .notes = *notes};
		pg_write_barrier();
		pg_atomic_write_u32(&list->count, count + 1);
	}
	LWLockRelease(smsflow_shared->ring_lock);
}

void
smsflow_prepared_register(const SmsflowNotes *notes)
{
	SmsflowSlot *slot;
	int at = 0;

	if (list == NULL)
		return;
	add(GetTopTransactionId(), notes);
	while ((slot = smsflow_next_slot(MyDatabaseId, &at)) != NULL)
	{
		pg_atomic_fetch_or_u32(&slot->news, SMSFLOW_NEWS_PREPARED);
		smsflow_wait_for_starts(slot);
	}
}

void
smsflow_prepared_register_unknown(TransactionId xid)
{
	SmsflowNotes notes = {.any = true, .revocations_lost = true, .news = SMSFLOW_NEWS_EVENTS | SMSFLOW_NEWS_CALLBACKS};

	memset(&notes.dirty, 0xff, sizeof(notes.dirty));
	add(xid, &notes);
}

static bool
is_ours(const SmsflowNotes *notes, const void *what)
{
	return true;
}

bool
smsflow_prepared_any(void)
{
	return smsflow_prepared_concerns(is_ours, NULL);
}

bool
smsflow_prepared_concerns(bool (*concerns)(const SmsflowNotes *notes, const void *what), const void *what)
{
	bool found = false;

	if (entries() == 0)
	{
		/* The caller's next look, at the ring, must not come before this one. */
		pg_read_barrier();
		return false;
	}
	LWLockAcquire(smsflow_shared->ring_lock, LW_SHARED);
	for (uint32 i = 0; i < entries() && !found; i++)
		found = list->entry[i].database == MyDatabaseId && concerns(&list->entry[i].notes, what);
	LWLockRelease(smsflow_shared->ring_lock);
	return found;
}
