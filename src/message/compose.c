/*
 * compose.c - see compose.h. Brand and opt-out wording are put around the template and not around each text made of it:
 * a campaign does it once for all its recipients.
 */
#include "message/compose.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "message/policy.h"

SmsflowMissing
smsflow_missing_from_name(const char *name)
{
	static const char *const names[] = {[MISSING_SKIP] = "skip", [MISSING_BLANK] = "blank", [MISSING_FAIL] = "fail"};

	for (int i = MISSING_SKIP; name != NULL && i <= MISSING_FAIL; i++)
		if (strcmp(name, names[i]) == 0)
			return (SmsflowMissing) i;
	return MISSING_UNSAID;
}

/* ---- dressing ---- */

/* Whether the variable brand, or _brand, stands in a template. */
static bool
has_brand_variable(const char *body)
{
	for (const char *at = strstr(body, "{{"); at != NULL; at = strstr(at + 2, "{{"))
	{
		const char *name = at + 2;

		name += strspn(name, " \t\r\n");
		name += *name == '_';
		if (strncmp(name, "brand", 5) == 0 && strchr(" \t\r\n|}", name[5]) != NULL)
			return true;
	}
	return false;
}

/* The prefix without the colon or dash that ends it is a name of the brand, too; "default" is none. */
static bool
names_brand(const char *body, const char *brand, const char *prefix)
{
	char *name = pstrdup(prefix);
	size_t len = strlen(name);

	while (len > 0 && strchr(" :-", name[len - 1]) != NULL)
		name[--len] = '\0';
	return has_brand_variable(body) || (len > 0 && smsflow_text_names(body, name)) ||
		   (strcmp(brand, "default") != 0 && smsflow_text_names(body, brand));
}

const char *
smsflow_dress(const SmsflowTextPolicy *policy, const char *brand, const char *body)
{
	const char *prefix = policy->prefix;
	const char *end = policy->opt_out_text;

	if (body[strspn(body, " \t\r\n")] == '\0')
		return body;
	if (prefix[0] != '\0' && names_brand(body, brand, prefix))
		prefix = "";
	if (end[0] != '\0' && smsflow_has_opt_out_wording(body, strlen(body)))
		end = "";
	if (prefix[0] == '\0' && end[0] == '\0')
		return body;
	return psprintf("%s%s%s%s", prefix, body, end[0] != '\0' ? " " : "", end);
}

/* ---- writing ---- */

/* find_or_blank is the SmsflowTemplateLookup over SmsflowVariables to which a missing value is a blank one. */
static bool
find_or_blank(void *ctx, const char *path, size_t len, const char **value, size_t *value_len)
{
	const SmsflowVariables *vars = ctx;

	if (vars->find(vars->ctx, path, len, value, value_len))
		return true;
	*value = "";
	*value_len = 0;
	return true;
}

void
smsflow_compose(const SmsflowComposer *composer, const char *body, const SmsflowVariables *vars, SmsflowText *written)
{
	const SmsflowVariables with_blanks = {find_or_blank, unconstify(SmsflowVariables *, vars)};
	SmsflowLinks links = {.domain = composer->domain, .vars = vars};

	*written = (SmsflowText){.links = {0, true}, .refusal = "missing_variable"};
	written->body = smsflow_render_links(body, composer->policy.missing == MISSING_BLANK ? &with_blanks : vars, smsflow_shorten,
										 &links, &written->missing);
	if (written->body == NULL)
		return;
	if (composer->policy.is_smart)
		written->body = smsflow_smart_text(written->body);
	written->links = smsflow_link_targets(&links);
	smsflow_count_parts(written->body, &written->parts);
	if (written->parts.parts > 0)
		written->refusal = smsflow_content_refusal(written->body, composer->purpose, composer->brand);
}

/* ---- for SQL ---- */

static const char *
text_column(HeapTupleHeader row, const char *column)
{
	bool isnull;
	Datum value = GetAttributeByName(row, column, &isnull);

	return isnull ? "" : TextDatumGetCString(value);
}

/* policy_argument reads a row of smsflow.text_policy; null, or one of nulls, is a policy that wants nothing. */
static SmsflowTextPolicy
policy_argument(FunctionCallInfo fcinfo, int n)
{
	HeapTupleHeader row;
	bool isnull;
	Datum is_smart;

	if (PG_ARGISNULL(n))
		return (SmsflowTextPolicy){"", "", false, MISSING_UNSAID};
	row = PG_GETARG_HEAPTUPLEHEADER(n);
	is_smart = GetAttributeByName(row, "smart_encode", &isnull);
	return (SmsflowTextPolicy){text_column(row, "prefix"), text_column(row, "opt_out_text"), !isnull && DatumGetBool(is_smart),
							   smsflow_missing_from_name(text_column(row, "missing"))};
}

/* dress_text(body text, brand text, policy smsflow.text_policy) returns text */
PG_FUNCTION_INFO_V1(smsflow_pg_dress_text);
Datum
smsflow_pg_dress_text(PG_FUNCTION_ARGS)
{
	const SmsflowTextPolicy policy = policy_argument(fcinfo, 2);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(
		cstring_to_text(smsflow_dress(&policy, text_to_cstring(PG_GETARG_TEXT_PP(1)), text_to_cstring(PG_GETARG_TEXT_PP(0)))));
}

/* compose_text(body text, vars jsonb, brand text, purpose smsflow.purpose, policy smsflow.text_policy) returns record */
PG_FUNCTION_INFO_V1(smsflow_pg_compose_text);
Datum
smsflow_pg_compose_text(PG_FUNCTION_ARGS)
{
	const char *brand;
	SmsflowVariables vars;
	SmsflowComposer composer;
	SmsflowText written;
	TupleDesc columns;
	Datum values[6] = {0};
	bool nulls[6] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	brand = text_to_cstring(PG_GETARG_TEXT_PP(2));
	vars = smsflow_jsonb_variables(PG_GETARG_JSONB_P(1));
	composer = (SmsflowComposer){brand, smsflow_purpose_from_oid(PG_GETARG_OID(3)), policy_argument(fcinfo, 4),
								 smsflow_link_domain_for(fcinfo->flinfo)};
	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	smsflow_compose(&composer, smsflow_dress(&composer.policy, brand, text_to_cstring(PG_GETARG_TEXT_PP(0))), &vars, &written);
	nulls[0] = written.body == NULL;
	values[0] = nulls[0] ? 0 : CStringGetTextDatum(written.body);
	values[1] = Int32GetDatum(written.parts.parts);
	values[2] = BoolGetDatum(written.parts.encoding == SMSFLOW_UCS2);
	nulls[3] = written.missing == NULL;
	values[3] = nulls[3] ? 0 : CStringGetTextDatum(written.missing);
	values[4] = written.links.value;
	nulls[4] = written.links.isnull;
	nulls[5] = written.refusal == NULL;
	values[5] = nulls[5] ? 0 : CStringGetTextDatum(written.refusal);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls)));
}
