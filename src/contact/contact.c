/*
 * contact.c - the calls that write the consent ledger.
 *
 * They are C because an application makes them on every sign-up and every STOP. Each one locks the contact's row first,
 * and only then reads the clock: entries of one contact are therefore appended one after another, their hashes form
 * one chain, and of two calls the later one has the later instant.
 */
#include "contact/contact.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "smsflow.h"
#include "types/types.h"

/* How far ahead the clock of the machine that saw a sign-up may be. */
#define CLOCK_TOLERANCE (5 * USECS_PER_MINUTE)

#define MARKETING_PURPOSES ((1u << SMSFLOW_PURPOSE_PROMOTIONAL) | (1u << SMSFLOW_PURPOSE_CART))

static const NullableDatum nothing = {0, true};

/* ---- statements ---- */

static SmsflowStatement lock_contact =
	{.sql = "SELECT contact_id, consent FROM smsflow.contact"
			" WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) smsflow.parse_phone($2) FOR UPDATE",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

static SmsflowStatement merge_contact =
	{.sql = "INSERT INTO smsflow.contact AS c (brand_id, phone, external_id, first_name, last_name, language, region,"
			"  time_zone, time_zone_source, attributes, holdout_bucket)"
			" SELECT $1, number, $3, $4 ->> 'first_name', $4 ->> 'last_name', $4 ->> 'language', smsflow.known_region($4 ->> "
			"'region'),"
			"  $4 ->> 'time_zone', CASE WHEN $4 ->> 'time_zone' IS NOT NULL THEN 'customer' END,"
			"  $4 - '{first_name,last_name,language,region,time_zone}'::text[], smsflow.holdout_bucket($1, number)"
			" FROM smsflow.parse_phone($2) AS number"
			" ON CONFLICT (brand_id, phone) DO UPDATE SET"
			"  external_id = coalesce(excluded.external_id, c.external_id),"
			"  first_name = coalesce(excluded.first_name, c.first_name),"
			"  last_name = coalesce(excluded.last_name, c.last_name),"
			"  language = coalesce(excluded.language, c.language),"
			"  region = coalesce(excluded.region, c.region),"
			"  time_zone = coalesce(excluded.time_zone, c.time_zone),"
			"  time_zone_source = coalesce(excluded.time_zone_source, c.time_zone_source),"
			"  attributes = c.attributes || excluded.attributes"
			" RETURNING contact_id, consent",
	 .nargs = 4,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTOID, JSONBOID}};

static SmsflowStatement resolve_disclosure =
	{.sql = "SELECT body, version, names_cart FROM smsflow.resolve_disclosure($1, $2, $3::smsflow.purpose[], $4)",
	 .nargs = 4,
	 .types = (const Oid[]){INT4OID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID}};

static SmsflowStatement admit_number = {.sql = "SELECT smsflow.admit_number($1, smsflow.parse_phone($2), $3)"
											   " WHERE EXISTS (SELECT FROM smsflow.suppression WHERE brand_id = $1)",
										.nargs = 3,
										.types = (const Oid[]){INT4OID, TEXTOID, TEXTOID}};

static SmsflowStatement is_erased =
	{.sql = "SELECT FROM (SELECT) AS one WHERE smsflow.suppression_reason($1, smsflow.parse_phone($2)) = 'erasure'",
	 .nargs = 2,
	 .types = (const Oid[]){INT4OID, TEXTOID}};

static SmsflowStatement credit_opt_out = {.sql = "SELECT smsflow.attribute_opt_out(contact_id, $3) FROM smsflow.contact"
												 " WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) smsflow.parse_phone($2)",
										  .nargs = 3,
										  .types = (const Oid[]){INT4OID, TEXTOID, TEXTARRAYOID}};

/* Most stores have no such rule, and a sign-up shall not cost more for it. */
static SmsflowStatement ask_to_confirm = {.sql = "SELECT smsflow.ask_to_confirm($1) WHERE EXISTS (SELECT FROM smsflow.policy_rule"
												 " WHERE kind = 'double_opt_in' AND value <> 'false' AND effective @> now())",
										  .nargs = 1,
										  .types = (const Oid[]){INT8OID}};

static SmsflowStatement find_confirmable = {.sql = "SELECT smsflow.confirmable_purposes($1, $2)",
											.nargs = 2,
											.types = (const Oid[]){INT8OID, BOOLOID}};

/*
 * grant_instant returns when a grant happened. Its default, the start of the transaction, means the moment of the call;
 * a clock a little ahead is taken for right, but no grant may outlive a revocation that follows it.
 */
static TimestampTz
grant_instant(FunctionCallInfo fcinfo, int n)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = PG_ARGISNULL(n) ? now : PG_GETARG_TIMESTAMPTZ(n);

	if (at > now + CLOCK_TOLERANCE || !smsflow_instant_is_valid(at))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("occurred_at is not an instant of the past"),
						errdetail("Nobody can have agreed in the future."),
						errhint("Pass the instant at which the person agreed, or leave the argument out.")));
	if (at == GetCurrentTransactionStartTimestamp())
		return now;
	return Min(at, now);
}

/* ---- subscribe ---- */

static unsigned
purposes_of_names(NullableDatum names)
{
	unsigned purposes = 0;
	Datum *elements;
	int count = 0;

	if (!names.isnull)
		deconstruct_array(DatumGetArrayTypeP(names.value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		purposes |= 1u << smsflow_purpose_named(TextDatumGetCString(elements[i]));
	return purposes;
}

/* read_disclosure replaces a name by the text it stands for; returns whether the text names cart reminders. */
static bool
read_disclosure(int32 brand_id, NullableDatum purposes, LedgerEntry *entry)
{
	const NullableDatum args[] = {smsflow_value(Int32GetDatum(brand_id)), entry->disclosure, purposes,
								  smsflow_value(TimestampTzGetDatum(entry->occurred_at))};
	MemoryContext context = CurrentMemoryContext;
	NullableDatum names_cart;

	if (entry->disclosure.isnull)
		return false;
	PG_TRY();
	{
		smsflow_execute(&resolve_disclosure, args);
	}
	PG_CATCH();
	{
		smsflow_rethrow_bare(context);
	}
	PG_END_TRY();
	entry->disclosure = smsflow_result(1);
	entry->disclosure_version = smsflow_result(2);
	names_cart = smsflow_result(3);
	return DatumGetBool(names_cart.value);
}

/*
 * append_grant appends what a person agreed to. Carriers take cart reminders apart: without a text that names them,
 * agreeing to them is no more than express (T-Mobile code of conduct, shopping cart reminders).
 */
static void
append_grant(int64 contact_id, LedgerEntry entry, bool names_cart)
{
	const unsigned cart = 1u << SMSFLOW_PURPOSE_CART;
	const NullableDatum key[] = {smsflow_value(Int64GetDatum(contact_id))};
	LedgerEntry lower = entry;
	SmsflowLevel level;

	smsflow_level_from_name(entry.level, strlen(entry.level), &level);
	if ((entry.purposes & cart) && !names_cart && level > SMSFLOW_LEVEL_EXPRESS)
	{
		entry.purposes &= ~cart;
		lower.purposes = cart;
		lower.level = smsflow_level_name(SMSFLOW_LEVEL_EXPRESS);
		smsflow_append_to_ledger(contact_id, &lower);
	}
	if (entry.purposes != 0)
		smsflow_append_to_ledger(contact_id, &entry);
	if (level == SMSFLOW_LEVEL_EXPRESS || level == SMSFLOW_LEVEL_WRITTEN)
		smsflow_execute(&ask_to_confirm, key);
}

/*
 * subscribe(phone, purposes, source, disclosure, level, evidence, external_id, attributes, occurred_at, brand)
 */
PG_FUNCTION_INFO_V1(smsflow_pg_subscribe);
Datum
smsflow_pg_subscribe(PG_FUNCTION_ARGS)
{
	NullableDatum contact[4];
	NullableDatum admit[3];
	LedgerEntry entry = {.kind = "grant", .disclosure_version = {0, true}, .words = {0, true}};
	int64 contact_id;
	bool names_cart;

	contact[1] = smsflow_new_phone_argument(fcinfo, 0);
	entry.purposes = smsflow_purposes_argument(fcinfo, 1);
	entry.source = smsflow_text_argument(fcinfo, 2, "source");
	entry.disclosure = fcinfo->args[3];
	entry.level = smsflow_level_argument(fcinfo, 4);
	entry.evidence = smsflow_object_argument(fcinfo, 5, "evidence");
	entry.occurred_at = grant_instant(fcinfo, 8);
	contact[2] = fcinfo->args[6];
	contact[3] = smsflow_object_argument(fcinfo, 7, "attributes");
	smsflow_check_place(contact[3]);

	SPI_connect();
	contact[0] = smsflow_value(Int32GetDatum(smsflow_brand_argument(fcinfo, 9)));
	names_cart = read_disclosure(DatumGetInt32(contact[0].value), fcinfo->args[1], &entry);
	admit[0] = contact[0];
	admit[1] = contact[1];
	admit[2] = fcinfo->args[2];
	smsflow_execute(&merge_contact, contact);
	contact_id = DatumGetInt64(smsflow_result(1).value);
	/* An erasure that ran at the same time has ended by now, and may have left this number suppressed. */
	smsflow_execute(&admit_number, admit);
	/* The contact is locked from here on, so that this clock reading is in the order of the ledger. */
	entry.occurred_at = grant_instant(fcinfo, 8);
	append_grant(contact_id, entry, names_cart);
	SPI_finish();
	PG_RETURN_INT64(contact_id);
}

/* confirm appends a confirmation of what may be confirmed; false if there is nothing. Needs an open SPI connection. */
static bool
confirm(int32 brand_id, NullableDatum phone, bool pending_only, NullableDatum evidence)
{
	LedgerEntry entry = {.kind = "confirm",
						 .level = "confirmed",
						 .source = "confirmation",
						 .disclosure = {0, true},
						 .disclosure_version = {0, true},
						 .words = {0, true},
						 .evidence = evidence};
	const NullableDatum key[] = {smsflow_value(Int32GetDatum(brand_id)), phone};
	NullableDatum which[2];

	if (smsflow_execute(&lock_contact, key) == 0)
		return false;
	which[0] = smsflow_result(1);
	which[1] = smsflow_value(BoolGetDatum(pending_only));
	smsflow_execute(&find_confirmable, which);
	entry.purposes = purposes_of_names(smsflow_result(1));
	entry.occurred_at = GetCurrentTimestamp();
	if (entry.purposes != 0)
		smsflow_append_to_ledger(DatumGetInt64(which[0].value), &entry);
	return entry.purposes != 0;
}

/* confirm_opt_in(phone, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_confirm_opt_in);
Datum
smsflow_pg_confirm_opt_in(PG_FUNCTION_ARGS)
{
	NullableDatum evidence = smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	NullableDatum phone;
	bool confirmed;

	phone = smsflow_phone_argument(fcinfo, 0);
	SPI_connect();
	confirmed = confirm(smsflow_brand_argument(fcinfo, 1), phone, false, evidence);
	SPI_finish();
	PG_RETURN_BOOL(confirmed);
}

/* record_confirmation(phone, evidence, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_record_confirmation);
Datum
smsflow_pg_record_confirmation(PG_FUNCTION_ARGS)
{
	NullableDatum evidence = smsflow_object_argument(fcinfo, 1, "evidence");
	NullableDatum phone;
	bool confirmed;

	phone = smsflow_phone_argument(fcinfo, 0);
	SPI_connect();
	confirmed = confirm(smsflow_brand_argument(fcinfo, 2), phone, true, evidence);
	SPI_finish();
	PG_RETURN_BOOL(confirmed);
}

/* ---- opt_out ---- */

/*
 * revocation_instant returns the moment of the call, and never less than a recorded grant: a STOP ends them all, also
 * one that a machine with a faster clock recorded before a failover.
 */
static TimestampTz
revocation_instant(const SmsflowConsent *consent, unsigned purposes)
{
	TimestampTz at = GetCurrentTimestamp();

	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		for (int level = 0; level < SMSFLOW_LEVELS - 1; level++)
			if (purposes & (1u << purpose))
				at = Max(at, consent->granted[purpose][level]);
	return at;
}

/* ends_something tells whether a purpose that was permitted no longer is. */
static bool
ends_something(const SmsflowConsent *before, const LedgerEntry *entry)
{
	SmsflowConsent after = smsflow_effect_of(entry->purposes, SMSFLOW_LEVEL_NONE, entry->occurred_at);

	smsflow_consent_merge(&after, before);
	for (SmsflowPurpose purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		if (smsflow_consent_level(&after, purpose) < smsflow_consent_level(before, purpose))
			return true;
	return false;
}

/*
 * record_revocation appends a revocation to the ledger of a number, which becomes a contact if it was none: a number
 * that said STOP stays stopped when an import brings it later. at is NULL for the moment of the call.
 */
static bool
record_revocation(int32 brand_id, NullableDatum phone, LedgerEntry *entry, NullableDatum at, bool await)
{
	const NullableDatum contact[] = {
		smsflow_value(Int32GetDatum(brand_id)),
		phone,
		{0, true},
		smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))),
	};
	const SmsflowConsent *consent;
	int64 contact_id;

	/* Of an erased person nothing is kept again: the suppression already holds more than this revocation would. */
	if (smsflow_execute(&lock_contact, contact) == 0 && smsflow_execute(&is_erased, contact) > 0)
		return false;
	smsflow_execute(&merge_contact, contact);
	contact_id = DatumGetInt64(smsflow_result(1).value);
	consent = DatumGetConsentP(smsflow_result(2).value);
	entry->kind = "revoke";
	entry->occurred_at =
		at.isnull ? revocation_instant(consent, entry->purposes) : Min(DatumGetTimestampTz(at.value), GetCurrentTimestamp());
	smsflow_append_to_ledger(contact_id, entry);
	if (!at.isnull)
		smsflow_renew_proof(contact_id);
	smsflow_note_revocation(SMSFLOW_REVOKE_CONTACT, contact_id);
	if (await)
		smsflow_await_after_commit(contact_id);
	return ends_something(consent, entry);
}

/* opt_out(phone, purposes, source, reason, brand, wait) */
PG_FUNCTION_INFO_V1(smsflow_pg_opt_out);
Datum
smsflow_pg_opt_out(PG_FUNCTION_ARGS)
{
	LedgerEntry entry = {.disclosure = {0, true}, .disclosure_version = {0, true}};
	NullableDatum phone;
	int32 brand_id;
	bool ended;

	phone = smsflow_phone_argument(fcinfo, 0);
	entry.purposes = PG_ARGISNULL(1) ? MARKETING_PURPOSES : smsflow_purposes_argument(fcinfo, 1);
	entry.source = smsflow_text_argument(fcinfo, 2, "source");
	entry.words = fcinfo->args[3];
	entry.evidence = smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	SPI_connect();
	brand_id = smsflow_brand_argument(fcinfo, 4);
	ended = record_revocation(brand_id, phone, &entry, nothing, !PG_ARGISNULL(5) && PG_GETARG_BOOL(5));
	if (ended)
		smsflow_execute(&credit_opt_out, (NullableDatum[]){smsflow_value(Int32GetDatum(brand_id)), phone, fcinfo->args[1]});
	SPI_finish();
	PG_RETURN_BOOL(ended);
}

/*
 * opt_out('+14155550100'): there is a type of the same name, and a call of one bare literal would be read as a cast to
 * it unless a function takes exactly the type that such a literal has, unknown, which is passed as a C string.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_literal);
Datum
smsflow_pg_opt_out_literal(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(call, 6);

	InitFunctionCallInfoData(*call, fcinfo->flinfo, 6, InvalidOid, NULL, NULL);
	call->args[0] = PG_ARGISNULL(0) ? nothing : smsflow_value(CStringGetTextDatum(PG_GETARG_CSTRING(0)));
	call->args[1] = nothing;
	call->args[2] = smsflow_value(CStringGetTextDatum("api"));
	call->args[3] = nothing;
	call->args[4] = nothing;
	call->args[5] = nothing;
	return smsflow_pg_opt_out(call);
}

/* record_opt_out(phone, purposes, channel, words, evidence, occurred_at, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_record_opt_out);
Datum
smsflow_pg_record_opt_out(PG_FUNCTION_ARGS)
{
	LedgerEntry entry = {.disclosure = {0, true}, .disclosure_version = {0, true}};
	SmsflowChannel channel;
	NullableDatum phone;
	bool ended;

	phone = smsflow_phone_argument(fcinfo, 0);
	entry.purposes = smsflow_purposes_argument(fcinfo, 1);
	entry.source = smsflow_text_argument(fcinfo, 2, "channel");
	if (!smsflow_channel_from_name(entry.source, strlen(entry.source), &channel))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown channel \"%s\"", entry.source),
						errdetail("Channels are keyword, api, web, support, carrier, complaint and erasure."),
						errhint("Use one of these names, in small letters.")));
	entry.words = fcinfo->args[3];
	entry.evidence = smsflow_object_argument(fcinfo, 4, "evidence");
	SPI_connect();
	ended = record_revocation(smsflow_brand_argument(fcinfo, 6), phone, &entry, fcinfo->args[5], false);
	SPI_finish();
	PG_RETURN_BOOL(ended);
}
