/*
 * waiting.c - whose deltas are not folded yet: asked about one contact by whoever reads the profile, and about all of them, a
 * few at a time, by whoever folds.
 *
 * Folding deletes deltas, and while an old snapshot can see them their index entries stay, however many they are. So the
 * walk of the folding goes on where it stopped, and stops after so many entries, whether it found something or not.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "smsflow.h"

/* contact_id is the first column of the table, and the only one of its index. */
#define CONTACT_COLUMN 1

/* So many contacts are looked up one by one; who asks for more gets them all read at once. */
#define LOOKUPS 32

/* Index entries that one step of the walk passes at most, but for the rest of a contact: about a millisecond. */
#define ENTRIES_A_STEP 4096

/* ---- the deltas by contact ---- */

typedef struct Deltas
{
	Relation table;
	Relation index;
	TupleTableSlot *row;
	IndexScanDesc scan;
} Deltas;

static Relation
open_table(void)
{
	return table_open(get_relname_relid("profile_delta", get_namespace_oid(SMSFLOW_SCHEMA, false)), AccessShareLock);
}

/* Of contacts that compare to this one as the strategy and its function say. */
static Deltas
open_deltas(StrategyNumber strategy, RegProcedure compare, int64 contact_id)
{
	Deltas deltas = {.table = open_table()};
	ScanKeyData key;

	deltas.index = index_open(get_relname_relid("profile_delta_contact", RelationGetNamespace(deltas.table)), AccessShareLock);
	deltas.row = table_slot_create(deltas.table, NULL);
	deltas.scan = smsflow_index_beginscan(deltas.table, deltas.index, GetActiveSnapshot(), 1);
	deltas.scan->xs_want_itup = true;
	ScanKeyInit(&key, CONTACT_COLUMN, strategy, compare, Int64GetDatum(contact_id));
	index_rescan(deltas.scan, &key, 1, NULL, 0);
	return deltas;
}

static void
close_deltas(Deltas *deltas)
{
	index_endscan(deltas->scan);
	ExecDropSingleTupleTableSlot(deltas->row);
	index_close(deltas->index, AccessShareLock);
	table_close(deltas->table, AccessShareLock);
}

/* ---- for those who read ---- */

#define SH_PREFIX waiting
#define SH_ELEMENT_TYPE Waiting
#define SH_KEY_TYPE int64
#define SH_KEY contact_id
#define SH_HASH_KEY(tb, key) murmurhash32((uint32) (key) ^ (uint32) ((uint64) (key) >> 32))
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
typedef struct Waiting
{
	int64 contact_id;
	char status;
} Waiting;
#include "lib/simplehash.h"

/* What one place of one query knows; it lives as long as the query, whose snapshot it reads with. */
typedef struct Waits
{
	int lookups;
	waiting_hash *all; /* NULL until it is read */
} Waits;

static bool
look_up(int64 contact_id)
{
	Deltas deltas = open_deltas(BTEqualStrategyNumber, F_INT8EQ, contact_id);
	bool found = index_getnext_slot(deltas.scan, ForwardScanDirection, deltas.row);

	close_deltas(&deltas);
	return found;
}

static waiting_hash *
read_all(MemoryContext context)
{
	Relation table = open_table();
	TupleTableSlot *row = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	waiting_hash *all = waiting_create(context, 256, NULL);
	bool known;

	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		CHECK_FOR_INTERRUPTS();
		waiting_insert(all, DatumGetInt64(slot_getattr(row, CONTACT_COLUMN, &known)), &known);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	table_close(table, AccessShareLock);
	return all;
}

/* awaits_fold(contact_id bigint) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_awaits_fold);
Datum
smsflow_awaits_fold(PG_FUNCTION_ARGS)
{
	int64 contact_id = PG_GETARG_INT64(0);
	Waits *waits = fcinfo->flinfo->fn_extra;

	if (waits == NULL)
		waits = fcinfo->flinfo->fn_extra = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Waits));
	if (waits->all == NULL && waits->lookups++ < LOOKUPS)
		PG_RETURN_BOOL(look_up(contact_id));
	if (waits->all == NULL)
		waits->all = read_all(fcinfo->flinfo->fn_mcxt);
	PG_RETURN_BOOL(waits->all->members > 0 && waiting_lookup(waits->all, contact_id) != NULL);
}

/* ---- for whoever folds ---- */

typedef struct Walk
{
	int64 reached; /* contact of the entry read last */
	bool ended;    /* there is none after it */
	int64 found;   /* deltas that wait */
	ArrayBuildState *contacts;
} Walk;

static void
walk_on(Walk *walk, Deltas *deltas, int64 slice)
{
	bool noted = false, is_null;

	for (int passed = 0;; passed++)
	{
		int64 contact_id;

		if (index_getnext_tid(deltas->scan, ForwardScanDirection) == NULL)
		{
			walk->ended = true;
			return;
		}
		contact_id = DatumGetInt64(index_getattr(deltas->scan->xs_itup, CONTACT_COLUMN, deltas->scan->xs_itupdesc, &is_null));
		if (contact_id != walk->reached)
		{
			if (walk->found >= slice || passed >= ENTRIES_A_STEP)
				return;
			walk->reached = contact_id;
			noted = false;
		}
		if (!index_fetch_heap(deltas->scan, deltas->row))
			continue;
		walk->found++;
		if (!noted)
			walk->contacts = accumArrayResult(walk->contacts, Int64GetDatum(contact_id), false, INT8OID, CurrentMemoryContext);
		noted = true;
	}
}

/* waiting_contacts(after bigint, slice integer, OUT contact_ids bigint[], OUT reached bigint) */
PG_FUNCTION_INFO_V1(smsflow_waiting_contacts);
Datum
smsflow_waiting_contacts(PG_FUNCTION_ARGS)
{
	Deltas deltas = open_deltas(BTGreaterStrategyNumber, F_INT8GT, PG_GETARG_INT64(0));
	Walk walk = {
		.reached = PG_GETARG_INT64(0),
		.contacts = initArrayResult(INT8OID, CurrentMemoryContext, false),
	};
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	walk_on(&walk, &deltas, PG_GETARG_INT32(1));
	close_deltas(&deltas);
	values[0] = makeArrayResult(walk.contacts, CurrentMemoryContext);
	values[1] = Int64GetDatum(walk.reached);
	nulls[1] = walk.ended;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
