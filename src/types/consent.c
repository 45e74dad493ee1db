/*
 * consent.c - the SQL types consent and opt_out.
 *
 * A consent is stored as a 32-bit mask of the cells that are not empty and the instants of those cells: a person who
 * agreed once takes 13 bytes instead of the 240 of the whole grid.  An opt_out is stored as its purposes, channel, instant
 * and words.  Both layouts are canonical, equal values have equal bytes, so comparing and hashing are those of bytea:
 * consent.tables.sql declares them over the server's own functions.
 */
#include "../compat.h"

#include "../core/consent.h"
#include "../core/opt_out.h"
#include "../errcodes.h"
#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "types.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define CELLS_PER_PURPOSE SMSFLOW_LEVELS /* a grant per level above none, and the revocation */
#define CELLS (SMSFLOW_PURPOSES * CELLS_PER_PURPOSE)

#define OPT_OUT_HEADER (2 + sizeof(int64)) /* purposes, channel, instant */

/* ---- enums ---- */

static NameData
enum_label(Oid value)
{
	HeapTuple tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
	NameData label;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum value %u", value);
	label = ((Form_pg_enum) GETSTRUCT(tuple))->enumlabel;
	ReleaseSysCache(tuple);
	return label;
}

SmsflowPurpose
smsflow_purpose_from_oid(Oid value)
{
	NameData label = enum_label(value);
	SmsflowPurpose purpose;

	if (!smsflow_purpose_from_name(NameStr(label), strlen(NameStr(label)), &purpose))
		elog(ERROR, "unexpected purpose \"%s\"", NameStr(label));
	return purpose;
}

SmsflowLevel
smsflow_level_from_oid(Oid value)
{
	NameData label = enum_label(value);
	SmsflowLevel level;

	if (!smsflow_level_from_name(NameStr(label), strlen(NameStr(label)), &level))
		elog(ERROR, "unexpected consent level \"%s\"", NameStr(label));
	return level;
}

Oid
smsflow_enum_oid(Oid enum_type, const char *label)
{
	HeapTuple tuple = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(enum_type), CStringGetDatum(label));
	Oid value;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for label \"%s\" of enum %u", label, enum_type);
	value = ((Form_pg_enum) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return value;
}

/* check_instant converts a timestamptz argument to an instant of core. */
static int64
check_instant(TimestampTz at)
{
	if (!smsflow_instant_is_valid(at))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("instant is out of range"),
						errdetail("Consent is given and revoked at an instant between the years 1 and 9999."),
						errhint("Pass the time at which it happened, such as now().")));
	return at;
}

/* ---- packing ---- */

static int64_t *
cell(SmsflowConsent *consent, int index)
{
	int purpose = index / CELLS_PER_PURPOSE;
	int level = index % CELLS_PER_PURPOSE;

	return level < SMSFLOW_LEVELS - 1 ? &consent->granted[purpose][level] : &consent->revoked[purpose];
}

SmsflowConsent *
smsflow_consent_unpack(Datum datum)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	const char *p = VARDATA_ANY(packed);
	SmsflowConsent *consent = palloc(sizeof(SmsflowConsent));
	uint32 mask;

	smsflow_consent_clear(consent);
	memcpy(&mask, p, sizeof(mask));
	p += sizeof(mask);
	for (int i = 0; i < CELLS; i++)
	{
		if ((mask & (UINT32_C(1) << i)) == 0)
			continue;
		memcpy(cell(consent, i), p, sizeof(int64));
		p += sizeof(int64);
	}
	return consent;
}

Datum
smsflow_consent_pack(const SmsflowConsent *consent)
{
	SmsflowConsent copy = *consent;
	struct varlena *packed = palloc(VARHDRSZ + sizeof(uint32) + CELLS * sizeof(int64));
	char *p = VARDATA(packed) + sizeof(uint32);
	uint32 mask = 0;

	for (int i = 0; i < CELLS; i++)
	{
		if (*cell(&copy, i) == SMSFLOW_NEVER)
			continue;
		mask |= UINT32_C(1) << i;
		memcpy(p, cell(&copy, i), sizeof(int64));
		p += sizeof(int64);
	}
	memcpy(VARDATA(packed), &mask, sizeof(mask));
	SET_VARSIZE(packed, p - (char *) packed);
	return PointerGetDatum(packed);
}

SmsflowOptOut *
smsflow_opt_out_unpack(Datum datum)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(datum);
	const char *p = VARDATA_ANY(packed);
	SmsflowOptOut *opt_out = palloc0(sizeof(SmsflowOptOut));

	opt_out->purposes = (uint8) p[0];
	opt_out->channel = (SmsflowChannel) p[1];
	memcpy(&opt_out->at, p + 2, sizeof(int64));
	opt_out->words = p + OPT_OUT_HEADER;
	opt_out->words_len = VARSIZE_ANY_EXHDR(packed) - OPT_OUT_HEADER;
	return opt_out;
}

Datum
smsflow_opt_out_pack(const SmsflowOptOut *opt_out)
{
	size_t size = VARHDRSZ + OPT_OUT_HEADER + opt_out->words_len;
	struct varlena *packed = palloc(size);
	char *p = VARDATA(packed);

	SET_VARSIZE(packed, size);
	p[0] = (char) opt_out->purposes;
	p[1] = (char) opt_out->channel;
	memcpy(p + 2, &opt_out->at, sizeof(int64));
	if (opt_out->words_len > 0)
		memcpy(p + OPT_OUT_HEADER, opt_out->words, opt_out->words_len);
	return PointerGetDatum(packed);
}

/* ---- input and output of consent ---- */

PG_FUNCTION_INFO_V1(smsflow_pg_consent_in);
Datum
smsflow_pg_consent_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	SmsflowConsent consent;
	size_t offset;
	SmsflowConsentError error = smsflow_consent_parse(text, strlen(text), &consent, &offset);

	if (error != SMSFLOW_CONSENT_OK)
		smsflow_ereturn(fcinfo->context, (Datum) 0, errcode(SMSFLOW_ERRCODE_INVALID_CONSENT),
						errmsg("invalid input for type consent at character %d", pg_mbstrlen_with_len(text, (int) offset) + 1),
						errdetail("%s", smsflow_consent_error_text(error)),
						errhint("The empty value is written \"none\"; another example is "
								"\"promotional: written since 2026-01-05T10:00:00Z\"."));
	PG_RETURN_CONSENT_P(&consent);
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_out);
Datum
smsflow_pg_consent_out(PG_FUNCTION_ARGS)
{
	char text[SMSFLOW_CONSENT_TEXT_SIZE];

	smsflow_consent_format(PG_GETARG_CONSENT_P(0), text);
	PG_RETURN_CSTRING(pstrdup(text));
}

/* check_received refuses a binary value that no text could have entered. */
static void
check_received(bool valid, const char *type)
{
	if (!valid)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_CONSENT), errmsg("invalid binary value of type %s", type),
						errdetail("The value has unknown parts or an instant outside the years 1 to 9999."),
						errhint("Send what the send function of the type made, or use the text form.")));
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_recv);
Datum
smsflow_pg_consent_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	uint32 mask = pq_getmsgint(buf, sizeof(uint32));
	SmsflowConsent consent;

	check_received(mask >> CELLS == 0, "consent");
	smsflow_consent_clear(&consent);
	for (int i = 0; i < CELLS; i++)
	{
		if ((mask & (UINT32_C(1) << i)) == 0)
			continue;
		*cell(&consent, i) = pq_getmsgint64(buf);
		check_received(smsflow_instant_is_valid(*cell(&consent, i)), "consent");
	}
	PG_RETURN_CONSENT_P(&consent);
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_send);
Datum
smsflow_pg_consent_send(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	StringInfoData buf;
	uint32 mask = 0;

	for (int i = 0; i < CELLS; i++)
	{
		if (*cell(consent, i) != SMSFLOW_NEVER)
			mask |= UINT32_C(1) << i;
	}
	pq_begintypsend(&buf);
	pq_sendint32(&buf, mask);
	for (int i = 0; i < CELLS; i++)
	{
		if (*cell(consent, i) != SMSFLOW_NEVER)
			pq_sendint64(&buf, (uint64) *cell(consent, i));
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* ---- input and output of opt_out ---- */

PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_in);
Datum
smsflow_pg_opt_out_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	size_t len = strlen(text);
	SmsflowOptOut opt_out;
	size_t offset;
	SmsflowOptOutError error = smsflow_opt_out_parse(text, len, palloc(len + 1), &opt_out, &offset);

	if (error != SMSFLOW_OPT_OUT_OK)
		smsflow_ereturn(fcinfo->context, (Datum) 0, errcode(SMSFLOW_ERRCODE_INVALID_CONSENT),
						errmsg("invalid input for type opt_out at character %d", pg_mbstrlen_with_len(text, (int) offset) + 1),
						errdetail("%s", smsflow_opt_out_error_text(error)),
						errhint("An example is 'cart, promotional by keyword at 2026-02-01T08:00:00Z "
								"saying \"STOP\"'."));
	PG_RETURN_OPT_OUT_P(&opt_out);
}

PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_out);
Datum
smsflow_pg_opt_out_out(PG_FUNCTION_ARGS)
{
	SmsflowOptOut *opt_out = PG_GETARG_OPT_OUT_P(0);
	char *text = palloc(smsflow_opt_out_text_size(opt_out));

	smsflow_opt_out_format(opt_out, text);
	PG_RETURN_CSTRING(text);
}

PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_recv);
Datum
smsflow_pg_opt_out_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int purposes = pq_getmsgbyte(buf);
	int channel = pq_getmsgbyte(buf);
	int words_len;
	SmsflowOptOut opt_out = {0};

	check_received(purposes != 0 && (purposes & ~SMSFLOW_OPT_OUT_PURPOSE_MASK) == 0, "opt_out");
	check_received(channel < SMSFLOW_CHANNELS, "opt_out");
	opt_out.purposes = (uint8) purposes;
	opt_out.channel = (SmsflowChannel) channel;
	opt_out.at = pq_getmsgint64(buf);
	check_received(smsflow_instant_is_valid(opt_out.at), "opt_out");
	opt_out.words = pq_getmsgtext(buf, buf->len - buf->cursor, &words_len);
	opt_out.words_len = (size_t) words_len;
	PG_RETURN_OPT_OUT_P(&opt_out);
}

PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_send);
Datum
smsflow_pg_opt_out_send(PG_FUNCTION_ARGS)
{
	SmsflowOptOut *opt_out = PG_GETARG_OPT_OUT_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, opt_out->purposes);
	pq_sendbyte(&buf, (uint8) opt_out->channel);
	pq_sendint64(&buf, (uint64) opt_out->at);
	pq_sendtext(&buf, opt_out->words, (int) opt_out->words_len);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* ---- the algebra ---- */

PG_FUNCTION_INFO_V1(smsflow_pg_consent_merge);
Datum
smsflow_pg_consent_merge(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);

	smsflow_consent_merge(consent, PG_GETARG_CONSENT_P(1));
	PG_RETURN_CONSENT_P(consent);
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_apply);
Datum
smsflow_pg_consent_apply(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);

	smsflow_consent_apply(consent, PG_GETARG_OPT_OUT_P(1));
	PG_RETURN_CONSENT_P(consent);
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_contains);
Datum
smsflow_pg_consent_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(smsflow_consent_contains(PG_GETARG_CONSENT_P(0), PG_GETARG_CONSENT_P(1)));
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_contained);
Datum
smsflow_pg_consent_contained(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(smsflow_consent_contains(PG_GETARG_CONSENT_P(1), PG_GETARG_CONSENT_P(0)));
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_grant);
Datum
smsflow_pg_consent_grant(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	SmsflowPurpose purpose = smsflow_purpose_from_oid(PG_GETARG_OID(1));
	SmsflowLevel level = smsflow_level_from_oid(PG_GETARG_OID(2));
	int64 at = check_instant(PG_GETARG_TIMESTAMPTZ(3));

	if (level == SMSFLOW_LEVEL_NONE)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("level \"none\" cannot be granted"),
						errdetail("A grant has the level implied, express, written or confirmed."),
						errhint("To revoke consent, subtract an opt_out from it.")));
	smsflow_consent_grant(consent, purpose, level, at);
	PG_RETURN_CONSENT_P(consent);
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_level);
Datum
smsflow_pg_consent_level(PG_FUNCTION_ARGS)
{
	SmsflowLevel level = smsflow_consent_level(PG_GETARG_CONSENT_P(0), smsflow_purpose_from_oid(PG_GETARG_OID(1)));

	PG_RETURN_OID(smsflow_enum_oid(get_func_rettype(fcinfo->flinfo->fn_oid), smsflow_level_name(level)));
}

PG_FUNCTION_INFO_V1(smsflow_pg_permits);
Datum
smsflow_pg_permits(PG_FUNCTION_ARGS)
{
	SmsflowLevel level = smsflow_consent_level(PG_GETARG_CONSENT_P(0), smsflow_purpose_from_oid(PG_GETARG_OID(1)));

	PG_RETURN_BOOL(level >= smsflow_level_from_oid(PG_GETARG_OID(2)));
}

/* ---- making an opt_out ---- */

/* purposes_from_array returns the mask of the purposes in an array of smsflow.purpose. */
static uint8
purposes_from_array(ArrayType *array)
{
	Datum *elements;
	bool *nulls;
	int count;
	uint8 purposes = 0;

	deconstruct_array(array, ARR_ELEMTYPE(array), sizeof(Oid), true, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			purposes |= (uint8) (1u << smsflow_purpose_from_oid(DatumGetObjectId(elements[i])));
	}
	if (purposes == 0 || array_contains_nulls(array))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("an opt_out needs purposes"),
						errdetail("The array is empty or contains a null."),
						errhint("Name what the person no longer wants, such as '{cart,promotional}'.")));
	return purposes;
}

static SmsflowChannel
channel_from_text(text *name)
{
	SmsflowChannel channel;

	if (!smsflow_channel_from_name(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &channel))
		ereport(ERROR,
				(errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown opt-out channel \"%s\"", text_to_cstring(name)),
				 errdetail("An opt-out comes through a channel that smsflow knows."),
				 errhint("Use keyword, api, web, support, carrier, complaint or erasure.")));
	return channel;
}

static void
require_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("argument \"%s\" must not be null", name),
						errdetail("Only the words of an opt_out may be absent."),
						errhint("Pass the purposes, the channel and the time of the opt-out.")));
}

PG_FUNCTION_INFO_V1(smsflow_pg_make_opt_out);
Datum
smsflow_pg_make_opt_out(PG_FUNCTION_ARGS)
{
	SmsflowOptOut opt_out = {0};

	require_argument(fcinfo, 0, "purposes");
	require_argument(fcinfo, 1, "channel");
	require_argument(fcinfo, 3, "at");
	opt_out.purposes = purposes_from_array(PG_GETARG_ARRAYTYPE_P(0));
	opt_out.channel = channel_from_text(PG_GETARG_TEXT_PP(1));
	opt_out.at = check_instant(PG_GETARG_TIMESTAMPTZ(3));
	if (!PG_ARGISNULL(2))
	{
		text *words = PG_GETARG_TEXT_PP(2);

		opt_out.words = VARDATA_ANY(words);
		opt_out.words_len = VARSIZE_ANY_EXHDR(words);
	}
	PG_RETURN_OPT_OUT_P(&opt_out);
}

/* ---- casts to jsonb ---- */

static void
append_instant(StringInfo json, int64 at)
{
	char text[SMSFLOW_INSTANT_TEXT_SIZE];

	smsflow_instant_format(at, text);
	appendStringInfo(json, "\"%s\"", text);
}

/* append_purpose appends the member of one purpose unless nothing is known of it. */
static void
append_purpose(StringInfo json, const SmsflowConsent *consent, SmsflowPurpose purpose)
{
	const char *separator = "";
	StringInfoData grants;

	initStringInfo(&grants);
	for (int level = 1; level < SMSFLOW_LEVELS; level++)
	{
		if (consent->granted[purpose][level - 1] == SMSFLOW_NEVER)
			continue;
		appendStringInfo(&grants, "%s\"%s\": ", separator, smsflow_level_name((SmsflowLevel) level));
		append_instant(&grants, consent->granted[purpose][level - 1]);
		separator = ", ";
	}
	if (grants.len == 0 && consent->revoked[purpose] == SMSFLOW_NEVER)
		return;
	appendStringInfo(json, "%s\"%s\": {\"level\": \"%s\", \"granted\": {%s}, \"revoked\": ", json->len > 1 ? ", " : "",
					 smsflow_purpose_name(purpose), smsflow_level_name(smsflow_consent_level(consent, purpose)), grants.data);
	if (consent->revoked[purpose] == SMSFLOW_NEVER)
		appendStringInfoString(json, "null");
	else
		append_instant(json, consent->revoked[purpose]);
	appendStringInfoChar(json, '}');
}

PG_FUNCTION_INFO_V1(smsflow_pg_consent_to_jsonb);
Datum
smsflow_pg_consent_to_jsonb(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		append_purpose(&json, consent, (SmsflowPurpose) purpose);
	appendStringInfoChar(&json, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

PG_FUNCTION_INFO_V1(smsflow_pg_opt_out_to_jsonb);
Datum
smsflow_pg_opt_out_to_jsonb(PG_FUNCTION_ARGS)
{
	SmsflowOptOut *opt_out = PG_GETARG_OPT_OUT_P(0);
	const char *separator = "";
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"purposes\": [");
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
	{
		if ((opt_out->purposes & (1u << purpose)) == 0)
			continue;
		appendStringInfo(&json, "%s\"%s\"", separator, smsflow_purpose_name((SmsflowPurpose) purpose));
		separator = ", ";
	}
	appendStringInfo(&json, "], \"channel\": \"%s\", \"at\": ", smsflow_channel_name(opt_out->channel));
	append_instant(&json, opt_out->at);
	appendStringInfoString(&json, ", \"words\": ");
	if (opt_out->words_len == 0)
		appendStringInfoString(&json, "null");
	else
		escape_json(&json, pnstrdup(opt_out->words, opt_out->words_len));
	appendStringInfoChar(&json, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}
