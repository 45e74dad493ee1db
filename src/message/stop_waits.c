/*
 * stop_waits.c - whether somebody's STOP is kept, but not obeyed yet, because a
 * transaction of the store holds the contact. Who answered 200 to it must not
 * send marketing all the same. Hardly ever does one wait, and then it is for
 * seconds: all that a snapshot shows are read once.
 */
#include "smsflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "message/gate.h"

/*
 * What a snapshot shows. Transactions that are running in one leave it as they end, and who begins later is behind its xmax
 * or moves it. What the transaction itself has written stands in none of that, and is undone with it or with a part of it.
 * So two that agree in all of these show the same.
 */
typedef struct Seen
{
	TransactionId xmin;
	TransactionId xmax;
	uint32 running;
	int32 running_inside;
	CommandId command;
	TransactionId own;
	SubTransactionId part;
} Seen;

/* The numbers whose STOP waits, in order. */
static struct
{
	bool known;
	Seen seen;
	int64 *phones;
	int count;
	int room;
} waiting;

static int
compare_phones(const void *a, const void *b)
{
	int64 left = *(const int64 *) a, right = *(const int64 *) b;

	return left < right ? -1 : left > right;
}

static void
add(int64 phone)
{
	if (waiting.count == waiting.room)
	{
		waiting.room = Max(64, 2 * waiting.room);
		waiting.phones = waiting.phones ? repalloc_huge(waiting.phones, waiting.room * sizeof(int64))
										: MemoryContextAllocHuge(TopMemoryContext, waiting.room * sizeof(int64));
	}
	waiting.phones[waiting.count++] = phone;
}

static Datum
column(HeapTuple row, Relation table, const char *name)
{
	bool isnull;

	return heap_getattr(row, get_attnum(RelationGetRelid(table), name), RelationGetDescr(table), &isnull);
}

static void
read_waiting(Snapshot snapshot)
{
	Oid schema = get_namespace_oid(SMSFLOW_SCHEMA, false);
	Relation table = table_open(get_relname_relid("inbound", schema), AccessShareLock);
	SysScanDesc scan = systable_beginscan(table, get_relname_relid("inbound_waiting", schema), true, snapshot, 0, NULL);
	HeapTuple row;

	waiting.known = false;
	waiting.count = 0;
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		char *action = TextDatumGetCString(column(row, table, "action"));

		if (strcmp(action, "opt_out") == 0 || strcmp(action, "review") == 0)
			add(DatumGetInt64(column(row, table, "phone")));
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	if (waiting.count > 0)
		qsort(waiting.phones, waiting.count, sizeof(int64), compare_phones);
	waiting.known = true;
}

bool
smsflow_stop_waits(int64 phone)
{
	Snapshot snapshot = GetActiveSnapshot();
	Seen seen = {snapshot->xmin,
				 snapshot->xmax,
				 snapshot->xcnt,
				 snapshot->subxcnt,
				 snapshot->curcid,
				 GetTopTransactionIdIfAny(),
				 GetCurrentSubTransactionId()};

	if (!waiting.known || memcmp(&waiting.seen, &seen, sizeof(Seen)) != 0)
	{
		read_waiting(snapshot);
		waiting.seen = seen;
	}
	return waiting.count > 0 && bsearch(&phone, waiting.phones, waiting.count, sizeof(int64), compare_phones) != NULL;
}
