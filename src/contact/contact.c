/*
 * contact.c - the calls that write the consent ledger.
 *
 * They are C because an application makes them on every sign-up and every STOP. Each one locks the contact's row first,
 * and only then reads the clock: entries of one contact are therefore appended one after another, their hashes form
 * one chain, and of two calls the later one has the later instant. The ledger entry, the contact's folded consent and
 * the head of its chain are written by a single statement, so that they cannot part.
 */
#include "contact/contact.h"
#include "message/spi.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "smsflow.h"
#include "types/types.h"

/* How far ahead the clock of the machine that saw a sign-up may be. */
#define CLOCK_TOLERANCE (5 * USECS_PER_MINUTE)

#define MARKETING_PURPOSES ((1u << SMSFLOW_PURPOSE_PROMOTIONAL) | (1u << SMSFLOW_PURPOSE_CART))

typedef struct LedgerEntry
{
	const char *kind;			/* grant, confirm or revoke */
	unsigned	purposes;		/* bits (1 << SmsflowPurpose) */
	const char *level;			/* NULL for a revocation */
	const char *source;
	NullableDatum disclosure;
	NullableDatum words;
	NullableDatum evidence;
	TimestampTz occurred_at;
} LedgerEntry;

/* ---- statements ---- */

static SmsflowStatement find_brand = {
	.sql = "SELECT brand_id FROM smsflow.brand WHERE name = $1",
	.nargs = 1, .types = (const Oid[]) {TEXTOID}
};

static SmsflowStatement lock_contact = {
	.sql = "SELECT contact_id, consent FROM smsflow.contact"
	" WHERE brand_id = $1 AND phone OPERATOR(smsflow.=) smsflow.parse_phone($2) FOR UPDATE",
	.nargs = 2, .types = (const Oid[]) {INT4OID, TEXTOID}
};

static SmsflowStatement merge_contact = {
	.sql = "INSERT INTO smsflow.contact AS c (brand_id, phone, external_id, first_name, last_name, language, region,"
	"  time_zone, time_zone_source, attributes, holdout_bucket)"
	" SELECT $1, number, $3, $4 ->> 'first_name', $4 ->> 'last_name', $4 ->> 'language', $4 ->> 'region',"
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
	.nargs = 4, .types = (const Oid[]) {INT4OID, TEXTOID, TEXTOID, JSONBOID}
};

static SmsflowStatement append_entry = {
	.sql = "WITH entry AS MATERIALIZED ("
	"  SELECT ROW(NULL, c.contact_id, $2, $3::smsflow.purpose[], $4::smsflow.consent_level, $5, $6, $7, $8, $9,"
	"   clock_timestamp(), session_user, pg_current_xact_id(), c.ledger_head, NULL)::smsflow.consent_event AS e"
	"  FROM smsflow.contact AS c WHERE c.contact_id = $1"
	" ), appended AS ("
	"  INSERT INTO smsflow.consent_event (contact_id, kind, purposes, level, source, disclosure, words, evidence,"
	"   occurred_at, recorded_at, recorded_by, xid, previous_hash, hash)"
	"  SELECT (e).contact_id, (e).kind, (e).purposes, (e).level, (e).source, (e).disclosure, (e).words, (e).evidence,"
	"   (e).occurred_at, (e).recorded_at, (e).recorded_by, (e).xid, (e).previous_hash, smsflow.consent_event_hash(e)"
	"  FROM entry RETURNING *"
	" )"
	" UPDATE smsflow.contact AS c SET updated_at = clock_timestamp(), ledger_head = a.hash, consent ="
	"  c.consent OPERATOR(smsflow.+) smsflow.consent_of(a.kind, a.purposes::text[], a.level::text, a.occurred_at)"
	" FROM appended AS a WHERE c.contact_id = a.contact_id",
	.nargs = 9, .types = (const Oid[]) {INT8OID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID,
	TIMESTAMPTZOID}
};

uint64
smsflow_execute(SmsflowStatement *statement, const NullableDatum *args)
{
	Datum		values[FUNC_MAX_ARGS];
	char		nulls[FUNC_MAX_ARGS];

	smsflow_spi_plan(&statement->plan, statement->sql, statement->nargs, unconstify(Oid *, statement->types));
	for (int i = 0; i < statement->nargs; i++)
	{
		values[i] = args[i].value;
		nulls[i] = args[i].isnull ? 'n' : ' ';
	}
	if (SPI_execute_plan(statement->plan, values, nulls, false, 0) < 0)
		elog(ERROR, "could not execute statement");
	return SPI_processed;
}

NullableDatum
smsflow_result(int column)
{
	NullableDatum result;

	result.value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &result.isnull);
	return result;
}

int32
smsflow_brand_id(const char *name)
{
	const NullableDatum args[] = {smsflow_value(CStringGetTextDatum(name))};

	if (smsflow_execute(&find_brand, args) == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_UNKNOWN_OBJECT), errmsg("brand \"%s\" does not exist", name),
						errdetail("Contacts, consent and campaigns belong to a brand."),
						errhint("Create it with smsflow.create_brand(), or leave the argument out.")));
	return DatumGetInt32(smsflow_result(1).value);
}

/* ---- arguments ---- */

static NullableDatum
argument(FunctionCallInfo fcinfo, int n)
{
	return fcinfo->args[n];
}

/* text_argument returns an argument that must be a text with something in it. */
static const char *
text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	const char *value = PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (value[strspn(value, " \t\r\n")] == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s must not be empty", name),
						errdetail("The argument \"%s\" is null or blank.", name),
						errhint("Pass a text.")));
	return value;
}

static int32
brand_argument(FunctionCallInfo fcinfo, int n)
{
	return smsflow_brand_id(PG_ARGISNULL(n) ? "default" : text_to_cstring(PG_GETARG_TEXT_PP(n)));
}

static SmsflowPurpose
purpose_named(const char *name)
{
	SmsflowPurpose purpose;

	if (!smsflow_purpose_from_name(name, strlen(name), &purpose))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown purpose \"%s\"", name),
						errdetail("Purposes are compliance, otp, transactional, conversational, cart and promotional."),
						errhint("Use one of these names, in small letters.")));
	return purpose;
}

/* purposes_argument returns an array of purpose names as bits. */
static unsigned
purposes_argument(FunctionCallInfo fcinfo, int n)
{
	unsigned	purposes = 0;
	Datum	   *names = NULL;
	bool	   *nulls = NULL;
	int			count = 0;

	if (!PG_ARGISNULL(n))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
		purposes |= 1u << purpose_named(nulls[i] ? "" : TextDatumGetCString(names[i]));
	if (purposes == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("purposes must not be empty"),
						errdetail("Consent is always given and ended for named purposes."),
						errhint("Pass an array such as '{promotional,cart}'.")));
	return purposes;
}

static const char *
level_argument(FunctionCallInfo fcinfo, int n)
{
	const char *name = PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));
	SmsflowLevel level;

	if (!smsflow_level_from_name(name, strlen(name), &level) || level == SMSFLOW_LEVEL_NONE)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown consent level \"%s\"", name),
						errdetail("Levels that can be granted are implied, express, written and confirmed."),
						errhint("Somebody who ticked a box beside the disclosure agreed in writing: \"written\".")));
	return name;
}

/* object_argument returns an argument that must be a JSON object; null is an empty one. */
static NullableDatum
object_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(n)))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s must be a JSON object", name),
						errdetail("The argument \"%s\" is an array or a scalar.", name),
						errhint("Pass an object such as '{\"key\": \"value\"}'.")));
	return argument(fcinfo, n);
}

static void
check_time_zone(NullableDatum attributes)
{
	Datum		value;
	const char *name;
	pg_tz	   *zone;
	LOCAL_FCINFO(call, 2);

	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
	call->args[0] = attributes;
	call->args[1] = smsflow_value(CStringGetTextDatum("time_zone"));
	value = jsonb_object_field_text(call);
	if (call->isnull)
		return;
	name = TextDatumGetCString(value);
	zone = pg_tzset(name);
	if (zone == NULL || !pg_tz_acceptable(zone))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown time zone \"%s\"", name),
						errdetail("The attribute \"time_zone\" decides when this person may be written to."),
						errhint("Use an IANA name such as \"America/New_York\".")));
}

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

/* ---- the ledger ---- */

static Datum
purpose_names(unsigned purposes)
{
	Datum		names[SMSFLOW_PURPOSES];
	int			count = 0;

	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		if (purposes & (1u << purpose))
			names[count++] = CStringGetTextDatum(smsflow_purpose_name((SmsflowPurpose) purpose));
	return PointerGetDatum(construct_array(names, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* append_to_ledger writes an entry and its effect; the caller has locked the contact. */
static void
append_to_ledger(int64 contact_id, const LedgerEntry *entry)
{
	const NullableDatum args[] = {
		smsflow_value(Int64GetDatum(contact_id)),
		smsflow_value(CStringGetTextDatum(entry->kind)),
		smsflow_value(purpose_names(entry->purposes)),
		entry->level ? smsflow_value(CStringGetTextDatum(entry->level)) : (NullableDatum) {0, true},
		smsflow_value(CStringGetTextDatum(entry->source)),
		entry->disclosure,
		entry->words,
		entry->evidence,
		smsflow_value(TimestampTzGetDatum(entry->occurred_at)),
	};

	if (smsflow_execute(&append_entry, args) != 1)
		elog(ERROR, "contact disappeared while its consent was recorded");
}

/* effect_of returns what one ledger entry adds to a consent. */
static SmsflowConsent
effect_of(unsigned purposes, SmsflowLevel level, TimestampTz at)
{
	SmsflowConsent effect;

	smsflow_consent_clear(&effect);
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		if ((purposes & (1u << purpose)) == 0)
			continue;
		if (level == SMSFLOW_LEVEL_NONE)
			smsflow_consent_revoke(&effect, (SmsflowPurpose) purpose, at);
		else
			smsflow_consent_grant(&effect, (SmsflowPurpose) purpose, level, at);
	}
	return effect;
}

/*
 * consent_of(kind text, purposes text[], level text, at timestamptz) returns consent: the value of one ledger entry.
 * The fold of the ledger, in every place where it is made, is the sum of these.
 */
PG_FUNCTION_INFO_V1(smsflow_pg_consent_of);
Datum
smsflow_pg_consent_of(PG_FUNCTION_ARGS)
{
	unsigned	purposes = purposes_argument(fcinfo, 1);
	SmsflowLevel level = SMSFLOW_LEVEL_NONE;
	SmsflowConsent effect;

	if (!PG_ARGISNULL(2))
	{
		const char *name = level_argument(fcinfo, 2);

		smsflow_level_from_name(name, strlen(name), &level);
	}
	effect = effect_of(purposes, level, PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_CONSENT_P(&effect);
}

/* ---- subscribe ---- */

/*
 * subscribe(phone, purposes, source, disclosure, level, evidence, external_id, attributes, occurred_at, brand)
 */
PG_FUNCTION_INFO_V1(smsflow_pg_subscribe);
Datum
smsflow_pg_subscribe(PG_FUNCTION_ARGS)
{
	NullableDatum contact[4];
	LedgerEntry entry = {.kind = "grant", .words = {0, true}};
	int64		contact_id;

	text_argument(fcinfo, 0, "phone");
	entry.purposes = purposes_argument(fcinfo, 1);
	entry.source = text_argument(fcinfo, 2, "source");
	entry.disclosure = argument(fcinfo, 3);
	entry.level = level_argument(fcinfo, 4);
	entry.evidence = object_argument(fcinfo, 5, "evidence");
	grant_instant(fcinfo, 8);
	contact[1] = argument(fcinfo, 0);
	contact[2] = argument(fcinfo, 6);
	contact[3] = object_argument(fcinfo, 7, "attributes");
	check_time_zone(contact[3]);

	SPI_connect();
	contact[0] = smsflow_value(Int32GetDatum(brand_argument(fcinfo, 9)));
	smsflow_execute(&merge_contact, contact);
	contact_id = DatumGetInt64(smsflow_result(1).value);
	/* The contact is locked from here on, so that this clock reading is in the order of the ledger. */
	entry.occurred_at = grant_instant(fcinfo, 8);
	append_to_ledger(contact_id, &entry);
	SPI_finish();
	PG_RETURN_INT64(contact_id);
}

/* confirm_opt_in(phone, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_confirm_opt_in);
Datum
smsflow_pg_confirm_opt_in(PG_FUNCTION_ARGS)
{
	LedgerEntry entry = {.kind = "confirm", .level = "confirmed", .source = "confirmation",
	.disclosure = {0, true}, .words = {0, true}};
	NullableDatum key[2];

	text_argument(fcinfo, 0, "phone");
	SPI_connect();
	key[0] = smsflow_value(Int32GetDatum(brand_argument(fcinfo, 1)));
	key[1] = argument(fcinfo, 0);
	if (smsflow_execute(&lock_contact, key) > 0)
	{
		const SmsflowConsent *consent = DatumGetConsentP(smsflow_result(2).value);
		int64		contact_id = DatumGetInt64(smsflow_result(1).value);

		for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
			if (smsflow_consent_level(consent, (SmsflowPurpose) purpose) >= SMSFLOW_LEVEL_EXPRESS)
				entry.purposes |= 1u << purpose;
		entry.evidence = smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
		entry.occurred_at = GetCurrentTimestamp();
		if (entry.purposes != 0)
			append_to_ledger(contact_id, &entry);
	}
	SPI_finish();
	PG_RETURN_BOOL(entry.purposes != 0);
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
	SmsflowConsent after = effect_of(entry->purposes, SMSFLOW_LEVEL_NONE, entry->occurred_at);

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
record_revocation(int32 brand_id, NullableDatum phone, LedgerEntry *entry, NullableDatum at)
{
	const NullableDatum contact[] = {
		smsflow_value(Int32GetDatum(brand_id)), phone, {0, true},
		smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"))),
	};
	const SmsflowConsent *consent;
	int64		contact_id;

	smsflow_execute(&merge_contact, contact);
	contact_id = DatumGetInt64(smsflow_result(1).value);
	consent = DatumGetConsentP(smsflow_result(2).value);
	entry->kind = "revoke";
	entry->occurred_at = at.isnull ? revocation_instant(consent, entry->purposes)
		: Min(DatumGetTimestampTz(at.value), GetCurrentTimestamp());
	append_to_ledger(contact_id, entry);
	smsflow_note_revocation(SMSFLOW_REVOKE_CONTACT, contact_id);
	return ends_something(consent, entry);
}

/* opt_out(phone, purposes, source, reason, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_opt_out);
Datum
smsflow_pg_opt_out(PG_FUNCTION_ARGS)
{
	LedgerEntry entry = {.disclosure = {0, true}};
	bool		ended;

	text_argument(fcinfo, 0, "phone");
	entry.purposes = PG_ARGISNULL(1) ? MARKETING_PURPOSES : purposes_argument(fcinfo, 1);
	entry.source = text_argument(fcinfo, 2, "source");
	entry.words = argument(fcinfo, 3);
	entry.evidence = smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	SPI_connect();
	ended = record_revocation(brand_argument(fcinfo, 4), argument(fcinfo, 0), &entry, (NullableDatum) {0, true});
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
	LOCAL_FCINFO(call, 5);

	InitFunctionCallInfoData(*call, fcinfo->flinfo, 5, InvalidOid, NULL, NULL);
	call->args[0] = smsflow_value(CStringGetTextDatum(PG_GETARG_CSTRING(0)));
	call->args[1] = (NullableDatum) {0, true};
	call->args[2] = smsflow_value(CStringGetTextDatum("api"));
	call->args[3] = (NullableDatum) {0, true};
	call->args[4] = (NullableDatum) {0, true};
	return smsflow_pg_opt_out(call);
}

/* record_opt_out(phone, purposes, channel, words, evidence, occurred_at, brand) */
PG_FUNCTION_INFO_V1(smsflow_pg_record_opt_out);
Datum
smsflow_pg_record_opt_out(PG_FUNCTION_ARGS)
{
	LedgerEntry entry = {.disclosure = {0, true}};
	SmsflowChannel channel;
	bool		ended;

	text_argument(fcinfo, 0, "phone");
	entry.purposes = purposes_argument(fcinfo, 1);
	entry.source = text_argument(fcinfo, 2, "channel");
	if (!smsflow_channel_from_name(entry.source, strlen(entry.source), &channel))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown channel \"%s\"", entry.source),
						errdetail("Channels are keyword, api, web, support, carrier, complaint and erasure."),
						errhint("Use one of these names, in small letters.")));
	entry.words = argument(fcinfo, 3);
	entry.evidence = object_argument(fcinfo, 4, "evidence");
	SPI_connect();
	ended = record_revocation(brand_argument(fcinfo, 6), argument(fcinfo, 0), &entry, argument(fcinfo, 5));
	SPI_finish();
	PG_RETURN_BOOL(ended);
}

/* ---- checks for functions written in SQL ---- */

/* brand_named(name text) returns integer; raises SF004 */
PG_FUNCTION_INFO_V1(smsflow_pg_brand_named);
Datum
smsflow_pg_brand_named(PG_FUNCTION_ARGS)
{
	int32		brand_id;

	SPI_connect();
	brand_id = brand_argument(fcinfo, 0);
	SPI_finish();
	PG_RETURN_INT32(brand_id);
}

/* purpose_named(name text) returns the enum value; raises SF007 */
PG_FUNCTION_INFO_V1(smsflow_pg_purpose_named);
Datum
smsflow_pg_purpose_named(PG_FUNCTION_ARGS)
{
	SmsflowPurpose purpose = purpose_named(PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_OID(smsflow_enum_oid(get_fn_expr_rettype(fcinfo->flinfo), smsflow_purpose_name(purpose)));
}
