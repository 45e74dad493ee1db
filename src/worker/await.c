/*
 * await.c - a COMMIT that returns when nothing for a contact is on its way. The
 * opt-out must be committed before it can end anything, so that it is waited for
 * afterwards, when the locks are released: whoever waits keeps nobody waiting,
 * the worker least of all. As with synchronous replication, a cancel ends the
 * wait with a WARNING, since what is committed cannot be undone.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "errcodes.h"

#define LONGEST_WAIT (30 * USECS_PER_SEC)
#define LOOK_MILLISECONDS 100
#define NAP_MILLISECONDS 5

/* Contacts of the present transaction. */
static int64 *contacts = NULL;
static int count = 0;
static int room = 0;
static bool committed = false;

/* ---- who waits ---- */

/* The place of this backend, NULL when all are taken. */
static SmsflowAwaited *
take_place(SmsflowSlot *slot, int64 contact_id)
{
	SmsflowAwaited *place = NULL;

	SpinLockAcquire(&slot->mutex);
	for (int i = 0; i < SMSFLOW_AWAITED && place == NULL; i++)
		if (slot->awaited[i].latch == NULL)
		{
			place = &slot->awaited[i];
			*place = (SmsflowAwaited){.contact_id = contact_id, .latch = MyLatch};
		}
	SpinLockRelease(&slot->mutex);
	if (place)
		pg_atomic_fetch_add_u32(&slot->awaiting, 1);
	return place;
}

static void
leave_place(SmsflowSlot *slot, SmsflowAwaited *place)
{
	SpinLockAcquire(&slot->mutex);
	place->latch = NULL;
	SpinLockRelease(&slot->mutex);
	pg_atomic_fetch_sub_u32(&slot->awaiting, 1);
}

/* Also when there is no worker, which then has nothing in hand. */
static bool
is_over(SmsflowSlot *slot, const SmsflowAwaited *place)
{
	bool over;

	SpinLockAcquire(&slot->mutex);
	over = slot->latch == NULL || (place && place->done);
	SpinLockRelease(&slot->mutex);
	return over;
}

static bool
is_cancelled(void)
{
	return ProcDiePending || QueryCancelPending;
}

static void
nap(long milliseconds)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static bool
await(SmsflowSlot *slot, int64 contact_id, TimestampTz deadline)
{
	SmsflowAwaited *place = NULL;
	bool over = false;

	while (!is_cancelled() && GetCurrentTimestamp() < deadline && !(over = is_over(slot, place)))
	{
		if (place == NULL && (place = take_place(slot, contact_id)) != NULL)
		{
			pg_atomic_fetch_or_u32(&slot->news, SMSFLOW_NEWS_AWAITED);
			smsflow_wake_worker(slot);
		}
		nap(place ? LOOK_MILLISECONDS : NAP_MILLISECONDS);
	}
	if (place)
		leave_place(slot, place);
	return over;
}

/* Of all workers of the database. */
static void
await_all(void)
{
	TimestampTz deadline = GetCurrentTimestamp() + LONGEST_WAIT;
	SmsflowSlot *slot;
	bool over = true;

	for (int at = 0; (slot = smsflow_next_slot(MyDatabaseId, &at)) != NULL;)
		for (int i = 0; i < count && over; i++)
			over = await(slot, contacts[i], deadline);

	/* Other reasons to wake may have come meanwhile. */
	SetLatch(MyLatch);
	if (over)
		return;
	QueryCancelPending = false;
	ereport(WARNING,
			(errmsg("a message may still be on its way"),
			 errdetail(
				 "The opt-out has been committed, and nothing more will be sent, but the end of what had begun was not awaited."),
			 errhint("smsflow.wait_for_opt_out() waits for it.")));
}

/* ---- the transaction ---- */

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && count > 0)
		ereport(ERROR,
				(errcode(SMSFLOW_ERRCODE_WRONG_STATE), errmsg("a transaction that waits for its opt-out cannot be prepared"),
				 errhint("Call smsflow.opt_out() without wait, and smsflow.wait_for_opt_out() after the commit.")));
	committed = event == XACT_EVENT_COMMIT;
	if (event == XACT_EVENT_ABORT)
		count = 0;
}

/* Called for every resource owner of the transaction: the first one does it. */
static void
at_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level || !committed || count == 0)
		return;
	await_all();
	count = 0;
}

void
smsflow_await_after_commit(int64 contact_id)
{
	if (room == 0)
	{
		room = 16;
		contacts = MemoryContextAlloc(TopMemoryContext, sizeof(int64) * room);
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterResourceReleaseCallback(at_release, NULL);
	}
	if (count == room)
	{
		contacts = repalloc(contacts, sizeof(int64) * room * 2);
		room *= 2;
	}
	contacts[count++] = contact_id;
}

/* ---- the worker ---- */

static bool
has_in_hand(int64 contact_id)
{
	HASH_SEQ_STATUS scan;
	JobEntry *entry;

	hash_seq_init(&scan, worker.jobs);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->job->contact_id == contact_id)
		{
			hash_seq_term(&scan);
			return true;
		}
	return false;
}

void
tell_awaiting(void)
{
	SmsflowSlot *slot = worker.slot;

	if (pg_atomic_read_u32(&slot->awaiting) == 0)
		return;
	for (int i = 0; i < SMSFLOW_AWAITED; i++)
	{
		SmsflowAwaited *place = &slot->awaited[i];
		SmsflowAwaited awaited;
		Latch *latch = NULL;

		SpinLockAcquire(&slot->mutex);
		awaited = *place;
		SpinLockRelease(&slot->mutex);
		if (awaited.latch == NULL || awaited.done || has_in_hand(awaited.contact_id))
			continue;

		/* It may have left meanwhile, and somebody else may have come: only what was looked for is told. */
		SpinLockAcquire(&slot->mutex);
		if (place->latch == awaited.latch && place->contact_id == awaited.contact_id)
		{
			place->done = true;
			latch = place->latch;
		}
		SpinLockRelease(&slot->mutex);
		if (latch)
			SetLatch(latch);
	}
}
