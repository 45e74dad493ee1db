/*
 * text.c - what SQL sees of message texts: size, replacement characters, templates and replies.
 *
 * The rules are core's; this file moves text in and out.  core reads UTF-8, and so do gateways: in a database of SQL_ASCII
 * a text with other bytes is taken for ISO 8859-1, so that no name in old bytes stops a campaign.
 */
#include "../compat.h"

#include <ctype.h>

#include "../core/gsm.h"
#include "../core/instant.h"
#include "../core/keyword.h"
#include "../core/language.h"
#include "../core/short_id.h"
#include "../core/template.h"
#include "../errcodes.h"
#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "pgtime.h"
#include "types.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

char *
smsflow_latin1_text(const char *octets, size_t len)
{
	/* The server's own conversion does nothing in a database of SQL_ASCII. */
	return (char *) pg_do_encoding_conversion((unsigned char *) unconstify(char *, octets), (int) len, PG_LATIN1, PG_UTF8);
}

/* as_utf8 returns a text whose bytes are UTF-8: itself, but where one of a database of SQL_ASCII has others. */
static const char *
as_utf8(const char *body, size_t *len)
{
	const char *utf8 = body;

	if (GetDatabaseEncoding() != PG_UTF8 && !pg_verify_mbstr(PG_UTF8, body, (int) *len, true))
	{
		utf8 = smsflow_latin1_text(body, *len);
		*len = strlen(utf8);
	}
	return utf8;
}

/* utf8_from_text returns the bytes of a text in UTF-8, not zero-terminated. */
static const char *
utf8_from_text(text *body, size_t *len)
{
	*len = VARSIZE_ANY_EXHDR(body);
	return as_utf8(VARDATA_ANY(body), len);
}

/* result_row returns a row of the calling function's OUT parameters. */
static Datum
result_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * The server reads UTC-8, +05:30 and GMT5 as POSIX does, which counts hours to the west. Who writes them means the opposite,
 * and would be written to at night.
 */
static bool
is_offset(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || strpbrk(name, ",<>") != NULL)
		return true;
	return strchr(name, '/') == NULL && (strpbrk(name, "+-") != NULL || !isalpha((unsigned char) name[len - 1]));
}

pg_tz *
smsflow_time_zone(const char *name)
{
	pg_tz *zone = is_offset(name) ? NULL : pg_tzset(name);

	return zone != NULL && pg_tz_acceptable(zone) ? zone : NULL;
}

/* is_time_zone(name text) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_pg_is_time_zone);
Datum
smsflow_pg_is_time_zone(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(smsflow_time_zone(text_to_cstring(PG_GETARG_TEXT_PP(0))) != NULL);
}

PG_FUNCTION_INFO_V1(smsflow_pg_message_parts);
Datum
smsflow_pg_message_parts(PG_FUNCTION_ARGS)
{
	size_t len;
	const char *body = utf8_from_text(PG_GETARG_TEXT_PP(0), &len);
	SmsflowParts parts;
	Datum values[3];
	bool nulls[3] = {false, false, false};

	if (!smsflow_message_parts(body, len, &parts))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("message text is not valid UTF-8"),
						errdetail("Only valid UTF-8 can be encoded for the phone network."),
						errhint("Use a database with the encoding UTF8.")));
	values[0] = CStringGetTextDatum(parts.encoding == SMSFLOW_GSM7 ? "gsm7" : "ucs2");
	values[1] = Int32GetDatum(parts.units);
	values[2] = Int32GetDatum(parts.parts);
	return result_row(fcinfo, values, nulls);
}

char *
smsflow_smart_text(const char *body)
{
	size_t len = strlen(body);
	const char *utf8 = as_utf8(body, &len);
	size_t size = len + len / 2; /* the most that it writes */
	char *encoded = palloc(size + 1);

	len = smsflow_smart_encode(utf8, len, encoded, size);
	encoded[len] = '\0';
	return encoded;
}

PG_FUNCTION_INFO_V1(smsflow_pg_smart_encode);
Datum
smsflow_pg_smart_encode(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(smsflow_smart_text(text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

PG_FUNCTION_INFO_V1(smsflow_pg_classify_reply);
Datum
smsflow_pg_classify_reply(PG_FUNCTION_ARGS)
{
	size_t len;
	const char *body = utf8_from_text(PG_GETARG_TEXT_PP(0), &len);
	const char *rule = NULL;
	SmsflowReplyAction action = smsflow_classify_reply(body, len, &rule);
	Datum values[2] = {0};
	bool nulls[2] = {false, rule == NULL};

	values[0] = CStringGetTextDatum(smsflow_reply_action_name(action));
	if (rule != NULL)
		values[1] = CStringGetTextDatum(rule);
	return result_row(fcinfo, values, nulls);
}

/* language_fits(offered text, wanted text) returns integer */
PG_FUNCTION_INFO_V1(smsflow_pg_language_fits);
Datum
smsflow_pg_language_fits(PG_FUNCTION_ARGS)
{
	text *offered = PG_GETARG_TEXT_PP(0);
	text *wanted = PG_GETARG_TEXT_PP(1);
	int fits =
		smsflow_language_fits(VARDATA_ANY(offered), VARSIZE_ANY_EXHDR(offered), VARDATA_ANY(wanted), VARSIZE_ANY_EXHDR(wanted));

	if (fits < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(fits);
}

/* ---- templates ---- */

/* array_element returns the element a step such as "0" names, or NULL. */
static JsonbValue *
array_element(JsonbContainer *array, const char *step, size_t len)
{
	uint32 index = 0;

	if (len > 9)
		return NULL;
	for (size_t i = 0; i < len; i++)
	{
		if (step[i] < '0' || step[i] > '9')
			return NULL;
		index = index * 10 + (uint32) (step[i] - '0');
	}
	return getIthJsonbValueFromContainer(array, index);
}

static JsonbValue *
child(JsonbContainer *container, const char *step, size_t len)
{
	if (JsonContainerIsObject(container))
		return getKeyJsonValueFromContainer(container, step, (int) len, NULL);
	if (JsonContainerIsArray(container) && !JsonContainerIsScalar(container))
		return array_element(container, step, len);
	return NULL;
}

/* value_at returns what stands at a path, or NULL. */
static JsonbValue *
value_at(JsonbContainer *container, const char *path, size_t len)
{
	const char *end = path + len;

	for (;;)
	{
		const char *dot = memchr(path, '.', (size_t) (end - path));
		const char *step_end = dot != NULL ? dot : end;
		JsonbValue *value = child(container, path, (size_t) (step_end - path));

		if (value == NULL || dot == NULL)
			return value;
		if (value->type != jbvBinary)
			return NULL;
		container = value->val.binary.data;
		path = dot + 1;
	}
}

/* lookup_variable is the SmsflowTemplateLookup over a jsonb; objects, arrays and null have no text. */
static bool
lookup_variable(void *ctx, const char *path, size_t pathlen, const char **text, size_t *textlen)
{
	JsonbValue *value = value_at(&((Jsonb *) ctx)->root, path, pathlen);

	if (value == NULL)
		return false;
	switch (value->type)
	{
		case jbvString:
			*text = value->val.string.val;
			*textlen = (size_t) value->val.string.len;
			return true;
		case jbvNumeric:
			*text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
			*textlen = strlen(*text);
			return true;
		case jbvBool:
			*text = value->val.boolean ? "true" : "false";
			*textlen = strlen(*text);
			return true;
		default:
			return false;
	}
}

SmsflowVariables
smsflow_jsonb_variables(Jsonb *vars)
{
	return (SmsflowVariables){lookup_variable, vars};
}

/* No message is nearly as long; what hostile data makes longer ends here. */
#define MAX_RENDERED 65536

typedef struct Rendered
{
	StringInfoData text;
	bool is_message; /* one that is cut is refused as too long, and no other with it */
} Rendered;

static void
append_rendered(void *ctx, const char *text, size_t len)
{
	Rendered *out = ctx;
	const char *utf8 = as_utf8(text, &len);
	size_t room = MAX_RENDERED - (size_t) out->text.len;

	if (len > room && !out->is_message)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_TEMPLATE), errmsg("the rendered text is too long"),
						errdetail("It has more than %d bytes.", MAX_RENDERED),
						errhint("Shorten a value, as in {{note|truncate:100}}.")));
	if (len > room)
		len = (size_t) pg_encoding_mbcliplen(PG_UTF8, utf8, (int) len, (int) room);
	appendBinaryStringInfo(&out->text, utf8, (int) len);
}

/* A date has no zone and is shown as it is; an instant is shown in the zone of the recipient, the variable _time_zone. */
static bool
read_local(const SmsflowVariables *vars, const char *value, size_t len, Timestamp *local)
{
	const char *date = psprintf("%.*sT00:00:00Z", (int) Min(len, 10), value);
	const char *found;
	size_t found_len;
	const char *zone = "UTC";
	int64 instant;

	if (len == 10 && smsflow_instant_parse(date, strlen(date), &instant) == strlen(date))
	{
		*local = instant;
		return true;
	}
	if (!smsflow_instant_read(value, len, &instant))
		return false;
	if (vars->find(vars->ctx, "_time_zone", strlen("_time_zone"), &found, &found_len))
		zone = pnstrdup(found, found_len);
	if (pg_tzset(zone) == NULL)
		zone = "UTC";
	*local = DatumGetTimestamp(DirectFunctionCall2(timestamptz_zone, CStringGetTextDatum(zone), TimestampTzGetDatum(instant)));
	return true;
}

/* write_date is the SmsflowTemplateDate over the variables; the format is one of to_char(). */
static void
write_date(void *ctx, const char *format, size_t len, const char **value, size_t *valuelen)
{
	text *pattern = len > 0 ? cstring_to_text_with_len(format, (int) len) : cstring_to_text("FMDD Mon YYYY");
	Timestamp local;
	char *written;

	if (!read_local(ctx, *value, *valuelen, &local))
		return;
	written = text_to_cstring(DatumGetTextPP(
		DirectFunctionCall2Coll(timestamp_to_char, C_COLLATION_OID, TimestampGetDatum(local), PointerGetDatum(pattern))));
	*value = written;
	*valuelen = strlen(written);
}

static void
raise_template_error(const char *body, const SmsflowTemplateError *err)
{
	int position = pg_mbstrlen_with_len(body, (int) err->offset) + 1;
	char *excerpt = pnstrdup(body + err->offset, err->length);

	if (err->code == SMSFLOW_TEMPLATE_MISSING)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_TEMPLATE), errmsg("template variable \"%s\" has no value", excerpt),
						errdetail("%s It stands at character %d.", smsflow_template_error_text(err->code), position),
						errhint("Pass a text, number or boolean for it, or write a default: {{%s|text}}.", excerpt)));
	ereport(ERROR,
			(errcode(SMSFLOW_ERRCODE_INVALID_TEMPLATE), errmsg("invalid template at character %d", position),
			 errdetail("%s", smsflow_template_error_text(err->code)),
			 errhint("Write variables as {{name}}, {{cart.items.0.title}}, {{first_name|there}} or {{total|money:EUR}}.")));
}

/* render returns the rendered text; when a variable is missing it returns NULL and tells in err which. */
static char *
render(const char *body, const SmsflowVariables *vars, SmsflowTemplateLink link, void *link_ctx, bool is_message,
	   SmsflowTemplateError *err)
{
	const SmsflowTemplateValues values = {vars->find, vars->ctx,  link,
										  link_ctx,   write_date, unconstify(SmsflowVariables *, vars)};
	Rendered out = {.is_message = is_message};

	initStringInfo(&out.text);
	if (smsflow_template_render_values(body, strlen(body), &values, append_rendered, &out, err))
		return out.text.data;
	if (err->code != SMSFLOW_TEMPLATE_MISSING)
		raise_template_error(body, err);
	return NULL;
}

char *
smsflow_render_template(const char *body, Jsonb *vars)
{
	const SmsflowVariables values = smsflow_jsonb_variables(vars);
	SmsflowTemplateError err;
	char *rendered = render(body, &values, NULL, NULL, false, &err);

	if (rendered == NULL)
		raise_template_error(body, &err);
	return rendered;
}

char *
smsflow_try_render(const char *body, Jsonb *vars, char **missing)
{
	const SmsflowVariables values = smsflow_jsonb_variables(vars);

	return smsflow_render_links(body, &values, NULL, NULL, missing);
}

char *
smsflow_render_links(const char *body, const SmsflowVariables *vars, SmsflowTemplateLink link, void *link_ctx, char **missing)
{
	SmsflowTemplateError err;
	char *rendered = render(body, vars, link, link_ctx, true, &err);

	if (rendered == NULL)
		*missing = pnstrdup(body + err.offset, err.length);
	return rendered;
}

void
smsflow_require_template(const char *body)
{
	SmsflowTemplateError err;

	if (!smsflow_template_check(body, strlen(body), &err))
		raise_template_error(body, &err);
}

void
smsflow_count_parts(const char *body, SmsflowParts *parts)
{
	size_t len = strlen(body);
	const char *utf8 = as_utf8(body, &len);

	if (!smsflow_message_parts(utf8, len, parts))
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("message text is not valid UTF-8"),
						errhint("Use a database with the encoding UTF8.")));
}

bool
smsflow_jsonb_text(Jsonb *json, const char *path, const char **text, size_t *len)
{
	return lookup_variable(json, path, strlen(path), text, len);
}

bool
smsflow_jsonb_field(Jsonb *json, const char *paths, const char **text, size_t *len)
{
	size_t length;

	for (; *paths != '\0'; paths += length + strspn(paths + length, " "))
	{
		length = strcspn(paths, " ");
		if (paths[0] == '=')
		{
			*text = paths + 1;
			*len = length - 1;
			return true;
		}
		if (length > 0 && lookup_variable(json, paths, length, text, len) && *len > 0)
			return true;
	}
	return false;
}

Jsonb *
smsflow_jsonb_at(Jsonb *json, const char *path)
{
	JsonbValue *value;

	if (path[0] == '\0')
		return json;
	value = value_at(&json->root, path, strlen(path));
	return value != NULL && value->type == jbvBinary ? JsonbValueToJsonb(value) : NULL;
}

/* read_instant(written text) returns timestamptz */
PG_FUNCTION_INFO_V1(smsflow_pg_read_instant);
Datum
smsflow_pg_read_instant(PG_FUNCTION_ARGS)
{
	text *written = PG_GETARG_TEXT_PP(0);
	int64 instant;

	if (!smsflow_instant_read(VARDATA_ANY(written), VARSIZE_ANY_EXHDR(written), &instant))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(instant);
}

/* field(fields jsonb, paths text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_field);
Datum
smsflow_pg_field(PG_FUNCTION_ARGS)
{
	const char *found;
	size_t length;

	if (!smsflow_jsonb_field(PG_GETARG_JSONB_P(0), text_to_cstring(PG_GETARG_TEXT_PP(1)), &found, &length))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(found, (int) length));
}

/* short_id(id text) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_short_id);
Datum
smsflow_pg_short_id(PG_FUNCTION_ARGS)
{
	text *id = PG_GETARG_TEXT_PP(0);
	char out[SMSFLOW_SHORT_ID_BUFSIZE];
	size_t length = smsflow_short_id(VARDATA_ANY(id), VARSIZE_ANY_EXHDR(id), out, sizeof(out));

	PG_RETURN_TEXT_P(cstring_to_text_with_len(out, (int) length));
}

PG_FUNCTION_INFO_V1(smsflow_pg_render);
Datum
smsflow_pg_render(PG_FUNCTION_ARGS)
{
	char *body = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(smsflow_render_template(body, PG_GETARG_JSONB_P(1))));
}
