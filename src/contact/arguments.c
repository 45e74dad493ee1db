/*
 * arguments.c - what callers pass, read and checked in one place, so that an error in an argument says that and what to do.
 */
#include "contact/contact.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"

#include "core/phone.h"
#include "core/region.h"
#include "errcodes.h"
#include "types/types.h"

#define SPACES " \t\r\n"

static SmsflowStatement find_brand = {.sql = "SELECT brand_id FROM smsflow.brand WHERE name = $1",
									  .nargs = 1,
									  .types = (const Oid[]){TEXTOID}};

const char *
smsflow_text_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	const char *value = PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));

	if (value[strspn(value, " \t\r\n")] == '\0')
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s must not be empty", name),
						errdetail("The argument \"%s\" is null or blank.", name), errhint("Pass a text.")));
	return value;
}

NullableDatum
smsflow_phone_argument(FunctionCallInfo fcinfo, int n)
{
	const char *text = smsflow_text_argument(fcinfo, n, "phone");
	char number[SMSFLOW_PHONE_BUFSIZE];

	smsflow_phone_format(smsflow_phone_from_text(text, strlen(text), NULL), number);
	return smsflow_value(CStringGetTextDatum(number));
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

int32
smsflow_brand_argument(FunctionCallInfo fcinfo, int n)
{
	return smsflow_brand_id(PG_ARGISNULL(n) ? "default" : text_to_cstring(PG_GETARG_TEXT_PP(n)));
}

SmsflowPurpose
smsflow_purpose_named(const char *name)
{
	SmsflowPurpose purpose;

	if (!smsflow_purpose_from_name(name, strlen(name), &purpose))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown purpose \"%s\"", name),
						errdetail("Purposes are compliance, otp, transactional, conversational, cart and promotional."),
						errhint("Use one of these names, in small letters.")));
	return purpose;
}

NullableDatum
smsflow_purpose_argument(FunctionCallInfo fcinfo, int n)
{
	(void) smsflow_purpose_named(PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n)));
	return fcinfo->args[n];
}

unsigned
smsflow_purposes_argument(FunctionCallInfo fcinfo, int n)
{
	unsigned purposes = 0;
	Datum *names = NULL;
	bool *nulls = NULL;
	int count = 0;

	if (!PG_ARGISNULL(n))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
		purposes |= 1u << smsflow_purpose_named(nulls[i] ? "" : TextDatumGetCString(names[i]));
	if (purposes == 0)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("purposes must not be empty"),
						errdetail("Consent is always given and ended for named purposes."),
						errhint("Pass an array such as '{promotional,cart}'.")));
	return purposes;
}

const char *
smsflow_level_argument(FunctionCallInfo fcinfo, int n)
{
	const char *name = PG_ARGISNULL(n) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(n));
	SmsflowLevel level;

	if (!smsflow_level_from_name(name, strlen(name), &level) || level == SMSFLOW_LEVEL_NONE)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown consent level \"%s\"", name),
						errdetail("Levels that can be granted are implied, express, written and confirmed."),
						errhint("Somebody who ticked a box beside the disclosure agreed in writing: \"written\".")));
	return name;
}

NullableDatum
smsflow_object_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		return smsflow_value(DirectFunctionCall1(jsonb_in, CStringGetDatum("{}")));
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(n)))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("%s must be a JSON object", name),
						errdetail("The argument \"%s\" is an array or a scalar.", name),
						errhint("Pass an object such as '{\"key\": \"value\"}'.")));
	return fcinfo->args[n];
}

/* Text of an attribute (jsonb), NULL: it is not there. */
static const char *
attribute(NullableDatum attributes, const char *name)
{
	Datum value;
	LOCAL_FCINFO(call, 2);

	InitFunctionCallInfoData(*call, NULL, 2, InvalidOid, NULL, NULL);
	call->args[0] = attributes;
	call->args[1] = smsflow_value(CStringGetTextDatum(name));
	value = jsonb_object_field_text(call);
	return call->isnull ? NULL : TextDatumGetCString(value);
}

/* The code of a region that is written in any case, perhaps with spaces around it; NULL: there is none, or it is not known. */
static const char *
known_region(const char *text)
{
	size_t len;
	const char *code;

	text += strspn(text, SPACES);
	len = strlen(text);
	while (len > 0 && strchr(SPACES, text[len - 1]) != NULL)
		len--;
	code = asc_toupper(text, len);
	return smsflow_region_of_address(code) ? code : NULL;
}

/* People type their state into forms: a sign-up, and the checkout that it is part of, does not fail by that. */
void
smsflow_check_place(NullableDatum attributes)
{
	const char *name = attribute(attributes, "time_zone");
	const char *region = attribute(attributes, "region");

	if (name && smsflow_time_zone(name) == NULL)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown time zone \"%s\"", name),
						errdetail("The attribute \"time_zone\" decides when this person may be written to."),
						errhint("Use an IANA name such as \"America/New_York\".")));
	if (region && region[strspn(region, SPACES)] != '\0' && known_region(region) == NULL)
		ereport(WARNING, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown region \"%s\"", region),
						  errdetail("The attribute \"region\" decides which law holds for this person. It is left out."),
						  errhint("Use a code of ISO 3166 such as \"FR\" or \"US-FL\".")));
}

/* known_region(name text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_known_region);
Datum
smsflow_pg_known_region(PG_FUNCTION_ARGS)
{
	const char *code = known_region(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (code == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(code));
}

NullableDatum
smsflow_new_phone_argument(FunctionCallInfo fcinfo, int n)
{
	const char *text = smsflow_text_argument(fcinfo, n, "phone");

	smsflow_require_assignable(smsflow_phone_from_text(text, strlen(text), NULL), text);
	return smsflow_phone_argument(fcinfo, n);
}

/* ---- checks for functions written in SQL ---- */

/* brand_named(name text) returns integer; raises SF004 */
PG_FUNCTION_INFO_V1(smsflow_pg_brand_named);
Datum
smsflow_pg_brand_named(PG_FUNCTION_ARGS)
{
	int32 brand_id;

	SPI_connect();
	brand_id = smsflow_brand_argument(fcinfo, 0);
	SPI_finish();
	PG_RETURN_INT32(brand_id);
}

/* purpose_named(name text) returns the enum value; raises SF007 */
PG_FUNCTION_INFO_V1(smsflow_pg_purpose_named);
Datum
smsflow_pg_purpose_named(PG_FUNCTION_ARGS)
{
	SmsflowPurpose purpose = smsflow_purpose_named(PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0)));

	PG_RETURN_OID(smsflow_enum_oid(get_fn_expr_rettype(fcinfo->flinfo), smsflow_purpose_name(purpose)));
}
