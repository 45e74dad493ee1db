/*
 * event.c - appending what happens in the store to smsflow.event.
 *
 * One saved plan does all of it, because this runs inside the checkout: it
 * looks up the contact and inserts the row in a single statement. The plan is
 * parsed again whenever the session changes its search_path, hence every
 * operator in it names its schema: nothing a store's role has planted can run
 * as the owner of smsflow.
 */
#include "../compat.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "message/spi.h"
#include "utils/syscache.h"

#include "../contact/contact.h"
#include "../core/instant.h"
#include "../core/phone.h"
#include "../core/short_id.h"
#include "../errcodes.h"
#include "../smsflow.h"
#include "../types/types.h"
#include "event.h"

PG_FUNCTION_INFO_V1(smsflow_record_event);
PG_FUNCTION_INFO_V1(smsflow_phone_or_null);

/* Bytes of what names the thing or the person that an event is about. */
#define LONGEST_KEY 2000
#define LONGEST_CURRENCY 40

/* Parameters of the plan, in order. */
enum
{
	ARG_OCCURRED_AT,
	ARG_BRAND,
	ARG_WATCH,
	ARG_KIND,
	ARG_REF,
	ARG_PHONE_TEXT,
	ARG_EXTERNAL_ID,
	ARG_AMOUNT,
	ARG_CURRENCY,
	ARG_DATA,
	ARG_PHONE,
	ARGS
};

/* A customer who has had several numbers is found by the one of the event, or else by the newest. */
static const char append_query[] =
	"INSERT INTO smsflow.event (occurred_at, contact_id, brand_id, watch_id, kind, ref, phone, external_id,"
	"  amount, currency, data)"
	" SELECT coalesce($1, pg_catalog.clock_timestamp()),"
	"  coalesce((SELECT c.contact_id FROM smsflow.contact c"
	"    WHERE c.brand_id OPERATOR(pg_catalog.=) $2 AND c.external_id OPERATOR(pg_catalog.=) $7"
	"    ORDER BY (c.phone OPERATOR(smsflow.=) $11) IS TRUE DESC, c.contact_id DESC LIMIT 1),"
	"   (SELECT c.contact_id FROM smsflow.contact c"
	"    WHERE c.brand_id OPERATOR(pg_catalog.=) $2 AND c.phone OPERATOR(smsflow.=) $11)),"
	"  $2, $3, $4, $5, $6, $7, $8, pg_catalog.upper($9), $10"
	" RETURNING event_id, contact_id, (SELECT pg_catalog.array_agg(c.contact_id) FROM smsflow.contact c"
	"   WHERE c.brand_id OPERATOR(pg_catalog.=) $2 AND c.external_id OPERATOR(pg_catalog.=) $7"
	"   AND c.contact_id OPERATOR(pg_catalog.<>) event.contact_id)";

bool
smsflow_become_owner(SmsflowSavedUser *saved)
{
	Oid schema = get_namespace_oid(SMSFLOW_SCHEMA, true);
	Oid table = OidIsValid(schema) ? get_relname_relid("event", schema) : InvalidOid;
	HeapTuple tuple = OidIsValid(table) ? SearchSysCache1(RELOID, ObjectIdGetDatum(table)) : NULL;
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(owner, saved->context | SECURITY_LOCAL_USERID_CHANGE);
	return true;
}

void
smsflow_become_again(const SmsflowSavedUser *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

/* The type phone has another oid after the extension was dropped and created again; then so has the plan. */
static SPIPlanPtr
append_plan(void)
{
	static SPIPlanPtr plan = NULL;
	static Oid planned_for = InvalidOid;
	Oid phone = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("phone"),
								ObjectIdGetDatum(get_namespace_oid(SMSFLOW_SCHEMA, false)));
	Oid types[ARGS] = {TIMESTAMPTZOID, INT4OID,    INT4OID, TEXTOID,  TEXTOID, TEXTOID,
					   TEXTOID,        NUMERICOID, TEXTOID, JSONBOID, phone};

	if (plan != NULL && planned_for == phone)
		return plan;
	if (plan != NULL)
	{
		SPI_freeplan(plan);
		plan = NULL;
	}
	planned_for = phone;
	return smsflow_spi_plan(&plan, append_query, ARGS, types);
}

static void
set_text(Datum *values, char *nulls, int arg, const char *text)
{
	nulls[arg] = text == NULL ? 'n' : ' ';
	values[arg] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static bool
parse_phone(const char *text, int64_t *phone)
{
	const char *region = smsflow_default_region[0] != '\0' ? smsflow_default_region : NULL;

	return smsflow_phone_parse_national(text, strlen(text), region, phone) == PHONE_OK;
}

/* What is no number stays as the store wrote it: it matches no contact, and an analyst can see why. */
static void
set_phone(Datum *values, char *nulls, const char *text)
{
	char canonical[SMSFLOW_PHONE_BUFSIZE];
	int64_t phone;

	nulls[ARG_PHONE] = 'n';
	set_text(values, nulls, ARG_PHONE_TEXT, text);
	if (text == NULL || !parse_phone(text, &phone))
		return;
	smsflow_phone_format(phone, canonical);
	set_text(values, nulls, ARG_PHONE_TEXT, canonical);
	nulls[ARG_PHONE] = ' ';
	values[ARG_PHONE] = Int64GetDatum(phone);
}

/* A purchase must not be lost for the length of its key, which is part of indexes. */
static const char *
short_key(const char *key)
{
	size_t length = key == NULL ? 0 : strlen(key);
	char *kept;

	if (length <= LONGEST_KEY)
		return key;
	kept = palloc(LONGEST_KEY + 1);
	smsflow_short_id(key, length, kept, LONGEST_KEY + 1);
	return kept;
}

/* Figures are kept by it, so a text that is no name of money is none. */
static bool
is_currency(const char *text)
{
	return text != NULL && strlen(text) <= LONGEST_CURRENCY;
}

static void
set_arguments(Datum *values, char *nulls, const SmsflowEvent *event)
{
	nulls[ARG_OCCURRED_AT] = event->has_occurred_at ? ' ' : 'n';
	values[ARG_OCCURRED_AT] = TimestampTzGetDatum(event->occurred_at);
	nulls[ARG_BRAND] = ' ';
	values[ARG_BRAND] = Int32GetDatum(event->brand_id);
	nulls[ARG_WATCH] = event->watch_id != 0 ? ' ' : 'n';
	values[ARG_WATCH] = Int32GetDatum(event->watch_id);
	nulls[ARG_AMOUNT] = event->has_amount ? ' ' : 'n';
	values[ARG_AMOUNT] = event->amount;
	nulls[ARG_DATA] = ' ';
	values[ARG_DATA] = JsonbPGetDatum(event->data);
	set_text(values, nulls, ARG_KIND, event->kind);
	set_text(values, nulls, ARG_REF, short_key(event->ref));
	set_text(values, nulls, ARG_EXTERNAL_ID, short_key(event->external_id));
	set_text(values, nulls, ARG_CURRENCY, is_currency(event->currency) ? event->currency : NULL);
	set_phone(values, nulls, short_key(event->phone));
}

/* Purchases and emptied carts stop reminders that the worker has already claimed. */
static bool
ends_sequences(const char *kind)
{
	return strcmp(kind, "order") == 0 || strncmp(kind, "order_", 6) == 0 || strcmp(kind, "cart_emptied") == 0;
}

/* Column of the result: the contact, or an array of those that the store knows the same customer by. */
static void
note_contacts(int column, bool is_array)
{
	bool is_null;
	Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);
	Datum *contacts = &value;
	int count = 1;

	if (is_null)
		return;
	if (is_array)
		deconstruct_array(DatumGetArrayTypeP(value), INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &contacts, NULL,
						  &count);
	for (int i = 0; i < count; i++)
		smsflow_note_revocation(SMSFLOW_REVOKE_CONTACT, DatumGetInt64(contacts[i]));
}

int64
smsflow_append_event(const SmsflowEvent *event)
{
	Datum values[ARGS];
	char nulls[ARGS];
	int64 event_id;
	bool is_null;

	set_arguments(values, nulls, event);
	SPI_connect();
	if (SPI_execute_plan(append_plan(), values, nulls, false, 0) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not append an event");
	event_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
	smsflow_note_event();
	if (ends_sequences(event->kind))
	{
		note_contacts(2, false);
		note_contacts(3, true);
	}
	SPI_finish();
	return event_id;
}

static void
refuse_missing(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(argument)) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s must not be empty", name),
						errdetail("An event has a phone number, a kind and a brand."),
						errhint("Example: smsflow.record_event('+14155552671', 'viewed', 'product-17').")));
}

static char *
optional_text(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

static Jsonb *
object_or_empty(FunctionCallInfo fcinfo, int argument)
{
	Jsonb *data = PG_ARGISNULL(argument) ? DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")))
										 : PG_GETARG_JSONB_P(argument);

	if (!JB_ROOT_IS_OBJECT(data))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("data must be a JSON object"),
						errhint("Its keys become template variables, as in '{\"product\": \"Blue shirt\"}'.")));
	return data;
}

Datum
smsflow_phone_or_null(PG_FUNCTION_ARGS)
{
	int64_t phone;

	if (!parse_phone(text_to_cstring(PG_GETARG_TEXT_PP(0)), &phone))
		PG_RETURN_NULL();
	PG_RETURN_PHONE(phone);
}

/* One order of NaN would make NaN of all figures that it is added to, and of some huge ones there is no sum. */
bool
smsflow_is_amount(Datum amount)
{
	Datum most = NumericGetDatum(int64_to_numeric(INT64CONST(1000000000000000000)));

	/* NaN is greater than all numbers. */
	return DatumGetBool(DirectFunctionCall2(numeric_lt, DirectFunctionCall1(numeric_abs, amount), most));
}

static void
refuse_unbounded(const SmsflowEvent *event)
{
	if (event->has_amount && !smsflow_is_amount(event->amount))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("amount of an event is no amount of money"),
						errdetail("It is NaN, infinite, or 10^18 or more."), errhint("Leave it out where it is not known.")));
	if (event->has_occurred_at && !smsflow_instant_is_valid(event->occurred_at))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("time of an event is not an instant"),
						errdetail("The argument \"at\" is not between the years 1 and 9999."), errhint("Leave it out for now.")));
}

static void
refuse_long(const char *what, const char *text, int most)
{
	if (text != NULL && strlen(text) > most)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s of an event is too long", what),
						errdetail("It has %zu bytes, and may have %d.", strlen(text), most),
						errhint("Pass a key of the store, and what describes it as data.")));
}

/* record_event(phone, kind, ref, data, amount, currency, at, brand) RETURNS bigint; SECURITY DEFINER in SQL. */
Datum
smsflow_record_event(PG_FUNCTION_ARGS)
{
	SmsflowEvent event = {0};

	refuse_missing(fcinfo, 0, "phone");
	refuse_missing(fcinfo, 1, "kind");
	refuse_missing(fcinfo, 7, "brand");
	event.phone = optional_text(fcinfo, 0);
	(void) smsflow_phone_from_text(event.phone, strlen(event.phone), NULL);
	event.kind = optional_text(fcinfo, 1);
	event.ref = optional_text(fcinfo, 2);
	event.data = object_or_empty(fcinfo, 3);
	event.has_amount = !PG_ARGISNULL(4);
	event.amount = PG_GETARG_DATUM(4);
	event.currency = optional_text(fcinfo, 5);
	event.has_occurred_at = !PG_ARGISNULL(6);
	event.occurred_at = event.has_occurred_at ? PG_GETARG_TIMESTAMPTZ(6) : 0;
	refuse_long("ref", event.ref, LONGEST_KEY);
	refuse_long("currency", event.currency, LONGEST_CURRENCY);
	refuse_unbounded(&event);
	SPI_connect();
	event.brand_id = smsflow_brand_id(optional_text(fcinfo, 7));
	SPI_finish();
	PG_RETURN_INT64(smsflow_append_event(&event));
}
