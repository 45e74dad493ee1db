/*
 * draft.c - see draft.h. A launch asks for hundreds of thousands of these, so contacts are read by one plain statement, and
 * gate, text and parts are worked out here, without a value of SQL in between.
 */
#include "campaign/draft.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "campaign/local.h"
#include "campaign/plan.h"
#include "contact/contact.h"
#include "core/language.h"
#include "core/phone.h"
#include "errcodes.h"
#include "message/gate.h"

/* Contacts whose drafts are in memory together, where all of a segment are asked for. */
#define DRAFTS_AT_ONCE 1000

/* What a hash of a contact is for; each has a seed of its own, so that shares are independent of each other. */
typedef enum HashUse
{
	HASH_VARIANT = 1,
	HASH_HOLDOUT = 2
} HashUse;

/* One contact, as it was read. */
typedef struct Contact
{
	int64 contact_id;
	int64 phone;
	NullableDatum column[24];
	Jsonb *attributes;
	Jsonb *extra; /* NULL: none */
} Contact;

enum
{
	COLUMN_CONTACT_ID,
	COLUMN_PHONE,
	COLUMN_REGION,
	COLUMN_TIME_ZONE,
	COLUMN_TIME_ZONE_SOURCE,
	COLUMN_REACHABILITY,
	COLUMN_CONSENT,
	COLUMN_SUPPRESSED,
	COLUMN_HOLDOUT_BUCKET,
	COLUMN_PROOF,
	COLUMN_ATTRIBUTES,
	COLUMN_FIRST_NAME,
	COLUMN_LAST_NAME,
	COLUMN_EXTERNAL_ID,
	COLUMN_LANGUAGE,
	COLUMN_EXCLUDED,
	COLUMN_EXTRA,
	COLUMNS
};

/* ---- reading ---- */

/* $1 contacts, $2 campaign, $3 its purpose, $4 exclusion, $5 pool of coupons, $6 whether it is a draft. */
static SmsflowStatement find_contacts =
	{.sql = "SELECT c.contact_id, c.phone, c.region, c.time_zone, c.time_zone_source, c.reachability, c.consent, c.suppressed,"
			" c.holdout_bucket::integer, smsflow.proof(c.proof, $3::smsflow.purpose), c.attributes, c.first_name, c.last_name,"
			" c.external_id, c.language,"
			" CASE WHEN $4 IS NOT NULL THEN smsflow.exclusion($4, c.contact_id, false) END,"
			" CASE WHEN $5 IS NOT NULL THEN smsflow.coupon_vars($2, c.contact_id, $5, $6) END"
			" FROM smsflow.contact AS c WHERE c.contact_id = ANY ($1) ORDER BY c.contact_id",
	 .generic = true,
	 .nargs = 6,
	 .types = (const Oid[]){INT8ARRAYOID, INT4OID, TEXTOID, JSONBOID, TEXTOID, BOOLOID}};

/* ---- shares ---- */

/* Hash, and not chance: the same person is in the same share whenever it is asked. */
static int64
campaign_hash(int64 contact_id, int32 campaign_id, int use)
{
	Datum hash =
		DirectFunctionCall2(hashint8extended, Int64GetDatum(contact_id), Int64GetDatum(campaign_id * INT64CONST(8) + use));

	return DatumGetInt64(hash) & 2147483647;
}

/* campaign_hash(contact_id bigint, campaign_id integer, use integer) returns bigint */
PG_FUNCTION_INFO_V1(smsflow_pg_campaign_hash);
Datum
smsflow_pg_campaign_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(campaign_hash(PG_GETARG_INT64(0), PG_GETARG_INT32(1), PG_GETARG_INT32(2)));
}

static const Variant *
variant_of(const CampaignPlan *plan, int64 contact_id)
{
	int64 total = plan->variants[plan->variant_count - 1].bound;
	int64 point;
	int i = 0;

	if (plan->variant_count == 1)
		return &plan->variants[0];
	point = campaign_hash(contact_id, plan->campaign_id, HASH_VARIANT) % total;
	while (plan->variants[i].bound <= point)
		i++;
	return &plan->variants[i];
}

static bool
is_held_out(const CampaignPlan *plan, const Contact *contact)
{
	return DatumGetInt32(contact->column[COLUMN_HOLDOUT_BUCKET].value) < plan->brand_holdout ||
		   (plan->holdout > 0 && campaign_hash(contact->contact_id, plan->campaign_id, HASH_HOLDOUT) % 10000 < plan->holdout);
}

/* ---- texts ---- */

static bool
find_column(NullableDatum column, const char **value, size_t *len)
{
	text *found;

	if (column.isnull)
		return false;
	found = DatumGetTextPP(column.value);
	*value = VARDATA_ANY(found);
	*len = VARSIZE_ANY_EXHDR(found);
	return true;
}

/* body_for returns the text of a variant that fits the contact's language best. */
static const char *
body_for(const CampaignPlan *plan, const Variant *variant, const Contact *contact)
{
	const char *body = variant->body;
	const char *wanted = "";
	size_t len = 0;
	int best = 0;

	if (plan->translation_count == 0 || !find_column(contact->column[COLUMN_LANGUAGE], &wanted, &len))
		return body;
	for (int i = 0; i < plan->translation_count; i++)
	{
		const Translation *offered = &plan->translations[i];
		int fits = offered->variant == variant->number
					   ? smsflow_language_fits(offered->language, strlen(offered->language), wanted, len)
					   : -1;

		if (fits <= best)
			continue;
		best = fits;
		body = offered->body;
	}
	return body;
}

/* What a text is rendered with. */
typedef struct TextValues
{
	const char *brand;
	const Contact *contact;
} TextValues;

static bool
find_zone(const Contact *contact, const char **value, size_t *len)
{
	NullableDatum zone = contact->column[COLUMN_TIME_ZONE];
	int count = 0;

	if (!zone.isnull)
		*value = TextDatumGetCString(zone.value);
	else
	{
		const char *const *zones = smsflow_phone_time_zones(contact->phone, &count);

		if (count == 0)
			return false;
		*value = zones[0];
	}
	*len = strlen(*value);
	return true;
}

static bool
is_path(const char *path, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(path, name, len) == 0;
}

/*
 * The variables of a contact, as smsflow.contact_vars() has them: what the campaign brings along, then what every contact
 * has, whose names attributes cannot take, then attributes. find_value is the SmsflowTemplateLookup over TextValues.
 */
static bool
find_value(void *ctx, const char *path, size_t len, const char **value, size_t *value_len)
{
	static const struct
	{
		const char *name;
		int column;
	} columns[] = {{"first_name", COLUMN_FIRST_NAME},
				   {"last_name", COLUMN_LAST_NAME},
				   {"external_id", COLUMN_EXTERNAL_ID},
				   {"language", COLUMN_LANGUAGE},
				   {"region", COLUMN_REGION}};
	const TextValues *values = ctx;
	const Contact *contact = values->contact;
	SmsflowVariables json;

	if (contact->extra != NULL)
	{
		json = smsflow_jsonb_variables(contact->extra);
		if (json.find(json.ctx, path, len, value, value_len))
			return true;
	}
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (is_path(path, len, columns[i].name))
			return find_column(contact->column[columns[i].column], value, value_len);
	if (is_path(path, len, "_time_zone"))
		return find_zone(contact, value, value_len);
	if (is_path(path, len, "brand") || is_path(path, len, "_brand"))
	{
		*value = values->brand;
		*value_len = strlen(*value);
		return true;
	}
	json = smsflow_jsonb_variables(contact->attributes);
	return json.find(json.ctx, path, len, value, value_len);
}

static void
refuse(SmsflowDraft *draft, const char *reason)
{
	if (draft->refusal == NULL)
		draft->refusal = reason;
}

/* write_text renders what the contact would read and counts it. */
static void
write_text(const CampaignPlan *plan, const Contact *contact, SmsflowDraft *draft)
{
	TextValues values = {plan->composer.brand, contact};
	const SmsflowVariables variables = {find_value, &values};
	SmsflowText written;

	smsflow_compose(&plan->composer, draft->body, &variables, &written);
	if (written.body == NULL && plan->composer.policy.missing == MISSING_FAIL && draft->refusal == NULL)
		ereport(ERROR,
				(errcode(SMSFLOW_ERRCODE_INVALID_TEMPLATE), errmsg("template variable \"%s\" has no value", written.missing),
				 errdetail("Contact " INT64_FORMAT " has none.", contact->contact_id),
				 errhint("Write a default: {{%s|text}}.", written.missing)));
	if (written.body != NULL)
		draft->body = written.body;
	draft->links = written.links;
	draft->parts = written.parts;
	refuse(draft, written.refusal);
}

/* ---- times ---- */

static TimestampTz
after(TimestampTz instant, Interval *delay)
{
	return DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(instant), IntervalPGetDatum(delay)));
}

/* local_instant returns when it is that wall-clock time where a contact is, so many days later; a round comes after the launch there, too. */
static TimestampTz
local_instant(const CampaignPlan *plan, const Contact *contact, int days)
{
	Timestamp local = DatumGetTimestamp(plan->local_at.value) + days * USECS_PER_DAY + (plan->base_at - plan->launch_at);
	const char *zone;
	size_t len;
	TimestampTz instant;
	int count = 0;
	const char *const *zones;

	if (find_zone(contact, &zone, &len) && smsflow_local_instant(local, zone, &instant))
		return instant;
	zones = smsflow_phone_time_zones(contact->phone, &count);
	if (count > 0 && smsflow_local_instant(local, zones[0], &instant))
		return instant;
	return local; /* UTC */
}

/* set_times sets when a draft of a campaign that is not for all at once is due; who is past its local time is late. */
static void
set_times(const CampaignPlan *plan, const Contact *contact, Interval *delay, SmsflowDraft *draft)
{
	Interval none = {0};
	bool is_delayed =
		delay != NULL && DatumGetBool(DirectFunctionCall2(interval_gt, IntervalPGetDatum(delay), IntervalPGetDatum(&none)));
	bool is_late = false;

	if (!plan->local_at.isnull)
	{
		draft->due_at = local_instant(plan, contact, 0);
		is_late = draft->due_at < plan->base_at;
	}
	if (is_late)
		draft->due_at = plan->sends_late_at_once ? DT_NOBEGIN : local_instant(plan, contact, 1);
	if (draft->due_at == DT_NOBEGIN && is_delayed)
		draft->due_at = plan->base_at;
	if (draft->due_at != DT_NOBEGIN)
	{
		if (is_delayed)
			draft->due_at = after(draft->due_at, delay);
		draft->expires_at = Min(after(draft->due_at, plan->valid_for), plan->valid_until);
	}
	if ((is_late && plan->skips_late) || (draft->due_at != DT_NOBEGIN && draft->due_at >= plan->valid_until))
		refuse(draft, "too_late");
}

/* ---- a draft ---- */

static void
ask_gate(const CampaignPlan *plan, const Contact *contact, SmsflowDraft *draft)
{
	static const struct
	{
		int argument;
		int column;
	} columns[] = {{ARG_CONTACT_ID, COLUMN_CONTACT_ID},     {ARG_PHONE, COLUMN_PHONE},
				   {ARG_CONSENT, COLUMN_CONSENT},           {ARG_REGION, COLUMN_REGION},
				   {ARG_TIME_ZONE, COLUMN_TIME_ZONE},       {ARG_TIME_ZONE_SOURCE, COLUMN_TIME_ZONE_SOURCE},
				   {ARG_REACHABILITY, COLUMN_REACHABILITY}, {ARG_SUPPRESSED, COLUMN_SUPPRESSED}};
	LOCAL_FCINFO(question, ARG_COUNT);
	GateDecision decision;

	InitFunctionCallInfoData(*question, NULL, ARG_COUNT, InvalidOid, NULL, NULL);
	for (int i = 0; i < ARG_COUNT; i++)
		question->args[i].isnull = true;
	for (int i = 0; i < (int) lengthof(columns); i++)
		question->args[columns[i].argument] = contact->column[columns[i].column];
	question->args[ARG_PURPOSE] = smsflow_value(ObjectIdGetDatum(plan->purpose_oid));
	question->args[ARG_AT] = smsflow_value(TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	question->args[ARG_BRAND_ID] = smsflow_value(Int32GetDatum(plan->brand_id));
	decision = smsflow_gate_ask(question);
	if (decision.retry_at == DT_NOBEGIN)
		refuse(draft, decision.reason);
}

static void
draft_one(const CampaignPlan *plan, const Contact *contact, SmsflowDraft *draft)
{
	const Variant *variant = variant_of(plan, contact->contact_id);

	*draft = (SmsflowDraft){.contact_id = contact->contact_id,
							.phone = contact->phone,
							.variant = variant->number,
							.body = body_for(plan, variant, contact),
							.due_at = DT_NOBEGIN,
							.expires_at = plan->expires_at,
							.links = {0, true}};
	if (!contact->column[COLUMN_REGION].isnull)
		draft->region = TextDatumGetCString(contact->column[COLUMN_REGION].value);
	if (!contact->column[COLUMN_PROOF].isnull)
		draft->consent_event_id = DatumGetInt64(contact->column[COLUMN_PROOF].value);
	ask_gate(plan, contact, draft);
	if (is_held_out(plan, contact))
		refuse(draft, "holdout");
	if (!contact->column[COLUMN_EXCLUDED].isnull)
		refuse(draft, TextDatumGetCString(contact->column[COLUMN_EXCLUDED].value));
	if (plan->is_timed)
		set_times(plan, contact, variant->after, draft);
	write_text(plan, contact, draft);
}

static void
read_contact(SPITupleTable *rows, uint64 row, Contact *contact)
{
	Datum values[COLUMNS];
	bool nulls[COLUMNS];

	heap_deform_tuple(rows->vals[row], rows->tupdesc, values, nulls);
	for (int i = 0; i < COLUMNS; i++)
		contact->column[i] = (NullableDatum){values[i], nulls[i]};
	contact->contact_id = DatumGetInt64(values[COLUMN_CONTACT_ID]);
	contact->phone = DatumGetPhone(values[COLUMN_PHONE]);
	contact->attributes = DatumGetJsonbP(values[COLUMN_ATTRIBUTES]);
	contact->extra = nulls[COLUMN_EXTRA] ? NULL : DatumGetJsonbP(values[COLUMN_EXTRA]);
}

void
smsflow_draft(const CampaignPlan *plan, ArrayType *contacts, SmsflowTakeDraft take, void *ctx)
{
	const NullableDatum args[] = {smsflow_value(PointerGetDatum(contacts)),
								  smsflow_value(Int32GetDatum(plan->campaign_id)),
								  smsflow_value(CStringGetTextDatum(smsflow_purpose_name(plan->composer.purpose))),
								  plan->exclude,
								  plan->coupons,
								  smsflow_value(BoolGetDatum(plan->is_draft))};
	uint64 count = smsflow_execute(&find_contacts, args);
	SPITupleTable *rows = SPI_tuptable;
	Contact contact;
	SmsflowDraft draft;

	for (uint64 row = 0; row < count; row++)
	{
		read_contact(rows, row, &contact);
		draft_one(plan, &contact, &draft);
		if (!take(ctx, &draft))
			return;
	}
}

/* ---- for SQL ---- */

static NullableDatum
text_or_null(const char *value)
{
	return value != NULL ? smsflow_value(CStringGetTextDatum(value)) : (NullableDatum){0, true};
}

/* put_row is the SmsflowTakeDraft of the function below. */
static bool
put_row(void *ctx, const SmsflowDraft *draft)
{
	ReturnSetInfo *result = ctx;
	const NullableDatum columns[] = {smsflow_value(Int64GetDatum(draft->contact_id)),
									 smsflow_value(PhoneGetDatum(draft->phone)),
									 text_or_null(draft->region),
									 {Int16GetDatum(draft->variant), draft->variant == 0},
									 text_or_null(draft->body),
									 smsflow_value(Int16GetDatum((int16) draft->parts.parts)),
									 smsflow_value(BoolGetDatum(draft->parts.encoding == SMSFLOW_UCS2)),
									 text_or_null(draft->refusal),
									 {TimestampTzGetDatum(draft->due_at), draft->due_at == DT_NOBEGIN}};
	Datum values[lengthof(columns)];
	bool nulls[lengthof(columns)];

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		values[i] = columns[i].value;
		nulls[i] = columns[i].isnull;
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return true;
}

/* draft_campaign(campaign_id integer, contact_ids bigint[]) returns table */
PG_FUNCTION_INFO_V1(smsflow_pg_draft_campaign);
Datum
smsflow_pg_draft_campaign(PG_FUNCTION_ARGS)
{
	ArrayType *contacts = PG_GETARG_ARRAYTYPE_P(1);
	int64 *ids = (int64 *) ARR_DATA_PTR(contacts);
	int count = ArrayGetNItems(ARR_NDIM(contacts), ARR_DIMS(contacts));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	/* What was read and written for some is freed before the next. */
	for (int from = 0; from < count; from += DRAFTS_AT_ONCE)
	{
		Datum some[DRAFTS_AT_ONCE];
		int taken = Min(DRAFTS_AT_ONCE, count - from);

		for (int i = 0; i < taken; i++)
			some[i] = Int64GetDatum(ids[from + i]);
		SPI_connect();
		smsflow_draft(smsflow_read_plan(PG_GETARG_INT32(0), false),
					  construct_array(some, taken, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE), put_row, fcinfo->resultinfo);
		SPI_finish();
	}
	return (Datum) 0;
}
