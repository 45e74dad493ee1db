/*
 * append.c - appending the keys of changed carts to smsflow.event, for the
 * least that a checkout can pay: one row for a batch of carts, no SQL. And the
 * other end, where the worker reads these carts.
 */
#include "../compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "../contact/contact.h"
#include "../errcodes.h"
#include "../message/send.h"
#include "../segment/segment.h"
#include "../smsflow.h"
#include "event.h"
#include "watch.h"

/* Columns of smsflow.event, from 0. */
enum
{
	EVENT_ID,
	EVENT_XID,
	EVENT_OCCURRED_AT,
	EVENT_CONTACT_ID,
	EVENT_BRAND_ID,
	EVENT_WATCH_ID,
	EVENT_KIND,
	EVENT_REF,
	EVENT_PHONE,
	EVENT_EXTERNAL_ID,
	EVENT_AMOUNT,
	EVENT_CURRENCY,
	EVENT_DATA,
	EVENT_KEYS,
	EVENT_COLUMNS
};

PG_FUNCTION_INFO_V1(smsflow_read_watched);

static void
fill_slot(TupleTableSlot *slot, const SmsflowWatch *watch, Datum *keys, int count)
{
	JsonbValue empty = {.type = jbvObject};

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	for (int i = 0; i < EVENT_COLUMNS; i++)
		slot->tts_isnull[i] = i == EVENT_CONTACT_ID || (i >= EVENT_REF && i <= EVENT_CURRENCY);
	slot->tts_values[EVENT_ID] = Int64GetDatum(smsflow_take_event_id());
	slot->tts_values[EVENT_XID] = UInt64GetDatum(U64FromFullTransactionId(GetTopFullTransactionId()));
	slot->tts_values[EVENT_OCCURRED_AT] = TimestampTzGetDatum(GetCurrentTimestamp());
	slot->tts_values[EVENT_BRAND_ID] = Int32GetDatum(watch->brand_id);
	slot->tts_values[EVENT_WATCH_ID] = Int32GetDatum(watch->watch_id);
	slot->tts_values[EVENT_KIND] = CStringGetTextDatum("rows");
	slot->tts_values[EVENT_DATA] = JsonbPGetDatum(JsonbValueToJsonb(&empty));
	slot->tts_values[EVENT_KEYS] = PointerGetDatum(construct_array(keys, count, TEXTOID, -1, false, TYPALIGN_INT));
	ExecStoreVirtualTuple(slot);
}

static void
insert_row(Relation event, const SmsflowWatch *watch, Datum *keys, int count)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(event, &estate->es_tupleTable);

	InitResultRelInfo(target, event, 0, NULL, 0);
	ExecOpenIndices(target, false);
	fill_slot(slot, watch, keys, count);
	ExecSimpleRelationInsert(target, estate, slot);
	ExecCloseIndices(target);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
}

void
smsflow_append_keys(const SmsflowWatch *watch, Datum *keys, int count)
{
	Oid schema = get_namespace_oid(SMSFLOW_SCHEMA, true);
	Oid table = OidIsValid(schema) ? get_relname_relid("event", schema) : InvalidOid;
	Relation event;

	if (count == 0 || !OidIsValid(table))
		return;
	event = table_open(table, RowExclusiveLock);
	insert_row(event, watch, keys, count);
	table_close(event, NoLock);
	smsflow_note_event();
}

/* ---- items of carts in a table of their own ---- */

/* The column of an item that names its cart. */
static int
items_column(const TriggerData *trigger)
{
	const char *name = trigger->tg_trigger->tgargs[2];
	int number = SPI_fnumber(RelationGetDescr(trigger->tg_relation), name);

	if (number <= 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_MAPPING), errmsg("watched column \"%s\" does not exist any more", name)));
	return number;
}

/* A statement often changes several items of one cart in a row: its key is kept once. */
void
smsflow_record_items(void *argument)
{
	TriggerData *trigger = argument;
	TupleDesc columns = RelationGetDescr(trigger->tg_relation);
	Tuplestorestate *rows = trigger->tg_newtable != NULL ? trigger->tg_newtable : trigger->tg_oldtable;
	SmsflowWatch watch = {.watch_id = pg_strtoint32(trigger->tg_trigger->tgargs[0]),
						  .brand_id = pg_strtoint32(trigger->tg_trigger->tgargs[1])};
	TupleTableSlot *row = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
	int number = items_column(trigger);
	Datum keys[SMSFLOW_MAX_KEYS];
	const char *last = "";
	int count = 0;
	Oid output;
	bool is_varlena;

	getTypeOutputInfo(TupleDescAttr(columns, number - 1)->atttypid, &output, &is_varlena);
	while (tuplestore_gettupleslot(rows, true, false, row))
	{
		const char *key =
			slot_attisnull(row, number) ? last : OidOutputFunctionCall(output, slot_getattr(row, number, &(bool){false}));

		if (strcmp(key, last) == 0)
			continue;
		keys[count++] = CStringGetTextDatum(key);
		last = key;
		if (count == SMSFLOW_MAX_KEYS)
		{
			smsflow_append_keys(&watch, keys, count);
			count = 0;
		}
	}
	smsflow_append_keys(&watch, keys, count);
	ExecDropSingleTupleTableSlot(row);
}

static SmsflowStatement find_emptied =
	{.sql = "SELECT r.ref, r.phone, r.external_id FROM pg_catalog.jsonb_to_recordset(smsflow.read_watched($1, ARRAY[$2]))"
			" AS r (ref text, phone text, external_id text, open boolean)"
			" WHERE NOT r.open AND coalesce(r.phone, r.external_id) IS NOT NULL",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

/* Several items of one cart are deleted in a row, and none of them between two of these calls: one look says it for all. */
static bool
was_just_seen(int32 watch_id, const char *key)
{
	static TransactionId transaction;
	static CommandId command;
	static int32 last_watch;
	static char last_key[64];
	bool seen = transaction == GetTopTransactionId() && command == GetCurrentCommandId(false) && last_watch == watch_id &&
				strncmp(last_key, key, sizeof(last_key)) == 0;

	transaction = GetTopTransactionId();
	command = GetCurrentCommandId(false);
	last_watch = watch_id;
	strlcpy(last_key, key, sizeof(last_key));
	return seen && strlen(key) < sizeof(last_key) - 1;
}

static void
append_emptied(const char *key, int32 watch_id, int32 brand_id)
{
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(watch_id)), smsflow_value(CStringGetTextDatum(key))};
	SmsflowEvent event = {.kind = "cart_emptied", .brand_id = brand_id, .watch_id = watch_id};
	JsonbValue empty = {.type = jbvObject};

	SPI_connect();
	if (smsflow_execute(&find_emptied, args) > 0)
	{
		event.ref = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		event.phone = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		event.external_id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
		event.data = JsonbValueToJsonb(&empty);
		smsflow_append_event(&event);
	}
	SPI_finish();
}

void
smsflow_record_emptied(void *argument)
{
	TriggerData *trigger = argument;
	int32 watch_id = pg_strtoint32(trigger->tg_trigger->tgargs[0]);
	const char *key = SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), items_column(trigger));
	SmsflowSavedUser saved;

	if (key == NULL || was_just_seen(watch_id, key) || !smsflow_become_owner(&saved))
		return;
	append_emptied(key, watch_id, pg_strtoint32(trigger->tg_trigger->tgargs[1]));
	smsflow_become_again(&saved);
	(void) was_just_seen(watch_id, key);
}

/* ---- the worker's side ---- */

static SmsflowStatement find_watch =
	{.sql =
		 "SELECT smsflow.read_query(w.watch_id), c.relowner FROM smsflow.watch w JOIN pg_catalog.pg_class c ON c.oid = w.relation"
		 " WHERE w.watch_id = $1",
	 .nargs = 1,
	 .types = (const Oid[]){INT4OID}};

/* read_watched(watch_id, keys) returns jsonb */
Datum
smsflow_read_watched(PG_FUNCTION_ARGS)
{
	Oid types[] = {TEXTARRAYOID};
	Datum values[] = {PG_GETARG_DATUM(1)};
	SmsflowIdentity before;
	NullableDatum rows = {0, true};

	SPI_connect();
	if (smsflow_execute(&find_watch, (NullableDatum[]){smsflow_value(PG_GETARG_DATUM(0))}) > 0)
	{
		char *query = TextDatumGetCString(smsflow_result(1).value);

		smsflow_as_role(DatumGetObjectId(smsflow_result(2).value), &before);
		if (SPI_execute_with_args(query, 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read a watched table");
		smsflow_as_before(&before);
		rows = smsflow_result(1);
		if (!rows.isnull)
			rows.value = SPI_datumTransfer(rows.value, false, -1);
	}
	SPI_finish();
	if (rows.isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(rows.value);
}
