/*
 * guarded.c - see guarded.h.
 */
#include "segment/guarded.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

static volatile sig_atomic_t expired = false;

/* ---- the limit of time ---- */

/* Runs in the signal handler. */
static void
on_expiry(void)
{
	expired = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static TimeoutId
limit_id(void)
{
	static TimeoutId id = MAX_TIMEOUTS;

	if (id == MAX_TIMEOUTS)
		id = RegisterTimeout(USER_TIMEOUT, on_expiry);
	return id;
}

static void
start_limit(int limit_ms)
{
	expired = false;
	if (limit_ms != GUARDED_UNLIMITED)
		enable_timeout_after(limit_id(), limit_ms);
}

/* A cancel that came too late for the work must not meet what follows. */
static void
end_limit(int limit_ms)
{
	if (limit_ms != GUARDED_UNLIMITED)
		disable_timeout(limit_id(), false);
	if (expired)
		QueryCancelPending = false;
}

/* ---- the subtransaction ---- */

static ErrorData *
take_error(MemoryContext context, int limit_ms)
{
	ErrorData *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (expired && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
	{
		error->sqlerrcode = ERRCODE_STATEMENT_TOO_COMPLEX;
		error->message = psprintf("it ran longer than %d ms", limit_ms);
	}
	return error;
}

ErrorData *
smsflow_guarded(void (*work)(void *), void *argument, int limit_ms)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	start_limit(limit_ms);
	PG_TRY();
	{
		work(argument);
		end_limit(limit_ms);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		end_limit(limit_ms);
		error = take_error(context, limit_ms);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}
