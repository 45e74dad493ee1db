/*
 * gate.c - whether a message may leave now: one decision for can_send(), for
 * send(), for campaigns and sequences, for the worker's claim and for explain().
 *
 * What no time heals comes first and is final. What time heals gives the
 * instant at which it is worth asking again: caps first, then, from the moment
 * they allow, quiet hours, so that the instant is one at which both allow.
 *
 * Quiet hours are those of the place where the phone may be. All places that are
 * possible count: every zone and every state of an area code, the state of the
 * address and that of the number (Florida and Oklahoma presume that a number of
 * theirs is a resident's). The window must be open in all of them.
 *
 * A letter to a place without rules of its own keeps those of "*", and one to a
 * country whose zone nobody knows is refused: no hour of the day is a decent one
 * all around the world.
 */
#include "smsflow.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/phone.h"
#include "core/region.h"
#include "message/gate.h"
#include "message/membership.h"
#include "message/spi.h"
#include "types/types.h"

#define URGENT_RETRY USECS_PER_MINUTE

/* A STOP waits for a transaction of the store, so rarely for long. */
#define STOP_RETRY (10 * USECS_PER_SEC)

/* The hold of a number of which nobody can tell whether its person was erased. */
#define KEY_MISSING "suppression_key_missing"

/* ---- where the recipient may be ---- */

bool
smsflow_gate_has_arg(const GateQuestion *q, int n)
{
	return !q->args->args[n].isnull;
}

char *
smsflow_gate_text_arg(const GateQuestion *q, int n)
{
	return smsflow_gate_has_arg(q, n) ? TextDatumGetCString(q->args->args[n].value) : NULL;
}

bool
smsflow_gate_text_arg_is(const GateQuestion *q, int n, const char *text)
{
	struct varlena *value;

	if (!smsflow_gate_has_arg(q, n))
		return false;
	value = PG_DETOAST_DATUM_PACKED(q->args->args[n].value);
	return VARSIZE_ANY_EXHDR(value) == strlen(text) && memcmp(VARDATA_ANY(value), text, strlen(text)) == 0;
}

static void
add_place(GateQuestion *q, const char *name)
{
	SmsflowJurisdiction *place = smsflow_policy_find(q->policy, name);

	for (int i = 0; i < q->place_count; i++)
		if (q->places[i] == place)
			return;
	if (place != NULL && q->place_count < GATE_MAX_PLACES)
		q->places[q->place_count++] = place;
}

static void
add_unknown_state(GateQuestion *q, const char *country)
{
	char unknown[SMSFLOW_JURISDICTION_SIZE];

	snprintf(unknown, sizeof(unknown), "%.3s-*", country);
	add_place(q, unknown);
}

/* The country and state of the address, which may be any text; true when they name a state of the number's country. */
static bool
add_address(GateQuestion *q)
{
	char *region = smsflow_gate_text_arg(q, ARG_REGION);
	char country[3];

	if (region == NULL || strlen(region) < 2 || (region[2] != '\0' && region[2] != '-'))
		return false;
	strlcpy(country, region, sizeof(country));
	if (!smsflow_region_known(country))
		return false;
	add_place(q, country);
	if (region[2] == '\0')
		return false;
	if (!smsflow_region_known(region))
	{
		add_unknown_state(q, country);
		return false;
	}
	add_place(q, region);
	return strcmp(country, q->country) == 0;
}

static void
find_places(GateQuestion *q)
{
	const char *country = smsflow_phone_region(q->phone);
	const char *state = smsflow_phone_state(q->phone);
	bool state_known;

	q->country = country ? country : "";
	q->everywhere = smsflow_policy_find(q->policy, "*");
	add_place(q, q->country);
	if (state)
		add_place(q, state);
	state_known = add_address(q) || state != NULL;
	if (!state_known && q->country[0] != '\0')
		add_unknown_state(q, q->country);
}

/* ---- consent ---- */

static SmsflowLevel
required_level(const GateQuestion *q)
{
	/* A purpose without a rule needs the most. */
	int level =
		q->everywhere && q->everywhere->level[q->purpose] >= 0 ? q->everywhere->level[q->purpose] : SMSFLOW_LEVEL_CONFIRMED;

	for (int i = 0; i < q->place_count; i++)
		level = Max(level, q->places[i]->level[q->purpose]);
	return (SmsflowLevel) level;
}

static bool
ever_granted(const SmsflowConsent *consent, SmsflowPurpose purpose)
{
	for (int i = 0; i < SMSFLOW_LEVELS - 1; i++)
		if (consent->granted[purpose][i] != SMSFLOW_NEVER)
			return true;
	return false;
}

static const char *
consent_refusal(const SmsflowConsent *consent, SmsflowPurpose purpose, SmsflowLevel level, SmsflowLevel required)
{
	if (level >= required)
		return NULL;
	if (level != SMSFLOW_LEVEL_NONE)
		return "consent_too_low";
	if (consent->revoked[purpose] != SMSFLOW_NEVER || ever_granted(consent, purpose))
		return "opted_out";
	return "no_consent";
}

static const char *
decide_consent(GateQuestion *q)
{
	SmsflowConsent none;
	const SmsflowConsent *consent = &none;

	smsflow_consent_clear(&none);
	if (smsflow_gate_has_arg(q, ARG_CONSENT))
		consent = DatumGetConsentP(q->args->args[ARG_CONSENT].value);
	q->level = smsflow_consent_level(consent, q->purpose);
	return consent_refusal(consent, q->purpose, q->level, required_level(q));
}

/* ---- who is no longer there ---- */

/* Of numbers without a contact some belong to people who were erased. */
static char *
suppression(const GateQuestion *q)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	Oid types[] = {INT4OID, TEXTOID};
	Datum values[] = {q->args->args[ARG_BRAND_ID].value, (Datum) 0};
	char phone[SMSFLOW_PHONE_BUFSIZE];
	char *reason;

	smsflow_phone_format(q->phone, phone);
	values[1] = CStringGetTextDatum(phone);
	SPI_connect();
	smsflow_spi_plan(&plan, "SELECT smsflow.suppression_refusal($1, $2::smsflow.phone)", lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	reason = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	reason = reason ? MemoryContextStrdup(caller, reason) : NULL;
	SPI_finish();
	return reason;
}

/*
 * A contact that is gone was erased, or its import undone. A number whose person was erased has no contact:
 * subscribing lifts one and makes the other; of one that was blocked the contact says so. One-time passwords and answers go to whoever has just asked for them.
 */
static const char *
decide_presence(const GateQuestion *q)
{
	if (smsflow_gate_has_arg(q, ARG_CONTACT_ID) && !smsflow_gate_has_arg(q, ARG_CONSENT))
		return "contact_gone";
	if (q->purpose > SMSFLOW_PURPOSE_OTP && smsflow_gate_has_arg(q, ARG_SUPPRESSED) &&
		DatumGetBool(q->args->args[ARG_SUPPRESSED].value))
		return "number_suppressed";
	if (smsflow_gate_has_arg(q, ARG_CONTACT_ID) || q->purpose <= SMSFLOW_PURPOSE_OTP || !smsflow_gate_has_arg(q, ARG_BRAND_ID))
		return NULL;
	return suppression(q);
}

/* ---- the sender ---- */

static bool
country_allowed(const GateQuestion *q)
{
	JsonbValue found;
	JsonbValue wanted = {.type = jbvString};
	Jsonb *options;

	if (!smsflow_gate_has_arg(q, ARG_SENDER_OPTIONS))
		return true;
	options = DatumGetJsonbP(q->args->args[ARG_SENDER_OPTIONS].value);
	if (JB_ROOT_COUNT(options) == 0 || getKeyJsonValueFromContainer(&options->root, "countries", 9, &found) == NULL)
		return true;
	if (found.type != jbvBinary)
		return false;
	wanted.val.string.val = unconstify(char *, q->country);
	wanted.val.string.len = strlen(q->country);
	return findJsonbValueFromContainer(found.val.binary.data, JB_FARRAY, &wanted) != NULL;
}

static bool
registration_missing(const GateQuestion *q)
{
	if (!q->policy->has_registration || smsflow_gate_has_arg(q, ARG_SENDER_REGISTRATION) ||
		!(smsflow_gate_text_arg_is(q, ARG_SENDER_KIND, "long_code") || smsflow_gate_text_arg_is(q, ARG_SENDER_KIND, "toll_free")))
		return false;
	for (int i = 0; i < q->place_count; i++)
		if (q->places[i]->registration)
			return true;
	return false;
}

/* ---- the decision ---- */

void
smsflow_gate_hold(GateDecision *decision, const char *reason, TimestampTz until)
{
	if (until <= decision->retry_at)
		return;
	decision->reason = reason;
	decision->retry_at = until;
}

static const char *
final_refusal(GateQuestion *q)
{
	const char *consent;

	if (q->absence && strcmp(q->absence, KEY_MISSING) != 0)
		return q->absence;
	consent = decide_consent(q);
	if (consent)
		return consent;
	if (!country_allowed(q))
		return "country_not_allowed";
	if ((q->purpose == SMSFLOW_PURPOSE_PROMOTIONAL || q->purpose == SMSFLOW_PURPOSE_CART) &&
		smsflow_gate_text_arg_is(q, ARG_REACHABILITY, "unreachable"))
		return "unreachable";
	if (smsflow_gate_wording_missing(q))
		return "opt_out_wording_missing";
	return NULL;
}

/* From the instant on at which other rules hold, they decide; of instants that are past nobody asks again. */
static void
ask_again_when_rules_change(const GateQuestion *q, GateDecision *decision)
{
	TimestampTz change = q->policy->valid_until;

	if (change == DT_NOEND || change <= GetCurrentTimestamp())
		return;
	if (decision->retry_at != DT_NOBEGIN)
		decision->retry_at = Min(decision->retry_at, change);
	decision->open_until = Min(decision->open_until, change);
}

static GateDecision
decide(GateQuestion *q)
{
	GateDecision decision = {NULL, DT_NOBEGIN, DT_NOEND};

	find_places(q);
	q->absence = decide_presence(q);
	decision.reason = final_refusal(q);
	if (decision.reason)
		return decision;
	if (q->absence)
		smsflow_gate_hold(&decision, q->absence, q->at + GATE_OTHERS_RETRY);
	if (registration_missing(q))
		smsflow_gate_hold(&decision, "sender_unregistered",
						  q->at + (q->purpose <= SMSFLOW_PURPOSE_OTP ? URGENT_RETRY : GATE_OTHERS_RETRY));
	if (smsflow_purpose_is_marketing(q->purpose) && smsflow_stop_waits((int64) q->phone))
		smsflow_gate_hold(&decision, "stop_waits", q->at + STOP_RETRY);
	smsflow_gate_decide_caps(q, &decision);
	if (decision.reason == NULL || decision.retry_at != DT_NOBEGIN)
		smsflow_gate_decide_hours(q, &decision);

	ask_again_when_rules_change(q, &decision);
	return decision;
}

GateDecision
smsflow_gate_ask(FunctionCallInfo fcinfo)
{
	GateQuestion q = {.args = fcinfo};

	q.phone = PG_GETARG_PHONE(ARG_PHONE);
	q.purpose = smsflow_purpose_from_oid(PG_GETARG_OID(ARG_PURPOSE));
	q.at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	q.policy = smsflow_policy_at(q.at);
	if (q.policy->segment_cap_count > 0 && q.policy->capped[q.purpose] && smsflow_gate_has_arg(&q, ARG_CONTACT_ID))
	{
		smsflow_membership_read_one(DatumGetInt64(fcinfo->args[ARG_CONTACT_ID].value));
		q.policy = smsflow_policy_at(q.at);
	}
	return decide(&q);
}

static TupleDesc
decision_columns(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc columns;

		if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "smsflow.gate() does not return its type");
		fcinfo->flinfo->fn_extra = BlessTupleDesc(columns);
		MemoryContextSwitchTo(old);
	}
	return fcinfo->flinfo->fn_extra;
}

/* Arguments: see the enumeration above; returns smsflow.gate_decision. */
PG_FUNCTION_INFO_V1(smsflow_gate);
Datum
smsflow_gate(PG_FUNCTION_ARGS)
{
	GateDecision decision;
	Datum values[3];
	bool nulls[3];

	if (PG_ARGISNULL(ARG_PHONE) || PG_ARGISNULL(ARG_PURPOSE) || PG_ARGISNULL(ARG_AT))
		PG_RETURN_NULL();
	decision = smsflow_gate_ask(fcinfo);
	nulls[0] = decision.reason == NULL;
	nulls[1] = decision.retry_at == DT_NOBEGIN;
	nulls[2] = decision.reason != NULL || decision.open_until == DT_NOEND;
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(decision.reason);
	values[1] = TimestampTzGetDatum(decision.retry_at);
	values[2] = TimestampTzGetDatum(decision.open_until);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(decision_columns(fcinfo), values, nulls)));
}

/* sender_refusal(phone, region, kind, registration, options) returns text: what the gate holds against a sender alone */
PG_FUNCTION_INFO_V1(smsflow_sender_refusal);
Datum
smsflow_sender_refusal(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(args, ARG_COUNT);
	GateQuestion q = {.args = args};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	args->args[ARG_REGION] = fcinfo->args[1];
	args->args[ARG_SENDER_KIND] = fcinfo->args[2];
	args->args[ARG_SENDER_REGISTRATION] = fcinfo->args[3];
	args->args[ARG_SENDER_OPTIONS] = fcinfo->args[4];
	q.phone = PG_GETARG_PHONE(0);
	q.policy = smsflow_policy_at(GetCurrentTimestamp());
	find_places(&q);
	if (!country_allowed(&q))
		PG_RETURN_TEXT_P(cstring_to_text("country_not_allowed"));
	if (registration_missing(&q))
		PG_RETURN_TEXT_P(cstring_to_text("sender_unregistered"));
	PG_RETURN_NULL();
}

/* cart_deadline(phone, region, event_at) returns timestamptz */
PG_FUNCTION_INFO_V1(smsflow_cart_deadline);
Datum
smsflow_cart_deadline(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(args, ARG_COUNT);
	GateQuestion q = {.args = args};
	int64 within = 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	args->args[ARG_REGION] = fcinfo->args[1];
	q.phone = PG_GETARG_PHONE(0);
	q.policy = smsflow_policy_at(GetCurrentTimestamp());
	find_places(&q);
	for (int i = -1; i < q.place_count; i++)
	{
		SmsflowJurisdiction *place = i < 0 ? q.everywhere : q.places[i];

		if (place && place->cart_within > 0)
			within = within == 0 ? place->cart_within : Min(within, place->cart_within);
	}
	if (within == 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(PG_GETARG_TIMESTAMPTZ(2) + within);
}

/* quiet_at(phone, consent, purpose, region, time_zone, time_zone_source, at) returns boolean */
PG_FUNCTION_INFO_V1(smsflow_quiet_at);
Datum
smsflow_quiet_at(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(args, ARG_COUNT);
	GateQuestion q = {.args = args};
	GateDecision decision = {NULL, DT_NOBEGIN, DT_NOEND};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(6))
		PG_RETURN_NULL();
	args->args[ARG_CONSENT] = fcinfo->args[1];
	args->args[ARG_REGION] = fcinfo->args[3];
	args->args[ARG_TIME_ZONE] = fcinfo->args[4];
	args->args[ARG_TIME_ZONE_SOURCE] = fcinfo->args[5];
	q.phone = PG_GETARG_PHONE(0);
	q.purpose = smsflow_purpose_from_oid(PG_GETARG_OID(2));
	q.at = PG_GETARG_TIMESTAMPTZ(6);
	q.policy = smsflow_policy_at(q.at);
	find_places(&q);
	decide_consent(&q);
	smsflow_gate_decide_hours(&q, &decision);
	PG_RETURN_BOOL(decision.reason != NULL);
}

/* Columns of smsflow.gate_decision. */
#define DECISION_REASON 1
#define DECISION_RETRY_AT 2

/* final_refusal(gate_decision) returns text. Not in SQL: as part of a query, it would ask the gate once for each column. */
PG_FUNCTION_INFO_V1(smsflow_final_refusal);
Datum
smsflow_final_refusal(PG_FUNCTION_ARGS)
{
	HeapTupleHeader decision = PG_GETARG_HEAPTUPLEHEADER(0);
	bool allowed, is_final;
	Datum reason = GetAttributeByNum(decision, DECISION_REASON, &allowed);

	GetAttributeByNum(decision, DECISION_RETRY_AT, &is_final);
	if (allowed || !is_final)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(reason);
}

/* consent_refusal(consent, purpose) returns text: the level alone, wherever the recipient is */
PG_FUNCTION_INFO_V1(smsflow_consent_refusal);
Datum
smsflow_consent_refusal(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	GateQuestion q = {.policy = smsflow_policy_at(GetCurrentTimestamp())};
	const char *reason;

	q.purpose = smsflow_purpose_from_oid(PG_GETARG_OID(1));
	q.everywhere = smsflow_policy_find(q.policy, "*");
	reason = consent_refusal(consent, q.purpose, smsflow_consent_level(consent, q.purpose), required_level(&q));
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
