/*
 * sent.c - messages that the profile does not count yet. A delta for each of them, with its entry in an index, was a sixth of
 * all that sending writes; so a row here stands for many contacts, all of one day, because a tally knows days only. The
 * contacts of a row are sorted, so that whoever looks for one passes most rows by their bounds.
 */
#include "segment/sent.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "append.h"
#include "message/send.h"
#include "segment/profile.h"
#include "smsflow.h"

/* A row is the least that the worker folds at one time. */
#define CONTACTS_A_ROW 64

/* So many contacts are looked for one by one; who asks for more gets all rows read at once. */
#define LOOKUPS 8

enum
{
	SENT_ID,
	SENT_AT,
	SENT_LOWEST,
	SENT_HIGHEST,
	SENT_CONTACTS
};
static const char *const sent_columns[] = {"sent_id", "sent_at", "lowest", "highest", "contact_ids"};
#define SENT_NUMBER(column) ((AttrNumber) ((column) + 1))

/* ---- for the worker ---- */

static int
compare_sent(const void *a, const void *b)
{
	const SmsflowSent *left = a, *right = b;
	int32 left_day = smsflow_tally_day(left->sent_at), right_day = smsflow_tally_day(right->sent_at);

	if (left_day != right_day)
		return left_day < right_day ? -1 : 1;
	return left->contact_id < right->contact_id ? -1 : left->contact_id > right->contact_id;
}

static void
append_sent(Appender *sent, const SmsflowSent *messages, int count)
{
	Datum contacts[CONTACTS_A_ROW];

	for (int i = 0; i < count; i++)
		contacts[i] = Int64GetDatum(messages[i].contact_id);
	append_row(sent);
	append_value(sent, SENT_ID, Int64GetDatum(smsflow_take_sent_id()));
	append_value(sent, SENT_AT, TimestampTzGetDatum(messages[0].sent_at));
	append_value(sent, SENT_LOWEST, contacts[0]);
	append_value(sent, SENT_HIGHEST, contacts[count - 1]);
	append_value(sent, SENT_CONTACTS,
				 PointerGetDatum(construct_array(contacts, count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
}

void
smsflow_note_sent(SmsflowSent *messages, int count)
{
	Appender *sent;
	int first = 0;

	if (count == 0)
		return;
	qsort(messages, count, sizeof(SmsflowSent), compare_sent);
	sent = append_begin("profile_sent", sent_columns, lengthof(sent_columns));
	for (int i = 1; i <= count; i++)
		if (i == count || i - first == CONTACTS_A_ROW ||
			smsflow_tally_day(messages[i].sent_at) != smsflow_tally_day(messages[first].sent_at))
		{
			append_sent(sent, &messages[first], i - first);
			first = i;
		}
	append_end(sent);
}

/* ---- for those who read ---- */

/* What one place of one query knows; it lives as long as the query, whose snapshot it reads with. */
typedef struct Uncounted
{
	int lookups;
	bool read_all;
	SmsflowSent *all; /* by contact, once all are read */
	int64 count, room;
	MemoryContext context;
} Uncounted;

typedef struct Rows
{
	Relation table;
	TupleTableSlot *row;
	TableScanDesc scan;
} Rows;

static Rows
open_rows(void)
{
	Rows rows = {.table =
					 table_open(get_relname_relid("profile_sent", get_namespace_oid(SMSFLOW_SCHEMA, false)), AccessShareLock)};

	rows.row = table_slot_create(rows.table, NULL);
	rows.scan = table_beginscan(rows.table, GetActiveSnapshot(), 0, NULL);
	return rows;
}

static bool
next_row(Rows *rows)
{
	CHECK_FOR_INTERRUPTS();
	return table_scan_getnextslot(rows->scan, ForwardScanDirection, rows->row);
}

static void
close_rows(Rows *rows)
{
	table_endscan(rows->scan);
	ExecDropSingleTupleTableSlot(rows->row);
	table_close(rows->table, AccessShareLock);
}

static int64
get_int64(Rows *rows, int column)
{
	bool is_null;

	return DatumGetInt64(slot_getattr(rows->row, SENT_NUMBER(column), &is_null));
}

/* The contacts of the row: *count of them, in *array, which the caller frees. */
static int64 *
get_contacts(Rows *rows, ArrayType **array, int *count)
{
	bool is_null;

	*array = DatumGetArrayTypePCopy(slot_getattr(rows->row, SENT_NUMBER(SENT_CONTACTS), &is_null));
	if (ARR_NDIM(*array) > 1 || ARR_HASNULL(*array) || ARR_ELEMTYPE(*array) != INT8OID)
		elog(ERROR, "contacts of a row of profile_sent are a plain array of bigint");
	*count = ArrayGetNItems(ARR_NDIM(*array), ARR_DIMS(*array));
	return (int64 *) ARR_DATA_PTR(*array);
}

/* Messages to a contact after a day that wait to be counted. */
static int64
look_up(int64 contact_id, int32 after)
{
	Rows rows = open_rows();
	int64 found = 0;

	while (next_row(&rows))
	{
		ArrayType *array;
		int64 *contacts;
		int count;

		if (get_int64(&rows, SENT_LOWEST) > contact_id || get_int64(&rows, SENT_HIGHEST) < contact_id ||
			smsflow_tally_day(get_int64(&rows, SENT_AT)) <= after)
			continue;
		contacts = get_contacts(&rows, &array, &count);
		for (int i = 0; i < count; i++)
			found += contacts[i] == contact_id;
		pfree(array);
	}
	close_rows(&rows);
	return found;
}

static int
compare_contacts(const void *a, const void *b)
{
	const SmsflowSent *left = a, *right = b;

	return left->contact_id < right->contact_id ? -1 : left->contact_id > right->contact_id;
}

static void
make_room(Uncounted *uncounted, int count)
{
	if (uncounted->count + count <= uncounted->room)
		return;
	uncounted->room = 2 * (uncounted->room + count);
	if (uncounted->all == NULL)
		uncounted->all = MemoryContextAllocHuge(uncounted->context, uncounted->room * sizeof(SmsflowSent));
	else
		uncounted->all = repalloc_huge(uncounted->all, uncounted->room * sizeof(SmsflowSent));
}

static void
read_all(Uncounted *uncounted)
{
	Rows rows = open_rows();

	while (next_row(&rows))
	{
		TimestampTz sent_at = get_int64(&rows, SENT_AT);
		ArrayType *array;
		int count;
		int64 *contacts = get_contacts(&rows, &array, &count);

		make_room(uncounted, count);
		for (int i = 0; i < count; i++)
			uncounted->all[uncounted->count++] = (SmsflowSent){contacts[i], sent_at};
		pfree(array);
	}
	close_rows(&rows);
	if (uncounted->count > 0)
		qsort(uncounted->all, uncounted->count, sizeof(SmsflowSent), compare_contacts);
	uncounted->read_all = true;
}

static int64
find(const Uncounted *uncounted, int64 contact_id, int32 after)
{
	int64 low = 0, high = uncounted->count, found = 0;

	while (low < high)
	{
		int64 middle = low + (high - low) / 2;

		if (uncounted->all[middle].contact_id < contact_id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < uncounted->count && uncounted->all[low].contact_id == contact_id; low++)
		found += smsflow_tally_day(uncounted->all[low].sent_at) > after;
	return found;
}

static int64
count_waiting(FmgrInfo *place, int64 contact_id, int32 after)
{
	Uncounted *uncounted = place->fn_extra;

	if (uncounted == NULL)
	{
		uncounted = place->fn_extra = MemoryContextAllocZero(place->fn_mcxt, sizeof(Uncounted));
		uncounted->context = place->fn_mcxt;
	}
	if (!uncounted->read_all && uncounted->lookups++ < LOOKUPS)
		return look_up(contact_id, after);
	if (!uncounted->read_all)
		read_all(uncounted);
	return uncounted->count > 0 ? find(uncounted, contact_id, after) : 0;
}

/* messages_last(contact_id bigint, tally integer[], days integer) returns bigint */
PG_FUNCTION_INFO_V1(smsflow_messages_last);
Datum
smsflow_messages_last(PG_FUNCTION_ARGS)
{
	int32 after;
	int64 counted;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_INT64(0);
	after = smsflow_tally_day(GetCurrentTransactionStartTimestamp()) - PG_GETARG_INT32(2);
	counted = PG_ARGISNULL(1) ? 0 : smsflow_tally_after(PG_GETARG_ARRAYTYPE_P(1), after);
	PG_RETURN_INT64(counted + count_waiting(fcinfo->flinfo, PG_GETARG_INT64(0), after));
}
