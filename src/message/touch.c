/*
 * touch.c - reading whom messages reached: the touches of one contact, newest
 * first, from the rows that are its own and from the runs of its span.
 */
#include "message/touch.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

typedef struct Source
{
	Relation table;
	Relation index;
	SysScanDesc scan;
	HeapTuple row;
	bool has_touch;
	SmsflowTouch touch;
} Source;

struct SmsflowTouches
{
	int64 contact_id;
	Source own;
	Source runs;
	int next; /* of the run, behind the touch */
	Source *given;
};

/* Rows of a key, in the order of their instants; both tables begin with these two columns. */
static void
open_source(Source *source, Oid table, Oid index, int64 key, TimestampTz after, TimestampTz until)
{
	ScanKeyData keys[3];

	source->table = table_open(table, AccessShareLock);
	source->index = index_open(index, AccessShareLock);
	ScanKeyInit(&keys[0], TOUCH_NUMBER(TOUCH_CONTACT), BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key));
	ScanKeyInit(&keys[1], TOUCH_NUMBER(TOUCH_SENT), BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(after));
	ScanKeyInit(&keys[2], TOUCH_NUMBER(TOUCH_SENT), BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(until));
	source->scan = systable_beginscan_ordered(source->table, source->index, GetActiveSnapshot(), lengthof(keys), keys);
}

static void
close_source(Source *source)
{
	systable_endscan_ordered(source->scan);
	index_close(source->index, AccessShareLock);
	table_close(source->table, AccessShareLock);
}

static bool
next_row(Source *source)
{
	source->row = systable_getnext_ordered(source->scan, BackwardScanDirection);
	return HeapTupleIsValid(source->row);
}

static Datum
column(const Source *source, int number)
{
	bool isnull;

	return heap_getattr(source->row, TOUCH_NUMBER(number), RelationGetDescr(source->table), &isnull);
}

static void
next_own(Source *own)
{
	own->has_touch = next_row(own);
	if (own->has_touch)
		own->touch = (SmsflowTouch){
			.sent_at = DatumGetTimestampTz(column(own, TOUCH_SENT)),
			.message_id = DatumGetInt64(column(own, TOUCH_MESSAGE)),
			.purpose = DatumGetObjectId(column(own, TOUCH_PURPOSE)),
			.subject = column(own, TOUCH_SUBJECT),
			.counted = DatumGetBool(column(own, TOUCH_COUNTED)),
			.wording = DatumGetBool(column(own, TOUCH_WORDING)),
		};
}

/* ---- runs ---- */

static ArrayType *
array(const Source *runs, int number, Oid of)
{
	ArrayType *found = DatumGetArrayTypeP(column(runs, number));

	if (ARR_NDIM(found) > 1 || ARR_HASNULL(found) || ARR_ELEMTYPE(found) != of)
		elog(ERROR, "places and messages of a run are plain arrays");
	return found;
}

static void
leave(const Source *runs, int number, ArrayType *array)
{
	if ((Pointer) array != DatumGetPointer(column(runs, number)))
		pfree(array);
}

/* The next place of the contact in the row; false: there is none. */
static bool
find_place(SmsflowTouches *touches)
{
	ArrayType *contacts = array(&touches->runs, RUN_PLACES, INT2OID);
	const int16 *places = (const int16 *) ARR_DATA_PTR(contacts);
	int count = ArrayGetNItems(ARR_NDIM(contacts), ARR_DIMS(contacts));
	bool found = false;

	while (!found && touches->next < count)
		found = places[touches->next++] == CONTACT_PLACE(touches->contact_id);
	leave(&touches->runs, RUN_PLACES, contacts);
	return found;
}

static int64
message_at(const Source *runs, int number)
{
	ArrayType *messages = array(runs, RUN_MESSAGES, INT8OID);
	int64 found = 0;

	if (number < ArrayGetNItems(ARR_NDIM(messages), ARR_DIMS(messages)))
		found = ((const int64 *) ARR_DATA_PTR(messages))[number];
	leave(runs, RUN_MESSAGES, messages);
	return found;
}

static void
next_of_runs(SmsflowTouches *touches)
{
	Source *runs = &touches->runs;

	while (runs->row == NULL || !find_place(touches))
	{
		touches->next = 0;
		runs->has_touch = next_row(runs);
		if (!runs->has_touch)
			return;
	}
	runs->touch = (SmsflowTouch){
		.sent_at = DatumGetTimestampTz(column(runs, RUN_SENT)),
		.message_id = message_at(runs, touches->next - 1),
		.purpose = DatumGetObjectId(column(runs, RUN_PURPOSE)),
		.subject = column(runs, RUN_SUBJECT),
		.counted = DatumGetBool(column(runs, RUN_COUNTED)),
		.wording = DatumGetBool(column(runs, RUN_WORDING)),
	};
}

/* ---- both ---- */

SmsflowTouches *
smsflow_touches_begin(const SmsflowPolicy *policy, int64 contact_id, TimestampTz after, TimestampTz until)
{
	SmsflowTouches *touches = palloc0(sizeof(SmsflowTouches));

	touches->contact_id = contact_id;
	open_source(&touches->own, policy->touch_relid, policy->contact_index, contact_id, after, until);
	open_source(&touches->runs, policy->run_relid, policy->run_index, CONTACT_SPAN(contact_id), after, until);
	next_own(&touches->own);
	next_of_runs(touches);
	return touches;
}

const SmsflowTouch *
smsflow_touches_next(SmsflowTouches *touches)
{
	Source *own = &touches->own;
	Source *runs = &touches->runs;

	if (touches->given == own)
		next_own(own);
	else if (touches->given == runs)
		next_of_runs(touches);
	if (!own->has_touch && !runs->has_touch)
		return NULL;
	touches->given = !runs->has_touch || (own->has_touch && own->touch.sent_at > runs->touch.sent_at) ? own : runs;
	return &touches->given->touch;
}

void
smsflow_touches_end(SmsflowTouches *touches)
{
	close_source(&touches->runs);
	close_source(&touches->own);
	pfree(touches);
}
