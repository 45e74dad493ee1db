/*
 * profile.c - noting whose facts change, and counts by day. Whose facts wait to be folded is in waiting.c.
 *
 * The trigger runs in sign-ups and checkouts, so it appends its rows without a statement (append.h): it takes no lock that
 * another transaction may want, and costs a few microseconds.
 */
#include "segment/profile.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "append.h"
#include "core/tally.h"
#include "smsflow.h"

enum
{
	DELTA_CONTACT,
	DELTA_KIND,
	DELTA_AT,
	DELTA_EVENT
};
static const char *const delta_columns[] = {"contact_id", "kind", "at", "event_id"};

/* The event is 0 for none. */
static void
append_delta(Appender *deltas, int64 contact_id, const char *kind, TimestampTz at, int64 event_id)
{
	append_row(deltas);
	append_value(deltas, DELTA_CONTACT, Int64GetDatum(contact_id));
	append_text(deltas, DELTA_KIND, kind);
	append_value(deltas, DELTA_AT, TimestampTzGetDatum(at));
	append_id(deltas, DELTA_EVENT, event_id);
}

/* ---- the trigger ---- */

static Datum
column_of(TupleTableSlot *row, const char *name, bool *is_null)
{
	int number = SPI_fnumber(row->tts_tupleDescriptor, name);

	if (number <= 0)
		elog(ERROR, "column \"%s\" is missing", name);
	return slot_getattr(row, number, is_null);
}

/* Of an event, whether it says something about a person that the profile keeps. */
static bool
is_fact(TupleTableSlot *row)
{
	static const char *const kinds[] = {"order", "cart", "cart_emptied", "viewed"};
	bool is_null;
	char *kind = TextDatumGetCString(column_of(row, "kind", &is_null));

	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

/* A row that a restored dump brings has the transaction id of long ago; what it says is in the restored facts. */
static bool
is_new(TupleTableSlot *row)
{
	bool is_null;
	Datum xid = column_of(row, "xid", &is_null);

	return !is_null && DatumGetUInt64(xid) == U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
}

/* What a statement or a row of a table notes; deltas are opened with the first. */
typedef struct Noted
{
	bool events;   /* the table is smsflow.event, else smsflow.contact */
	bool inserted; /* else updated */
	Appender *deltas;
} Noted;

static void
note_row(Noted *noted, TupleTableSlot *row)
{
	bool is_null;
	Datum contact_id = column_of(row, "contact_id", &is_null);
	int64 event_id = 0;

	if (is_null)
		return;
	if (noted->events)
	{
		if (!is_fact(row) || (noted->inserted && !is_new(row)))
			return;
		event_id = DatumGetInt64(column_of(row, "event_id", &is_null));
	}
	if (noted->deltas == NULL)
		noted->deltas = append_begin("profile_delta", delta_columns, lengthof(delta_columns));
	append_delta(noted->deltas, DatumGetInt64(contact_id), noted->events ? "event" : "contact", GetCurrentTimestamp(), event_id);
}

static void
note_statement(Noted *noted, const TriggerData *trigger)
{
	TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, row))
		note_row(noted, row);
	ExecDropSingleTupleTableSlot(row);
}

/* note_profile() returns trigger */
PG_FUNCTION_INFO_V1(smsflow_note_profile);
Datum
smsflow_note_profile(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	Noted noted = {0};

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "note_profile() is a trigger");
	noted.events = strcmp(RelationGetRelationName(trigger->tg_relation), "event") == 0;
	noted.inserted = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event))
		note_statement(&noted, trigger);
	else
		note_row(&noted, trigger->tg_newslot);
	if (noted.deltas)
		append_end(noted.deltas);
	PG_RETURN_POINTER(NULL);
}

/* ---- counts by day ---- */

int32
smsflow_tally_day(TimestampTz at)
{
	if (TIMESTAMP_NOT_FINITE(at) || at < 0 || at / USECS_PER_DAY > PG_INT32_MAX)
		return -1;
	return (int32) (at / USECS_PER_DAY);
}

/* elements returns how many integers a tally holds, and sets *tally to them. */
static size_t
elements(ArrayType *array, int32 **tally)
{
	if (ARR_NDIM(array) > 1 || ARR_HASNULL(array) || ARR_ELEMTYPE(array) != INT4OID)
		elog(ERROR, "a tally is a plain array of integers");
	*tally = (int32 *) ARR_DATA_PTR(array);
	return Min((size_t) ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)), SMSFLOW_TALLY_DAYS);
}

/* tally_add(tally integer[], instants timestamptz[]) returns integer[] */
PG_FUNCTION_INFO_V1(smsflow_tally_add_sql);
Datum
smsflow_tally_add_sql(PG_FUNCTION_ARGS)
{
	int32 tally[SMSFLOW_TALLY_DAYS];
	Datum result[SMSFLOW_TALLY_DAYS];
	size_t len = 0;
	Datum *instants = NULL;
	bool *nulls = NULL;
	int count = 0;

	if (!PG_ARGISNULL(0))
	{
		int32 *kept;

		len = elements(PG_GETARG_ARRAYTYPE_P(0), &kept);
		memcpy(tally, kept, len * sizeof(int32));
	}
	if (!PG_ARGISNULL(1))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
						  &instants, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			len = smsflow_tally_add(tally, len, smsflow_tally_day(DatumGetTimestampTz(instants[i])));
	for (size_t i = 0; i < len; i++)
		result[i] = Int32GetDatum(tally[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, (int) len, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

int64
smsflow_tally_after(ArrayType *tally, int32 day)
{
	int32 *days;
	size_t len = elements(tally, &days);

	return smsflow_tally_since(days, len, day);
}

/* tally_last(tally integer[], days integer) returns bigint */
PG_FUNCTION_INFO_V1(smsflow_tally_last_sql);
Datum
smsflow_tally_last_sql(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(smsflow_tally_after(PG_GETARG_ARRAYTYPE_P(0),
										smsflow_tally_day(GetCurrentTransactionStartTimestamp()) - PG_GETARG_INT32(1)));
}
