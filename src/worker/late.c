/*
 * late.c - see late.h.
 */
#include "worker/late.h"

#include "worker/worker.h"

#include "access/transam.h"
#include "access/xact.h"
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
	uint32 epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch, xid));
}

static int64
known_low_id(const Late *late, TransactionId xid)
{
	const RunningTransaction *known = late->running.count == 0 ? NULL
															   : bsearch(&xid, late->running.entries, late->running.count,
																		 sizeof(RunningTransaction), compare_xids);

	return known ? known->low_id : late->low_of_new;
}

/* What was running and is so no more: committed ones own rows to be found. */
static int
collect_committed(const Late *late, const TransactionId *xip, int xcnt, uint64 **committed, int64 *low_id)
{
	int count = 0;

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

/*
 * Transactions that may be running, sorted. A snapshot lists those below its
 * xmax, which is only one more than the newest that has ended: younger ones may
 * be running already, and hold ids below those that are visible. The next
 * transaction id is read after the snapshot was taken, so whatever is not in
 * this list takes ids above all that the snapshot shows. So does the reader's own
 * transaction, which takes none before it has read.
 */
static TransactionId *
list_running(const SnapshotData *snapshot, int *count)
{
	TransactionId next = XidFromFullTransactionId(ReadNextFullTransactionId());
	TransactionId own = GetTopTransactionIdIfAny();
	TransactionId *xids = palloc(sizeof(TransactionId) * (snapshot->xcnt + (next - snapshot->xmax) + 1));

	*count = (int) snapshot->xcnt;
	if (snapshot->xcnt > 0)
		memcpy(xids, snapshot->xip, sizeof(TransactionId) * snapshot->xcnt);
	for (TransactionId xid = snapshot->xmax; xid != next; xid++)
		if (TransactionIdIsNormal(xid) && xid != own)
			xids[(*count)++] = xid;
	qsort(xids, *count, sizeof(TransactionId), compare_xids);
	return xids;
}

int
late_update(Late *late, struct SnapshotData *snapshot, uint64 **committed, int64 *low_id)
{
	int running;
	TransactionId *xids = list_running(snapshot, &running);
	int count = collect_committed(late, xids, running, committed, low_id);

	if (late->next.entries)
		pfree(late->next.entries);
	late->next.entries = MemoryContextAlloc(worker.long_lived, sizeof(RunningTransaction) * Max(running, 1));
	late->next.count = running;
	for (int i = 0; i < running; i++)
		late->next.entries[i] = (RunningTransaction){xids[i], known_low_id(late, xids[i])};
	return count;
}

int64
late_low(const Late *late, int64 high_id)
{
	int64 low = high_id;

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
	Datum *xids = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		xids[i] = UInt64GetDatum(committed[i]);
	return PointerGetDatum(construct_array(xids, count, XID8OID, sizeof(uint64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
