/*
 * late.c - see late.h.
 */
#include "worker/late.h"

#include "worker/worker.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/snapshot.h"

void
late_start(Late *late, int64 low_id)
{
	late->low_of_new = low_id;
	late->running.count = 0;
	late->next.count = 0;
}

static int
compare_xids(const void *a, const void *b)
{
	TransactionId left = *(const TransactionId *) a;
	TransactionId right = *(const TransactionId *) b;

	return left < right ? -1 : left > right;
}

static uint64
full_xid(TransactionId xid)
{
	FullTransactionId next = ReadNextFullTransactionId();
	uint32		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int64
known_low_id(const Late *late, TransactionId xid)
{
	for (int i = 0; i < late->running.count; i++)
		if (late->running.entries[i].xid == xid)
			return late->running.entries[i].low_id;
	return late->low_of_new;
}

/* What was running and is so no more: committed ones own rows to be found. */
static int
collect_committed(const Late *late, const TransactionId *xip, int xcnt, uint64 **committed, int64 *low_id)
{
	int			count = 0;

	*committed = palloc(sizeof(uint64) * Max(late->running.count, 1));
	*low_id = PG_INT64_MAX;
	for (int i = 0; i < late->running.count; i++)
	{
		const RunningTransaction *one = &late->running.entries[i];

		if (bsearch(&one->xid, xip, xcnt, sizeof(TransactionId), compare_xids) || !TransactionIdDidCommit(one->xid))
			continue;
		(*committed)[count++] = full_xid(one->xid);
		*low_id = Min(*low_id, one->low_id);
	}
	return count;
}

int
late_update(Late *late, struct SnapshotData *snapshot, uint64 **committed, int64 *low_id)
{
	int			xcnt = (int) snapshot->xcnt;
	TransactionId *xip = palloc(sizeof(TransactionId) * Max(xcnt, 1));
	int			count;

	memcpy(xip, snapshot->xip, sizeof(TransactionId) * xcnt);
	qsort(xip, xcnt, sizeof(TransactionId), compare_xids);
	count = collect_committed(late, xip, xcnt, committed, low_id);

	if (late->next.entries)
		pfree(late->next.entries);
	late->next.entries = MemoryContextAlloc(worker.long_lived, sizeof(RunningTransaction) * Max(xcnt, 1));
	late->next.count = xcnt;
	for (int i = 0; i < xcnt; i++)
		late->next.entries[i] = (RunningTransaction) {xip[i], known_low_id(late, xip[i])};
	return count;
}

int64
late_low(const Late *late, int64 high_id)
{
	int64		low = high_id;

	for (int i = 0; i < late->next.count; i++)
		low = Min(low, late->next.entries[i].low_id);
	return low;
}

void
late_commit(Late *late, int64 high_id)
{
	RunningList old = late->running;

	late->running = late->next;
	late->next = old;
	late->low_of_new = high_id;
}

Datum
late_array(const uint64 *committed, int count)
{
	Datum	   *xids = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		xids[i] = UInt64GetDatum(committed[i]);
	return PointerGetDatum(construct_array(xids, count, XID8OID, sizeof(uint64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
