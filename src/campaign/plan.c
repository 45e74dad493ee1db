/*
 * plan.c - see plan.h. The view smsflow.campaign_plan says what the options mean.
 */
#include "campaign/plan.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "contact/contact.h"

static SmsflowStatement find_plan =
	{.sql = "SELECT p.brand_id, p.brand, p.purpose, p.local_at, p.launch_at, p.base_at, p.expires_at, p.valid_until,"
			" p.valid_for, p.late_zones, p.is_timed, p.brand_holdout::integer, (p.holdout * 100)::integer, p.budget_left,"
			" p.exclude, p.coupons, p.is_draft, p.missing, p.numbers, p.bodies, p.delays, p.bounds,"
			" p.translated, p.languages, p.translations, p.smart, p.prefix, p.opt_out_text FROM smsflow.campaign_plan AS p WHERE "
			"p.campaign_id = $1",
	 .generic = true,
	 .nargs = 1,
	 .types = (const Oid[]){INT4OID}};

/* copied_result copies a column of the first row, so that it outlives the next statement. */
static NullableDatum
copied_result(int column, bool is_by_value)
{
	NullableDatum result = smsflow_result(column);

	if (!result.isnull && !is_by_value)
		result.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(result.value));
	return result;
}

static TimestampTz
instant_result(int column, TimestampTz otherwise)
{
	NullableDatum result = smsflow_result(column);

	return result.isnull ? otherwise : DatumGetTimestampTz(result.value);
}

static char *
text_result(int column)
{
	return TextDatumGetCString(smsflow_result(column).value);
}

static bool
flag_result(int column)
{
	NullableDatum result = smsflow_result(column);

	return !result.isnull && DatumGetBool(result.value);
}

/* elements_of returns the elements of an array of the plan, and how many; NULL for no array. */
static Datum *
elements_of(int column, Oid type, int size, bool is_by_value, char align, int *count)
{
	NullableDatum array = smsflow_result(column);
	Datum *elements = NULL;
	bool *nulls;

	*count = 0;
	if (!array.isnull)
		deconstruct_array(DatumGetArrayTypePCopy(array.value), type, size, is_by_value, align, &elements, &nulls, count);
	return elements;
}

static const char *
dressed(const CampaignPlan *plan, Datum body)
{
	return smsflow_dress(&plan->composer.policy, plan->composer.brand, TextDatumGetCString(body));
}

/* A campaign without variants has its own text, and neither numbers nor delays nor bounds. */
static void
read_variants(CampaignPlan *plan)
{
	int count;
	Datum *numbers = elements_of(19, INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &count);
	Datum *bodies = elements_of(20, TEXTOID, -1, false, TYPALIGN_INT, &plan->variant_count);
	Datum *delays = elements_of(21, INTERVALOID, sizeof(Interval), false, TYPALIGN_DOUBLE, &count);
	Datum *bounds = elements_of(22, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE, &count);

	plan->variants = palloc0(sizeof(Variant) * plan->variant_count);
	for (int i = 0; i < plan->variant_count; i++)
	{
		plan->variants[i].body = dressed(plan, bodies[i]);
		if (numbers == NULL)
			continue;
		plan->variants[i].number = DatumGetInt16(numbers[i]);
		plan->variants[i].after = DatumGetIntervalP(delays[i]);
		plan->variants[i].bound = DatumGetInt64(bounds[i]);
	}
}

static void
read_translations(CampaignPlan *plan)
{
	int count;
	Datum *variants = elements_of(23, INT2OID, sizeof(int16), true, TYPALIGN_SHORT, &count);
	Datum *languages = elements_of(24, TEXTOID, -1, false, TYPALIGN_INT, &count);
	Datum *bodies = elements_of(25, TEXTOID, -1, false, TYPALIGN_INT, &plan->translation_count);

	plan->translations = palloc(sizeof(Translation) * (plan->translation_count + 1));
	for (int i = 0; i < plan->translation_count; i++)
		plan->translations[i] =
			(Translation){DatumGetInt16(variants[i]), TextDatumGetCString(languages[i]), dressed(plan, bodies[i])};
}

static void
read_composer(SmsflowComposer *composer, bool is_strict)
{
	composer->brand = text_result(2);
	composer->purpose = smsflow_purpose_from_oid(DatumGetObjectId(smsflow_result(3).value));
	composer->policy =
		(SmsflowTextPolicy){text_result(27), text_result(28), flag_result(26), smsflow_missing_from_name(text_result(18))};
	if (composer->policy.missing == MISSING_UNSAID || (composer->policy.missing == MISSING_FAIL && !is_strict))
		composer->policy.missing = MISSING_SKIP;
	composer->domain = palloc0(sizeof(SmsflowLinkDomain));
	composer->domain->context = CurrentMemoryContext;
}

static void
read_times(CampaignPlan *plan)
{
	const char *late_zones = text_result(10);

	plan->local_at = smsflow_result(4);
	plan->launch_at = instant_result(5, DT_NOBEGIN);
	plan->base_at = instant_result(6, DT_NOBEGIN);
	plan->expires_at = instant_result(7, DT_NOEND);
	plan->valid_until = instant_result(8, DT_NOEND);
	plan->valid_for = palloc(sizeof(Interval));
	*plan->valid_for = *DatumGetIntervalP(smsflow_result(9).value);
	plan->skips_late = strcmp(late_zones, "skip") == 0;
	plan->sends_late_at_once = strcmp(late_zones, "at_once") == 0;
	plan->is_timed = flag_result(11);
}

CampaignPlan *
smsflow_read_plan(int32 campaign_id, bool is_strict)
{
	CampaignPlan *plan = palloc0(sizeof(CampaignPlan));
	const NullableDatum id = smsflow_value(Int32GetDatum(campaign_id));
	NullableDatum holdout;
	NullableDatum budget;

	if (smsflow_execute(&find_plan, &id) == 0)
		elog(ERROR, "campaign %d does not exist", campaign_id);
	plan->campaign_id = campaign_id;
	plan->brand_id = DatumGetInt32(smsflow_result(1).value);
	plan->purpose_oid = DatumGetObjectId(smsflow_result(3).value);
	read_composer(&plan->composer, is_strict);
	read_times(plan);
	plan->brand_holdout = DatumGetInt32(smsflow_result(12).value);
	holdout = smsflow_result(13);
	plan->holdout = holdout.isnull ? 0 : DatumGetInt32(holdout.value);
	budget = smsflow_result(14);
	plan->budget = budget.isnull ? PG_INT64_MAX : DatumGetInt64(budget.value);
	plan->exclude = copied_result(15, false);
	plan->coupons = copied_result(16, false);
	plan->is_draft = flag_result(17);
	read_variants(plan);
	read_translations(plan);
	return plan;
}
