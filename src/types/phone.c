/*
 * phone.c - the SQL type phone: an E.164 number as an eight-byte integer.
 *
 * A number has at most 15 digits and never begins with 0, so the integer keeps it exactly, and comparing, sorting and
 * hashing are those of bigint: phone.tables.sql declares them over the server's own functions.  The input function takes
 * only the international form, whatever the settings are, because a stored value must never depend on a setting;
 * national forms go through parse_phone().
 *
 * Phone numbers are personal data: no error text repeats one, only its mask.
 */
#include "../compat.h"

#include "../core/phone.h"
#include "../errcodes.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "types.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* How much of a text that is not a number may be shown. */
#define SHOWN_PREFIX 5
#define SHOWN_LENGTH 24

/* mask_text shows the beginning of a short text, at most a third of it, and a star for every further byte. */
static char *
mask_text(const char *text, size_t len)
{
	size_t shown = Min(len / 3, SHOWN_PREFIX);
	size_t total = Min(len, SHOWN_LENGTH);
	char *masked = palloc(total + 1);

	for (size_t i = 0; i < total; i++)
		masked[i] = i < shown && text[i] >= ' ' && text[i] <= '~' ? text[i] : '*';
	masked[total] = '\0';
	return masked;
}

/* invalid_phone reports a text that is no phone number, softly where the caller asked for that. */
static Datum
invalid_phone(Node *escontext, const char *text, size_t len, SmsflowPhoneError error, const char *hint)
{
	smsflow_ereturn(escontext, (Datum) 0, errcode(SMSFLOW_ERRCODE_INVALID_PHONE),
					errmsg("invalid phone number: \"%s\"", mask_text(text, len)),
					errdetail("It was refused because %s.", smsflow_phone_error_text(error)), errhint("%s", hint));
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_in);
Datum
smsflow_pg_phone_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	size_t len = strlen(text);
	int64_t phone = 0;
	SmsflowPhoneError error = smsflow_phone_parse(text, len, &phone);

	if (error != PHONE_OK)
		return invalid_phone(fcinfo->context, text, len, error,
							 "Write \"+\", the country code and the number, such as +14155552671; "
							 "smsflow.parse_phone() reads national formats.");
	PG_RETURN_PHONE(phone);
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_out);
Datum
smsflow_pg_phone_out(PG_FUNCTION_ARGS)
{
	char *out = palloc(SMSFLOW_PHONE_BUFSIZE);

	smsflow_phone_format(PG_GETARG_PHONE(0), out);
	PG_RETURN_CSTRING(out);
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_recv);
Datum
smsflow_pg_phone_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int64 phone = pq_getmsgint64(buf);

	if (!smsflow_phone_valid(phone))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_PHONE), errmsg("invalid binary phone number"),
						errdetail("The value is not the number formed by the digits of an E.164 phone number."),
						errhint("Send the digits after the \"+\" as one 64-bit integer in network byte order.")));
	PG_RETURN_PHONE(phone);
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_send);
Datum
smsflow_pg_phone_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, (uint64) PG_GETARG_PHONE(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* default_region returns the setting, or NULL if it is absent or empty. */
static const char *
default_region(void)
{
	const char *region = GetConfigOption("smsflow.default_region", true, false);

	return region != NULL && region[0] != '\0' ? region : NULL;
}

/*
 * read_number reads what the type's input takes, and what people write. Without a region "+49 0151..." is the number without its 0,
 * too: else one person would be two contacts, and a STOP would be found with the other one.
 */
static SmsflowPhoneError
read_number(const char *text, size_t len, const char *region, int64_t *phone)
{
	SmsflowPhoneError error = smsflow_phone_parse_national(text, len, region, phone);

	/* A number of another length than its country has can be looked up. */
	return error == PHONE_OK || region != NULL ? error : smsflow_phone_parse(text, len, phone);
}

int64
smsflow_phone_from_text(const char *text, size_t len, const char *region)
{
	int64_t phone = 0;
	SmsflowPhoneError error;

	if (region == NULL)
		region = default_region();
	error = read_number(text, len, region, &phone);
	if (error == PHONE_UNKNOWN_REGION)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown region \"%s\"", region),
						errdetail("Regions with a numbering plan have a two-letter code, ISO 3166-1 alpha-2."),
						errhint("Write, for example, US, GB or DE, or set smsflow.default_region to it.")));
	if (error != PHONE_OK)
		(void) invalid_phone(NULL, text, len, error,
							 region != NULL
								 ? "Write the number as it is dialled in its region, or with \"+\" and the country code."
								 : "Name the region, set smsflow.default_region, or write \"+\" and the country code.");
	return phone;
}

void
smsflow_require_assignable(int64 phone, const char *text)
{
	if (!smsflow_phone_assignable(phone))
		(void) invalid_phone(NULL, text, strlen(text), PHONE_NOT_ASSIGNABLE,
							 "Check it with its owner: a digit is wrong, missing or too many.");
}

/* phone_assignable(phone) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_pg_phone_assignable);
Datum
smsflow_pg_phone_assignable(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(smsflow_phone_assignable(PG_GETARG_PHONE(0)));
}

PG_FUNCTION_INFO_V1(smsflow_pg_parse_phone);
Datum
smsflow_pg_parse_phone(PG_FUNCTION_ARGS)
{
	text *number;
	char *region;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	number = PG_GETARG_TEXT_PP(0);
	region = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	PG_RETURN_PHONE(smsflow_phone_from_text(VARDATA_ANY(number), VARSIZE_ANY_EXHDR(number), region));
}

/* try_parse_phone(number text, region text) returns phone: NULL for what is no number there */
PG_FUNCTION_INFO_V1(smsflow_pg_try_parse_phone);
Datum
smsflow_pg_try_parse_phone(PG_FUNCTION_ARGS)
{
	const char *region = PG_ARGISNULL(1) ? default_region() : text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *number;
	int64_t phone;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	number = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (read_number(number, strlen(number), region, &phone) != PHONE_OK)
		PG_RETURN_NULL();
	PG_RETURN_PHONE(phone);
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_region);
Datum
smsflow_pg_phone_region(PG_FUNCTION_ARGS)
{
	const char *region = smsflow_phone_region(PG_GETARG_PHONE(0));

	if (region == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(region));
}

static const char *
kind_name(SmsflowPhoneKind kind)
{
	switch (kind)
	{
		case PHONE_KIND_UNKNOWN:
			return "unknown";
		case PHONE_KIND_MOBILE:
			return "mobile";
		case PHONE_KIND_FIXED:
			return "fixed";
		case PHONE_KIND_FIXED_OR_MOBILE:
			return "fixed_or_mobile";
	}
	return "unknown";
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_kind);
Datum
smsflow_pg_phone_kind(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(kind_name(smsflow_phone_kind(PG_GETARG_PHONE(0)))));
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_time_zones);
Datum
smsflow_pg_phone_time_zones(PG_FUNCTION_ARGS)
{
	int count = 0;
	const char *const *zones = smsflow_phone_time_zones(PG_GETARG_PHONE(0), &count);
	Datum *elements = palloc(sizeof(Datum) * (count + 1));

	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(zones[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

PG_FUNCTION_INFO_V1(smsflow_pg_phone_mask);
Datum
smsflow_pg_phone_mask(PG_FUNCTION_ARGS)
{
	char out[SMSFLOW_PHONE_BUFSIZE];
	size_t len = smsflow_phone_mask(PG_GETARG_PHONE(0), out);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, (int) len));
}
