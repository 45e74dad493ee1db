/*
 * transaction.c - the worker's transactions: short, one purpose each, never
 * open across HTTP.
 */
#include "worker/worker.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* From the beginning of a commit until the next transaction. */
static bool committing = false;

void
worker_outside(void)
{
	static ResourceOwner owner = NULL;

	if (owner == NULL)
		owner = ResourceOwnerCreate(NULL, "smsflow worker");
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(worker.scratch);
}

/*
 * Messages in hand belong to tables that are gone when the extension was dropped
 * or made anew. Their requests cannot be called back, and their ends must not be
 * written into other tables of the same names: the process ends, and the next
 * one starts from what is there.
 */
static void
leave_if_dropped(void)
{
	if (!OidIsValid(worker.schema) || get_namespace_oid(SMSFLOW_SCHEMA, true) == worker.schema)
		return;
	ereport(LOG, (errmsg("extension smsflow was dropped or made anew, restarting the worker")));
	proc_exit(1);
}

void
worker_begin(const char *activity, bool stable)
{
	committing = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	leave_if_dropped();
	if (stable)
		XactIsoLevel = XACT_REPEATABLE_READ;
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);

	/* What a step makes outlives its transaction, until the turn of the loop. */
	MemoryContextSwitchTo(worker.scratch);
}

void
worker_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	committing = true;
	CommitTransactionCommand();

	/* A commit that no standby confirmed, because the server stops, must not be acted on. */
	CHECK_FOR_INTERRUPTS();
	worker_outside();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* ---- one at a time ---- */

/* Class of our advisory lock, which those of SQL (1 and 2) never meet. */
#define ALONE_LOCK 3

static bool alone = false;

static LOCKTAG
alone_tag(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, ALONE_LOCK);
	return tag;
}

/*
 * Taken in a transaction before, so that the snapshot and the time of the one
 * to come are later than whatever others have done.
 */
static void
wait_for_others(void)
{
	LOCKTAG tag = alone_tag();

	if (smsflow_workers == 1 || alone)
		return;
	committing = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	LockAcquire(&tag, ExclusiveLock, true, false);
	alone = true;
	CommitTransactionCommand();
	worker_outside();
}

static void
let_others(void)
{
	LOCKTAG tag = alone_tag();

	if (alone)
		LockRelease(&tag, ExclusiveLock, true);
	alone = false;
}

void
worker_begin_alone(const char *activity, bool stable)
{
	wait_for_others();
	worker_begin(activity, stable);
}

/* ---- errors ---- */

static void
remember_error(void)
{
	ErrorData *error;

	MemoryContextSwitchTo(worker.scratch);
	error = CopyErrorData();
	worker.locked_out = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	SpinLockAcquire(&worker.slot->mutex);
	strlcpy(worker.slot->worker.last_error, error->message ? error->message : "", sizeof(worker.slot->worker.last_error));
	worker.slot->worker.last_error_at = worker.clock->now();
	SpinLockRelease(&worker.slot->mutex);
	FreeErrorData(error);
}

bool
worker_try(void (*step)(void *arg), void *arg)
{
	int known = 0;

	return worker_try_again(step, arg, &known);
}

bool
worker_try_again(void (*step)(void *arg), void *arg, int *known)
{
	volatile bool done = false;

	PG_TRY();
	{
		step(arg);
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		if (geterrcode() != *known)
			EmitErrorReport();
		*known = geterrcode();
		remember_error();
		FlushErrorState();
		AbortCurrentTransaction();
		worker_outside();
		worker.failed = true;
		pgstat_report_activity(STATE_IDLE, NULL);
		RESUME_INTERRUPTS();

		/*
		 * Whether a failed commit is durable is not known, and what fails after
		 * it has not been noted in memory. The next worker finds out from the tables.
		 */
		if (committing)
			proc_exit(1);
	}
	PG_END_TRY();
	let_others();
	return done;
}
