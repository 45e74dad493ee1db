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
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "core/phone.h"
#include "message/policy.h"
#include "types/types.h"

/* Touches are kept a little longer, see smsflow.forget_touches(). */
#define CART_MEMORY (30 * USECS_PER_DAY)

/* A sender's registration is looked at again after this time. */
#define REGISTRATION_RETRY (15 * USECS_PER_MINUTE)
#define URGENT_RETRY USECS_PER_MINUTE

#define MAX_PLACES 8
#define MAX_CAPS (2 * (MAX_PLACES + 1))

/* More rounds than zones differ in; more would mean that they have no hour in common. */
#define MAX_ROUNDS 64

/* The order of the arguments of smsflow.gate(). */
enum
{
	ARG_CONTACT_ID, ARG_PHONE, ARG_CONSENT, ARG_PURPOSE, ARG_REGION, ARG_TIME_ZONE, ARG_TIME_ZONE_SOURCE,
	ARG_REACHABILITY, ARG_MESSAGE_ID, ARG_SUBJECT, ARG_REF, ARG_SENDER_KIND, ARG_SENDER_REGISTRATION, ARG_SENDER_OPTIONS, ARG_AT
};

typedef struct Question
{
	SmsflowPolicy *policy;
	FunctionCallInfo args;
	int64		phone;
	SmsflowPurpose purpose;
	SmsflowLevel level;
	TimestampTz at;
	const char *country;		/* of the number, "" when unknown */
	SmsflowJurisdiction *everywhere; /* "*", may be NULL */
	SmsflowJurisdiction *places[MAX_PLACES];
	int			place_count;
	pg_tz	   *zones[SMSFLOW_ZONES_MAX];
	int			zone_count;
} Question;

typedef struct Decision
{
	const char *reason;			/* NULL: may leave */
	TimestampTz retry_at;		/* DT_NOBEGIN: no time heals it */
	TimestampTz open_until;		/* DT_NOEND: no window closes */
} Decision;

/* ---- where the recipient may be ---- */

static bool
has_arg(const Question *q, int n)
{
	return !q->args->args[n].isnull;
}

static char *
text_arg(const Question *q, int n)
{
	return has_arg(q, n) ? TextDatumGetCString(q->args->args[n].value) : NULL;
}

static bool
text_arg_is(const Question *q, int n, const char *text)
{
	struct varlena *value;

	if (!has_arg(q, n))
		return false;
	value = PG_DETOAST_DATUM_PACKED(q->args->args[n].value);
	return VARSIZE_ANY_EXHDR(value) == strlen(text) && memcmp(VARDATA_ANY(value), text, strlen(text)) == 0;
}

static void
add_place(Question *q, const char *name)
{
	SmsflowJurisdiction *place = smsflow_policy_find(q->policy, name);

	for (int i = 0; i < q->place_count; i++)
		if (q->places[i] == place)
			return;
	if (place != NULL && q->place_count < MAX_PLACES)
		q->places[q->place_count++] = place;
}

/* A region of ISO 3166: FR, or US-FL. Anything else says nothing about law. */
static bool
is_jurisdiction(const char *region)
{
	size_t		len = strlen(region);

	return len >= 2 && len < SMSFLOW_JURISDICTION_SIZE && isupper((unsigned char) region[0]) && isupper((unsigned char) region[1]) &&
		(len == 2 || (len > 3 && region[2] == '-'));
}

/* The country and state of the address; true when they name a state of the number's country. */
static bool
add_address(Question *q)
{
	char	   *region = text_arg(q, ARG_REGION);
	char		country[3];

	if (region == NULL || !is_jurisdiction(region))
		return false;
	strlcpy(country, region, sizeof(country));
	add_place(q, country);
	if (region[2] == '\0')
		return false;
	add_place(q, region);
	return strcmp(country, q->country) == 0;
}

static void
find_places(Question *q)
{
	const char *country = smsflow_phone_region(q->phone);
	const char *state = smsflow_phone_state(q->phone);
	bool		state_known;

	q->country = country ? country : "";
	q->everywhere = smsflow_policy_find(q->policy, "*");
	add_place(q, q->country);
	if (state)
		add_place(q, state);
	state_known = add_address(q) || state != NULL;
	if (!state_known && q->country[0] != '\0')
	{
		char		unknown[SMSFLOW_JURISDICTION_SIZE];

		snprintf(unknown, sizeof(unknown), "%.3s-*", q->country);
		add_place(q, unknown);
	}
}

static void
add_zone(Question *q, pg_tz *zone)
{
	if (zone != NULL && q->zone_count < SMSFLOW_ZONES_MAX)
		q->zones[q->zone_count++] = zone;
}

/* What the customer or an address says, else every zone of the area code, else those of the country's rule. */
static void
find_zones(Question *q)
{
	SmsflowJurisdiction *country;
	const char *const *names;
	int			count;

	if (has_arg(q, ARG_TIME_ZONE) &&
		(text_arg_is(q, ARG_TIME_ZONE_SOURCE, "customer") || text_arg_is(q, ARG_TIME_ZONE_SOURCE, "address")))
		add_zone(q, smsflow_time_zone(text_arg(q, ARG_TIME_ZONE)));
	if (q->zone_count > 0)
		return;
	names = smsflow_phone_time_zones(q->phone, &count);
	for (int i = 0; i < count; i++)
		add_zone(q, smsflow_time_zone(names[i]));
	country = smsflow_policy_find(q->policy, q->country);
	for (int i = 0; country && count == 0 && i < country->zone_count; i++)
		add_zone(q, country->zones[i]);
}

/* ---- consent ---- */

static SmsflowLevel
required_level(const Question *q)
{
	/* A purpose without a rule needs the most. */
	int			level = q->everywhere && q->everywhere->level[q->purpose] >= 0 ? q->everywhere->level[q->purpose] : SMSFLOW_LEVEL_CONFIRMED;

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
decide_consent(Question *q)
{
	SmsflowConsent none;
	const SmsflowConsent *consent = &none;

	smsflow_consent_clear(&none);
	if (has_arg(q, ARG_CONSENT))
		consent = DatumGetConsentP(q->args->args[ARG_CONSENT].value);
	q->level = smsflow_consent_level(consent, q->purpose);
	return consent_refusal(consent, q->purpose, q->level, required_level(q));
}

/* ---- the sender ---- */

static bool
country_allowed(const Question *q)
{
	JsonbValue	found;
	JsonbValue	wanted = {.type = jbvString};
	Jsonb	   *options;

	if (!has_arg(q, ARG_SENDER_OPTIONS))
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
registration_missing(const Question *q)
{
	if (!q->policy->has_registration || has_arg(q, ARG_SENDER_REGISTRATION) ||
		!(text_arg_is(q, ARG_SENDER_KIND, "long_code") || text_arg_is(q, ARG_SENDER_KIND, "toll_free")))
		return false;
	for (int i = 0; i < q->place_count; i++)
		if (q->places[i]->registration)
			return true;
	return false;
}

/* ---- how often ---- */

typedef struct Counter
{
	SmsflowCap	cap;
	bool		same_subject;
	int			seen;
	TimestampTz free_at;		/* DT_NOBEGIN: not reached */
} Counter;

typedef struct History
{
	Counter		counters[MAX_CAPS];
	int			count;
	bool		cart_once;
	bool		cart_sent;
	int64		reach;			/* how far back, microseconds */
} History;

static void
add_counter(History *history, SmsflowCap cap, bool same_subject)
{
	if (cap.limit == 0 || history->count == MAX_CAPS)
		return;
	history->counters[history->count++] = (Counter) {.cap = cap, .same_subject = same_subject, .free_at = DT_NOBEGIN};
	history->reach = Max(history->reach, cap.span);
}

static void
collect_caps(const Question *q, History *history)
{
	for (int i = -1; i < q->place_count; i++)
	{
		SmsflowJurisdiction *place = i < 0 ? q->everywhere : q->places[i];

		if (place == NULL)
			continue;
		add_counter(history, place->cap[q->purpose], false);
		add_counter(history, place->subject_cap[q->purpose], true);
		if (place->cart_once && q->purpose == SMSFLOW_PURPOSE_CART && has_arg(q, ARG_REF))
		{
			history->cart_once = true;
			history->reach = Max(history->reach, CART_MEMORY);
		}
	}
}

/* Touches come newest first: the one that fills a cap says when the cap has room again. */
static void
count_touch(const Question *q, History *history, TimestampTz sent_at, SmsflowPurpose purpose, bool same_subject, bool same_ref)
{
	if (purpose == SMSFLOW_PURPOSE_CART && same_ref)
		history->cart_sent = true;
	if (!q->policy->counts[purpose])
		return;
	for (int i = 0; i < history->count; i++)
	{
		Counter    *counter = &history->counters[i];

		if (counter->free_at != DT_NOBEGIN || sent_at <= q->at - counter->cap.span || (counter->same_subject && !same_subject))
			continue;
		if (++counter->seen == counter->cap.limit)
			counter->free_at = sent_at + counter->cap.span;
	}
}

static bool
history_known(const History *history)
{
	for (int i = 0; i < history->count; i++)
		if (history->counters[i].free_at == DT_NOBEGIN)
			return false;
	return !history->cart_once || history->cart_sent;
}

static bool
same_text(Datum value, bool isnull, const Question *q, int n)
{
	if (isnull || !has_arg(q, n))
		return !isnull && VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == 0 && !has_arg(q, n);
	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, value, q->args->args[n].value));
}

static void
read_touch(const Question *q, History *history, HeapTuple tuple, TupleDesc columns)
{
	bool		isnull;
	bool		no_ref;
	TimestampTz sent_at = DatumGetTimestampTz(heap_getattr(tuple, 2, columns, &isnull));
	int64		message_id = DatumGetInt64(heap_getattr(tuple, 3, columns, &isnull));
	SmsflowPurpose purpose = smsflow_purpose_from_oid(DatumGetObjectId(heap_getattr(tuple, 4, columns, &isnull)));
	Datum		subject = heap_getattr(tuple, 5, columns, &isnull);
	Datum		ref = heap_getattr(tuple, 6, columns, &no_ref);

	if (has_arg(q, ARG_MESSAGE_ID) && message_id == DatumGetInt64(q->args->args[ARG_MESSAGE_ID].value))
		return;
	count_touch(q, history, sent_at, purpose, same_text(subject, false, q, ARG_SUBJECT), !no_ref && same_text(ref, false, q, ARG_REF));
}

/* A range of one index, ended early when everything is known. */
static void
read_history(const Question *q, History *history)
{
	Relation	touches;
	Relation	index;
	SysScanDesc scan;
	ScanKeyData key[3];
	HeapTuple	tuple;

	if (history->reach == 0 || !has_arg(q, ARG_CONTACT_ID))
		return;
	touches = table_open(q->policy->touch_relid, AccessShareLock);
	index = index_open(q->policy->touch_index, AccessShareLock);
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_INT8EQ, q->args->args[ARG_CONTACT_ID].value);
	ScanKeyInit(&key[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, TimestampTzGetDatum(q->at - history->reach));
	ScanKeyInit(&key[2], 2, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(q->at));
	scan = systable_beginscan_ordered(touches, index, GetActiveSnapshot(), 3, key);
	while (!history_known(history) && HeapTupleIsValid(tuple = systable_getnext_ordered(scan, BackwardScanDirection)))
		read_touch(q, history, tuple, RelationGetDescr(touches));
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(touches, AccessShareLock);
}

/* ---- quiet hours ---- */

/* The window of a question: what is open in all places, before holidays. */
typedef struct Hours
{
	SmsflowWindow window;
	SmsflowJurisdiction *keeps_holidays[MAX_PLACES + 1];
	int			holiday_places;
} Hours;

static bool
keeps_hours(const Question *q)
{
	if (q->purpose == SMSFLOW_PURPOSE_PROMOTIONAL || q->purpose == SMSFLOW_PURPOSE_CART)
		return true;
	if (q->everywhere && q->everywhere->windowed[q->purpose])
		return true;
	for (int i = 0; i < q->place_count; i++)
		if (q->places[i]->windowed[q->purpose])
			return true;
	return false;
}

/* The places' windows into one; false when none of them has any. */
static bool
intersect(const Question *q, SmsflowJurisdiction *const *places, int count, bool consented, Hours *hours)
{
	bool		found = false;

	hours->holiday_places = 0;
	for (int i = 0; i < count; i++)
	{
		SmsflowTimes *times = consented ? &places[i]->consented[q->purpose] : &places[i]->strict[q->purpose];

		if (times->window == NULL)
			continue;
		if (found)
			smsflow_window_intersect(&hours->window, times->window);
		else
			hours->window = *times->window;
		found = true;
		if (times->except_holidays)
			hours->keeps_holidays[hours->holiday_places++] = places[i];
	}
	return found;
}

static bool
find_hours(const Question *q, Hours *hours)
{
	if (q->policy->consented[q->purpose] && q->level >= SMSFLOW_LEVEL_EXPRESS && intersect(q, q->places, q->place_count, true, hours))
		return true;
	return intersect(q, q->places, q->place_count, false, hours) ||
		(q->everywhere && intersect(q, &q->everywhere, 1, false, hours));
}

static bool
listed_holiday(const SmsflowJurisdiction *place, int64 day)
{
	for (int i = 0; i < place->holiday_count; i++)
		if (smsflow_holiday_on(&place->holidays[i], day))
			return true;
	return false;
}

/* A state keeps its own and its country's; where the state is not known, those of all. */
static bool
holiday_at(SmsflowPolicy *policy, SmsflowJurisdiction *place, int64 day)
{
	bool		any_state = strlen(place->name) > 3 && strcmp(place->name + 2, "-*") == 0;

	if (place->day == day)
		return place->day_is_holiday;
	place->day = day;
	place->day_is_holiday = listed_holiday(place, day);
	for (int i = 0; !place->day_is_holiday && i < policy->count; i++)
	{
		SmsflowJurisdiction *other = &policy->jurisdictions[i];

		if (strncmp(other->name, place->name, 2) == 0 && (any_state || other->name[2] == '\0'))
			place->day_is_holiday = listed_holiday(other, day);
	}
	return place->day_is_holiday;
}

static uint32
closed_days(const Question *q, const Hours *hours, int64 today, int days)
{
	uint32		closed = 0;

	for (int ahead = 0; ahead < days; ahead++)
		for (int i = 0; i < hours->holiday_places; i++)
			if (holiday_at(q->policy, hours->keeps_holidays[i], today + ahead))
				closed |= (uint32) 1 << ahead;
	return closed;
}

/* The instant at a number of local minutes after the midnight that began the day of tm. */
static TimestampTz
instant_at(const struct pg_tm *tm, int minutes, pg_tz *zone)
{
	struct pg_tm local = {0};
	TimestampTz result;
	int			offset;

	j2date(date2j(tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday) + minutes / SMSFLOW_DAY_MINUTES,
		   &local.tm_year, &local.tm_mon, &local.tm_mday);
	local.tm_hour = minutes % SMSFLOW_DAY_MINUTES / 60;
	local.tm_min = minutes % 60;
	offset = DetermineTimeZoneOffset(&local, zone);
	return tm2timestamp(&local, 0, &offset, &result) == 0 ? result : DT_NOEND;
}

/*
 * When the window opens in a zone: t itself when it is open, then also until
 * when; DT_NOEND when it does not within a month.
 */
static TimestampTz
opens_at(const Question *q, const Hours *hours, pg_tz *zone, TimestampTz t, TimestampTz *open_until)
{
	pg_time_t	seconds = timestamptz_to_time_t(t);
	struct pg_tm tm = *pg_localtime(&seconds, zone);
	int64		today = smsflow_day_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	int			minute = tm.tm_hour * 60 + tm.tm_min;
	int			wait = smsflow_window_wait(&hours->window, tm.tm_wday, minute, closed_days(q, hours, today, 1));
	int			left;

	if (wait == 0)
	{
		/* At midnight the gate is asked again: tomorrow may be a holiday. */
		left = smsflow_window_left(&hours->window, tm.tm_wday, minute, 0);
		left = left < 0 ? SMSFLOW_DAY_MINUTES - minute : Min(left, SMSFLOW_DAY_MINUTES - minute);

		/* On the day the clocks go back the nearer end is taken. */
		*open_until = Min(*open_until, Min(instant_at(&tm, minute + left, zone),
										   t - tm.tm_sec * USECS_PER_SEC + left * USECS_PER_MINUTE));
		return t;
	}
	wait = smsflow_window_wait(&hours->window, tm.tm_wday, minute, closed_days(q, hours, today, SMSFLOW_WINDOW_DAYS));
	if (wait < 0)
		return DT_NOEND;
	return Max(instant_at(&tm, minute + wait, zone), t + 1);
}

/* From t on, the first instant at which the window is open in every zone. */
static TimestampTz
open_everywhere(const Question *q, const Hours *hours, TimestampTz t, TimestampTz *open_until)
{
	for (int round = 0; round < MAX_ROUNDS; round++)
	{
		TimestampTz latest = t;

		*open_until = DT_NOEND;
		for (int i = 0; i < q->zone_count; i++)
			latest = Max(latest, opens_at(q, hours, q->zones[i], t, open_until));
		if (latest == t || latest == DT_NOEND)
			return latest;
		t = latest;
	}
	return DT_NOEND;
}

/* ---- the decision ---- */

static const char *
final_refusal(Question *q)
{
	const char *consent = decide_consent(q);

	if (consent)
		return consent;
	if (!country_allowed(q))
		return "country_not_allowed";
	if ((q->purpose == SMSFLOW_PURPOSE_PROMOTIONAL || q->purpose == SMSFLOW_PURPOSE_CART) &&
		text_arg_is(q, ARG_REACHABILITY, "unreachable"))
		return "unreachable";
	return NULL;
}

static void
hold(Decision *decision, const char *reason, TimestampTz until)
{
	if (until <= decision->retry_at)
		return;
	decision->reason = reason;
	decision->retry_at = until;
}

static void
decide_caps(const Question *q, Decision *decision)
{
	History		history = {0};

	collect_caps(q, &history);
	read_history(q, &history);
	if (history.cart_once && history.cart_sent)
	{
		*decision = (Decision) {"cart_limit", DT_NOBEGIN, DT_NOEND};
		return;
	}
	for (int i = 0; i < history.count; i++)
		if (history.counters[i].free_at > q->at)
			hold(decision, history.counters[i].same_subject ? "subject_cap" : "frequency_cap", history.counters[i].free_at);
}

static void
decide_hours(Question *q, Decision *decision)
{
	Hours		hours;
	TimestampTz from = Max(decision->retry_at, q->at);
	TimestampTz open;

	if (!q->policy->has_windows || !keeps_hours(q) || !find_hours(q, &hours))
		return;
	find_zones(q);
	if (q->zone_count == 0)
	{
		*decision = (Decision) {"zone_unknown", DT_NOBEGIN, DT_NOEND};
		return;
	}
	open = open_everywhere(q, &hours, from, &decision->open_until);
	if (open == DT_NOEND)
		*decision = (Decision) {"no_common_hours", DT_NOBEGIN, DT_NOEND};
	else if (open > from)
	{
		decision->reason = decision->reason ? decision->reason : "quiet_hours";
		decision->retry_at = open;
	}
}

static Decision
decide(Question *q)
{
	Decision	decision = {NULL, DT_NOBEGIN, DT_NOEND};

	find_places(q);
	decision.reason = final_refusal(q);
	if (decision.reason)
		return decision;
	if (registration_missing(q))
		hold(&decision, "sender_unregistered", q->at + (q->purpose <= SMSFLOW_PURPOSE_OTP ? URGENT_RETRY : REGISTRATION_RETRY));
	decide_caps(q, &decision);
	if (decision.reason == NULL || decision.retry_at != DT_NOBEGIN)
		decide_hours(q, &decision);
	return decision;
}

static TupleDesc
decision_columns(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		TupleDesc	columns;

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
	Question	q = {.args = fcinfo};
	Decision	decision;
	Datum		values[3];
	bool		nulls[3];

	if (PG_ARGISNULL(ARG_PHONE) || PG_ARGISNULL(ARG_PURPOSE) || PG_ARGISNULL(ARG_AT))
		PG_RETURN_NULL();
	q.phone = PG_GETARG_PHONE(ARG_PHONE);
	q.purpose = smsflow_purpose_from_oid(PG_GETARG_OID(ARG_PURPOSE));
	q.at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	q.policy = smsflow_policy_at(q.at);
	decision = decide(&q);
	nulls[0] = decision.reason == NULL;
	nulls[1] = decision.retry_at == DT_NOBEGIN;
	nulls[2] = decision.reason != NULL || decision.open_until == DT_NOEND;
	values[0] = nulls[0] ? (Datum) 0 : CStringGetTextDatum(decision.reason);
	values[1] = TimestampTzGetDatum(decision.retry_at);
	values[2] = TimestampTzGetDatum(decision.open_until);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(decision_columns(fcinfo), values, nulls)));
}

/* cart_deadline(phone, region, event_at) returns timestamptz */
PG_FUNCTION_INFO_V1(smsflow_cart_deadline);
Datum
smsflow_cart_deadline(PG_FUNCTION_ARGS)
{
	LOCAL_FCINFO(args, ARG_AT + 1);
	Question	q = {.args = args};
	int64		within = 0;

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
	LOCAL_FCINFO(args, ARG_AT + 1);
	Question	q = {.args = args};
	Decision	decision = {NULL, DT_NOBEGIN, DT_NOEND};

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
	decide_hours(&q, &decision);
	PG_RETURN_BOOL(decision.reason != NULL);
}

/* consent_refusal(consent, purpose) returns text: the level alone, wherever the recipient is */
PG_FUNCTION_INFO_V1(smsflow_consent_refusal);
Datum
smsflow_consent_refusal(PG_FUNCTION_ARGS)
{
	SmsflowConsent *consent = PG_GETARG_CONSENT_P(0);
	Question	q = {.policy = smsflow_policy_at(GetCurrentTimestamp())};
	const char *reason;

	q.purpose = smsflow_purpose_from_oid(PG_GETARG_OID(1));
	q.everywhere = smsflow_policy_find(q.policy, "*");
	reason = consent_refusal(consent, q.purpose, smsflow_consent_level(consent, q.purpose), required_level(&q));
	if (reason == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}
