/*
 * policy.c - smsflow.policy_rule in memory.
 *
 * The gate asks for every message, so a session keeps the rules that are in
 * force now, compiled, and a few sets of other instants for can_send(). All are
 * forgotten when somebody changes the table.
 *
 * Of the rules of one jurisdiction, purpose and kind those of the store take the
 * place of shipped ones; holidays and shorteners add up. A rule without purpose holds for the
 * purposes that have none of their own in its jurisdiction. What applies to a
 * message by several jurisdictions, such as a country and two states, is decided
 * by the gate: the strictest.
 */
#include "smsflow.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "message/policy.h"
#include "message/spi.h"
#include "types/types.h"

/* The first slot is for now, so that looking elsewhere never pushes it out. */
#define SLOTS 4

static SmsflowPolicy slots[SLOTS];
static int next_slot = 1;
static bool stale = false;
static Oid rules_relid = InvalidOid;

/* Called at moments when nothing may be freed. */
static void
forget_rules(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == rules_relid)
		stale = true;
}

void
smsflow_policy_forget(void)
{
	stale = true;
}

static void
watch_rules(void)
{
	static bool watching = false;

	rules_relid = get_relname_relid("policy_rule", get_namespace_oid(SMSFLOW_SCHEMA, false));
	if (!watching)
		CacheRegisterRelcacheCallback(forget_rules, (Datum) 0);
	watching = true;
}

/* ---- values ---- */

int64
smsflow_policy_span(const char *text)
{
	int number;
	char unit[8];
	int end = 0;

	if (sscanf(text, "%6d %7[a-z]%n", &number, unit, &end) != 2 || text[end] != '\0' || number <= 0)
		return 0;
	if (strcmp(unit, "minutes") == 0)
		return number * USECS_PER_MINUTE;
	if (strcmp(unit, "hours") == 0)
		return number * USECS_PER_HOUR;
	return strcmp(unit, "days") == 0 ? number * USECS_PER_DAY : 0;
}

bool
smsflow_cap_parse(const char *text, SmsflowCap *cap)
{
	int limit;
	int end = 0;
	int64 span;

	if (sscanf(text, "%6d per %n", &limit, &end) != 1 || end == 0 || limit <= 0)
		return false;
	span = smsflow_policy_span(text + end);
	if (span > 0)
		*cap = (SmsflowCap){limit, span};
	return span > 0;
}

/* ---- finding ---- */

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const SmsflowJurisdiction *) a)->name, ((const SmsflowJurisdiction *) b)->name);
}

SmsflowJurisdiction *
smsflow_policy_find(const SmsflowPolicy *policy, const char *name)
{
	SmsflowJurisdiction key;

	if (strlcpy(key.name, name, sizeof(key.name)) >= sizeof(key.name))
		return NULL;
	return bsearch(&key, policy->jurisdictions, policy->count, sizeof(SmsflowJurisdiction), compare_names);
}

/* ---- compiling ---- */

/* One row of the query below. */
typedef struct Rule
{
	const char *kind;
	const char *value;
	const char *segment; /* NULL: for all */
	int purpose;         /* -1: all that have none of their own */
	SmsflowJurisdiction *where;
} Rule;

static void
add_window(SmsflowTimes *times, const char *text)
{
	bool except = false;

	if (times->window == NULL)
	{
		times->window = palloc(sizeof(SmsflowWindow));
		smsflow_window_close(times->window);
	}
	if (smsflow_window_add(times->window, text, strlen(text), &except) == SMSFLOW_WINDOW_OK)
		times->except_holidays |= except;
}

static void
add_holiday(SmsflowJurisdiction *where, const char *text)
{
	SmsflowHoliday holiday;

	if (!smsflow_holiday_parse(text, strlen(text), &holiday))
		return;
	if (where->holidays == NULL)
		where->holidays = palloc(sizeof(SmsflowHoliday));
	else
		where->holidays = repalloc(where->holidays, sizeof(SmsflowHoliday) * (where->holiday_count + 1));
	where->holidays[where->holiday_count++] = holiday;
}

static void
add_zones(SmsflowJurisdiction *where, const char *text)
{
	char *names = pstrdup(text);
	char *rest;

	where->zone_count = 0;
	for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
	{
		pg_tz *zone = smsflow_time_zone(name);

		if (zone != NULL && where->zone_count < SMSFLOW_ZONES_MAX)
			where->zones[where->zone_count++] = zone;
	}
}

/* Kinds that say something of a purpose in a jurisdiction. */
static void
apply_to_purpose(SmsflowPolicy *policy, const Rule *rule, int purpose)
{
	SmsflowJurisdiction *where = rule->where;
	bool yes = strcmp(rule->value, "true") == 0;
	SmsflowLevel level;

	if (strcmp(rule->kind, "window") == 0)
		add_window(&where->strict[purpose], rule->value);
	else if (strcmp(rule->kind, "consented_window") == 0)
		add_window(&where->consented[purpose], rule->value);
	else if (strcmp(rule->kind, "consent_level") == 0 && smsflow_level_from_name(rule->value, strlen(rule->value), &level))
		where->level[purpose] = level;
	else if (strcmp(rule->kind, "windowed") == 0)
		where->windowed[purpose] = yes;
	else if (strcmp(rule->kind, "cap") == 0)
		smsflow_cap_parse(rule->value, &where->cap[purpose]);
	else if (strcmp(rule->kind, "cap_checked") == 0)
		policy->cap_unchecked[purpose] = !yes;
	else if (strcmp(rule->kind, "subject_cap") == 0)
		smsflow_cap_parse(rule->value, &where->subject_cap[purpose]);
	else if (strcmp(rule->kind, "cap_counts") == 0)
		policy->counts[purpose] = yes;
	else if (strcmp(rule->kind, "profile") == 0)
		policy->consented[purpose] = strcmp(rule->value, "consented") == 0;
	else if (strcmp(rule->kind, "brand_named") == 0)
		policy->brand_named[purpose] = yes;
	else if (strcmp(rule->kind, "opt_out_wording") == 0)
	{
		policy->opt_out_wording[purpose] = yes;
		policy->wording_span[purpose] = smsflow_policy_span(rule->value);
	}
}

/* Kinds without a purpose; true when this was one. */
static bool
apply_to_all(SmsflowPolicy *policy, const Rule *rule)
{
	SmsflowJurisdiction *where = rule->where;

	if (strcmp(rule->kind, "holiday") == 0)
		add_holiday(where, rule->value);
	else if (strcmp(rule->kind, "zone") == 0)
		add_zones(where, rule->value);
	else if (strcmp(rule->kind, "cart_once") == 0)
		where->cart_once = strcmp(rule->value, "true") == 0;
	else if (strcmp(rule->kind, "cart_within") == 0)
		where->cart_within = smsflow_policy_span(rule->value);
	else if (strcmp(rule->kind, "registration") == 0)
		where->registration = strcmp(rule->value, "true") == 0;
	else if (strcmp(rule->kind, "max_parts") == 0)
		policy->max_parts = pg_strtoint32(rule->value);
	else if (strcmp(rule->kind, "shortener") == 0)
		policy->shorteners[policy->shortener_count++] = pstrdup(rule->value);
	else
		return false;
	return true;
}

/* Caps for members of a segment hold beside all others. */
static void
add_segment_cap(SmsflowPolicy *policy, const Rule *rule)
{
	SmsflowSegmentCap *made = &policy->segment_caps[policy->segment_cap_count];

	if (rule->purpose < 0 || !smsflow_cap_parse(rule->value, &made->cap))
		return;
	made->where = rule->where;
	made->purpose = (SmsflowPurpose) rule->purpose;
	made->same_subject = strcmp(rule->kind, "subject_cap") == 0;
	made->segment = pstrdup(rule->segment);
	policy->segment_cap_count++;
}

/* The columns of a row; its jurisdiction is the last one made, or a new one. */
static Rule
read_rule(SmsflowPolicy *policy, uint64 row)
{
	HeapTuple tuple = SPI_tuptable->vals[row];
	TupleDesc columns = SPI_tuptable->tupdesc;
	char *name = SPI_getvalue(tuple, columns, 1);
	char *purpose = SPI_getvalue(tuple, columns, 2);
	SmsflowPurpose value;
	Rule rule = {.kind = SPI_getvalue(tuple, columns, 3),
				 .value = SPI_getvalue(tuple, columns, 4),
				 .segment = SPI_getvalue(tuple, columns, 5),
				 .purpose = -1};

	if (policy->count == 0 || strcmp(policy->jurisdictions[policy->count - 1].name, name) != 0)
	{
		SmsflowJurisdiction *made = &policy->jurisdictions[policy->count++];

		strlcpy(made->name, name, sizeof(made->name));
		for (int i = 0; i < SMSFLOW_PURPOSES; i++)
			made->level[i] = -1;
	}
	if (purpose && smsflow_purpose_from_name(purpose, strlen(purpose), &value))
		rule.purpose = value;
	rule.where = &policy->jurisdictions[policy->count - 1];
	return rule;
}

/* Rows of a purpose come before those of none, which fill what they left. */
static void
compile(SmsflowPolicy *policy)
{
	bool own[SMSFLOW_PURPOSES] = {false};
	char group[64] = "";

	policy->jurisdictions = palloc0(sizeof(SmsflowJurisdiction) * Max(SPI_processed, 1));
	policy->shorteners = palloc(sizeof(char *) * Max(SPI_processed, 1));
	policy->segment_caps = palloc(sizeof(SmsflowSegmentCap) * Max(SPI_processed, 1));
	policy->max_parts = 10;
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		Rule rule = read_rule(policy, row);
		char name[64];

		snprintf(name, sizeof(name), "%s %s", rule.where->name, rule.kind);
		if (strcmp(name, group) != 0)
			memset(own, 0, sizeof(own));
		strlcpy(group, name, sizeof(group));
		if (rule.segment)
			add_segment_cap(policy, &rule);
		if (rule.segment || apply_to_all(policy, &rule))
			continue;
		for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
			if (rule.purpose == purpose || (rule.purpose < 0 && !own[purpose]))
				apply_to_purpose(policy, &rule, purpose);
		if (rule.purpose >= 0)
			own[rule.purpose] = true;
	}
}

static void
summarize(SmsflowPolicy *policy)
{
	for (int i = 0; i < policy->count; i++)
	{
		SmsflowJurisdiction *where = &policy->jurisdictions[i];

		policy->has_registration |= where->registration;
		policy->capped[SMSFLOW_PURPOSE_CART] |= where->cart_once;
		for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		{
			policy->has_windows |= where->strict[purpose].window != NULL;
			policy->capped[purpose] |= where->cap[purpose].limit > 0 || where->subject_cap[purpose].limit > 0;
		}
	}
	for (int i = 0; i < policy->segment_cap_count; i++)
		policy->capped[policy->segment_caps[i].purpose] = true;
	for (int purpose = 0; purpose < SMSFLOW_PURPOSES; purpose++)
		policy->capped[purpose] |= policy->wording_span[purpose] > 0;
}

/* ---- loading ---- */

static TimestampTz
boundary(uint64 row, int column)
{
	bool isnull;

	return DatumGetTimestampTz(smsflow_spi_value(row, column, &isnull));
}

static void
read_validity(SmsflowPolicy *policy, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(at)};

	smsflow_spi_plan(&plan,
					 "SELECT coalesce(max(x.at) FILTER (WHERE x.at <= $1), '-infinity'), coalesce(min(x.at) FILTER (WHERE x.at > "
					 "$1), 'infinity')"
					 " FROM (SELECT lower(effective) FROM smsflow.policy_rule UNION ALL SELECT upper(effective) FROM "
					 "smsflow.policy_rule) AS x (at)"
					 " WHERE isfinite(x.at)",
					 1, types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
	policy->valid_from = boundary(0, 1);
	policy->valid_until = boundary(0, 2);
}

static void
read_rules(TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(at)};

	smsflow_spi_plan(&plan,
					 "SELECT p.jurisdiction, p.purpose, p.kind, p.value, p.segment FROM smsflow.policy_rule p"
					 " WHERE p.effective @> $1 AND p.kind <> 'suspended' AND NOT EXISTS (SELECT FROM smsflow.policy_rule s"
					 "  WHERE s.kind = 'suspended' AND s.value = p.kind AND s.jurisdiction IN ('*', p.jurisdiction) AND "
					 "s.effective @> $1)"
					 " AND NOT (p.builtin AND p.kind IN ('window', 'consented_window') AND EXISTS (SELECT FROM "
					 "smsflow.policy_rule o"
					 "  WHERE NOT o.builtin AND o.jurisdiction = p.jurisdiction AND o.kind = p.kind"
					 "  AND o.purpose IS NOT DISTINCT FROM p.purpose AND o.effective @> $1))"
					 " ORDER BY p.jurisdiction COLLATE \"C\", p.kind, p.purpose IS NULL, NOT p.builtin, p.policy_rule_id",
					 1, types);
	smsflow_spi_run(plan, values, NULL, true, SPI_OK_SELECT);
}

static void
load(SmsflowPolicy *policy, TimestampTz at)
{
	SmsflowPolicy made = {0};
	MemoryContext old;

	Oid schema = get_namespace_oid(SMSFLOW_SCHEMA, false);

	watch_rules();
	made.touch_relid = get_relname_relid("touch", schema);
	made.contact_index = get_relname_relid("touch_contact", schema);
	made.cart_index = get_relname_relid("touch_cart", schema);
	made.run_relid = get_relname_relid("touch_run", schema);
	made.run_index = get_relname_relid("touch_run_span", schema);

	/* The caller's snapshot may be older than the change that made us forget the rules. */
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	read_validity(&made, at);
	read_rules(at);
	made.context = AllocSetContextCreate(TopMemoryContext, "smsflow policy", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(made.context);
	compile(&made);
	summarize(&made);
	MemoryContextSwitchTo(old);
	SPI_finish();
	PopActiveSnapshot();
	*policy = made;
}

static void
drop_slots(void)
{
	for (int i = 0; i < SLOTS; i++)
	{
		if (slots[i].context != NULL)
			MemoryContextDelete(slots[i].context);
		slots[i].context = NULL;
	}
}

SmsflowPolicy *
smsflow_policy_at(TimestampTz at)
{
	SmsflowPolicy *slot = NULL;

	/* A plan that is kept takes no new lock, and so need not have looked at what others committed. */
	AcceptInvalidationMessages();
	if (stale)
	{
		stale = false;
		drop_slots();
	}
	for (int i = 0; i < SLOTS; i++)
		if (slots[i].context != NULL && at >= slots[i].valid_from && at < slots[i].valid_until)
			return &slots[i];
	if (at <= GetCurrentTimestamp() && at > GetCurrentTimestamp() - USECS_PER_MINUTE)
		slot = &slots[0];
	else
	{
		slot = &slots[next_slot];
		next_slot = next_slot % (SLOTS - 1) + 1;
	}
	if (slot->context != NULL)
		MemoryContextDelete(slot->context);
	slot->context = NULL;
	load(slot, at);
	return slot;
}

bool
smsflow_policy_is_capped(SmsflowPurpose purpose)
{
	return smsflow_policy_at(GetCurrentTimestamp())->capped[purpose];
}

bool
smsflow_policy_counts(SmsflowPurpose purpose)
{
	return smsflow_policy_at(GetCurrentTimestamp())->counts[purpose];
}

bool
smsflow_policy_has_segments(void)
{
	return smsflow_policy_at(GetCurrentTimestamp())->segment_cap_count > 0;
}

PG_FUNCTION_INFO_V1(smsflow_policy_changed);
Datum
smsflow_policy_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	CacheInvalidateRelcache(trigger->tg_relation);
	smsflow_note_rules();
	return PointerGetDatum(NULL);
}
