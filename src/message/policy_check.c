/*
 * policy_check.c - the trigger that refuses a rule when it is written. A rule
 * that cannot be read would be no rule, and its absence nobody would notice.
 */
#include "smsflow.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "core/region.h"
#include "errcodes.h"
#include "message/policy.h"
#include "message/spi.h"
#include "types/types.h"

static const char *check_flag(const char *value);
static const char *check_wording(const char *value);
static const char *check_level(const char *value);
static const char *check_window(const char *value);
static const char *check_profile(const char *value);
static const char *check_holiday(const char *value);
static const char *check_zones(const char *value);
static const char *check_cap(const char *value);
static const char *check_interval(const char *value);
static const char *check_domain(const char *value);
static const char *check_parts(const char *value);
static const char *check_kind(const char *value);
static const char *check_stop_ends(const char *value);
static const char *check_double_opt_in(const char *value);

/* How long touches are kept: smsflow.forget_touches(). */
#define LONGEST_SPAN (35 * USECS_PER_DAY)

/* Whether two rules of one place, purpose and kind may hold at the same time. */
typedef enum Company
{
	ALONE,           /* one says all */
	WITH_OTHERS,     /* they add up, but none twice */
	WITHOUT_OVERLAP, /* windows: they add up, but no minute is in two */
} Company;

typedef enum PurposeUse
{
	PURPOSE_NEEDED,
	PURPOSE_OPTIONAL, /* NULL: all */
	PURPOSE_NONE
} PurposeUse;

static const struct
{
	const char *name;
	PurposeUse purpose;
	const char *(*check)(const char *value); /* NULL when good, else what it should be */
	Company company;
} kinds[] = {
	{"consent_level", PURPOSE_NEEDED, check_level, ALONE},
	{"stop_ends", PURPOSE_NEEDED, check_stop_ends, ALONE},
	{"double_opt_in", PURPOSE_NEEDED, check_double_opt_in, ALONE},
	{"window", PURPOSE_OPTIONAL, check_window, WITHOUT_OVERLAP},
	{"consented_window", PURPOSE_OPTIONAL, check_window, WITHOUT_OVERLAP},
	{"profile", PURPOSE_OPTIONAL, check_profile, ALONE},
	{"windowed", PURPOSE_NEEDED, check_flag, ALONE},
	{"holiday", PURPOSE_NONE, check_holiday, WITH_OTHERS},
	{"zone", PURPOSE_NONE, check_zones, ALONE},
	{"cap", PURPOSE_NEEDED, check_cap, ALONE},
	{"subject_cap", PURPOSE_NEEDED, check_cap, ALONE},
	{"cap_checked", PURPOSE_NEEDED, check_flag, ALONE},
	{"cap_counts", PURPOSE_NEEDED, check_flag, ALONE},
	{"cart_once", PURPOSE_OPTIONAL, check_flag, ALONE},
	{"cart_within", PURPOSE_OPTIONAL, check_interval, ALONE},
	{"registration", PURPOSE_NONE, check_flag, ALONE},
	{"shortener", PURPOSE_NONE, check_domain, WITH_OTHERS},
	{"brand_named", PURPOSE_NEEDED, check_flag, ALONE},
	{"opt_out_wording", PURPOSE_NEEDED, check_wording, ALONE},
	{"max_parts", PURPOSE_NONE, check_parts, ALONE},
	{"suspended", PURPOSE_NONE, check_kind, WITH_OTHERS},
};

/* ---- values ---- */

static const char *
check_flag(const char *value)
{
	return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ? NULL : "It is true or false.";
}

static const char *
check_stop_ends(const char *value)
{
	char *names = pstrdup(value);
	char *rest;
	int count = 0;
	SmsflowPurpose purpose;

	if (check_flag(value) == NULL)
		return NULL;
	for (char *name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
		if (++count && !smsflow_purpose_from_name(name, strlen(name), &purpose))
			count = -SMSFLOW_PURPOSES;
	return count > 0 ? NULL : "It is true, false, or the purposes of the messages that a STOP answers, separated by commas.";
}

static const char *
check_double_opt_in(const char *value)
{
	if (check_flag(value) == NULL || check_interval(value) == NULL)
		return NULL;
	return "It is true, false, or how long a YES counts, such as 48 hours.";
}

static const char *
check_wording(const char *value)
{
	int64 span = smsflow_policy_span(value);

	if (check_flag(value) == NULL || (span > 0 && span <= LONGEST_SPAN))
		return NULL;
	return "It is true (in every text), false, or a span of at most 35 days, such as 30 days, in which it is due once.";
}

static const char *
check_level(const char *value)
{
	SmsflowLevel level;

	return smsflow_level_from_name(value, strlen(value), &level) ? NULL : "It is none, implied, express, written or confirmed.";
}

static const char *
check_window(const char *value)
{
	SmsflowWindow window;
	bool except;
	SmsflowWindowError error;

	smsflow_window_close(&window);
	error = smsflow_window_add(&window, value, strlen(value), &except);
	return error == SMSFLOW_WINDOW_OK ? NULL : smsflow_window_error_text(error);
}

static const char *
check_profile(const char *value)
{
	return strcmp(value, "strict") == 0 || strcmp(value, "consented") == 0 ? NULL : "It is strict or consented.";
}

static const char *
check_holiday(const char *value)
{
	SmsflowHoliday holiday;

	return smsflow_holiday_parse(value, strlen(value), &holiday)
			   ? NULL
			   : "It is a date such as 2026-07-14, 07-04 or \"07-04 observed\", a weekday such as \"Nov Thu 4\", or easter-2.";
}

static const char *
check_zones(const char *value)
{
	char *names = pstrdup(value);
	char *rest;
	int count = 0;

	for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		if (++count > SMSFLOW_ZONES_MAX || strlen(name) > TZ_STRLEN_MAX || smsflow_time_zone(name) == NULL)
			return "It is one or more IANA time zones, separated by spaces, such as Europe/Paris.";
	return count > 0 ? NULL : "It names no time zone.";
}

static const char *
check_cap(const char *value)
{
	SmsflowCap cap;

	if (!smsflow_cap_parse(value, &cap))
		return "It is a number of messages and a span, such as 10 per 7 days.";
	return cap.span <= LONGEST_SPAN ? NULL : "What was sent is remembered for 35 days, and no cap can span more.";
}

static const char *
check_interval(const char *value)
{
	return smsflow_policy_span(value) > 0 ? NULL : "It is a number of minutes, hours or days, such as 48 hours.";
}

static const char *
check_domain(const char *value)
{
	return value[0] != '\0' && value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-")] == '\0' && strchr(value, '.')
			   ? NULL
			   : "It is a domain in small letters.";
}

static const char *
check_parts(const char *value)
{
	return value[0] >= '1' && value[0] <= '9' && (value[1] == '\0' || (value[1] >= '0' && value[1] <= '9' && value[2] == '\0'))
			   ? NULL
			   : "It is a number of parts from 1 to 99.";
}

static const char *
check_kind(const char *value)
{
	for (int i = 0; i < (int) lengthof(kinds); i++)
		if (strcmp(value, kinds[i].name) == 0)
			return NULL;
	return "It is a kind of rule.";
}

/* ---- jurisdictions ---- */

/* Besides regions, everywhere, and those parts of a country that are not known. */
static bool
known_jurisdiction(const char *name)
{
	char country[3];

	if (strcmp(name, "*") == 0)
		return true;
	strlcpy(country, name, sizeof(country));
	return smsflow_region_known(strlen(country) == 2 && strcmp(name + 2, "-*") == 0 ? country : name);
}

/* ---- other rules ---- */

static void
refuse(const char *what, const char *value, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("policy rule with %s \"%s\" is refused", what, value),
					errdetail("%s", detail), errhint("%s", hint)));
}

static bool
share_minutes(const char *a, const char *b)
{
	static const SmsflowWindow closed;
	SmsflowWindow first = closed;
	SmsflowWindow second = closed;
	bool except;

	smsflow_window_add(&first, a, strlen(a), &except);
	smsflow_window_add(&second, b, strlen(b), &except);
	smsflow_window_intersect(&first, &second);
	return memcmp(&first, &closed, sizeof(closed)) != 0;
}

static bool
collide(Company company, const char *a, const char *b)
{
	switch (company)
	{
		case ALONE:
			return true;
		case WITH_OTHERS:
			return strcmp(a, b) == 0;
		case WITHOUT_OVERLAP:
			return share_minutes(a, b);
	}
	return true;
}

/*
 * The rules that hold beside this one. A store's rules take the place of shipped ones, so only rules of one origin
 * contradict each other. Writers wait for each other, or neither would see what the other writes.
 */
static void
find_others(HeapTuple row, TupleDesc columns)
{
	static SPIPlanPtr plan = NULL;
	static const char *const names[] = {"jurisdiction", "purpose", "kind", "builtin", "policy_rule_id", "effective", "segment"};
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID, INT4OID, TSTZRANGEOID, TEXTOID};
	Datum values[lengthof(names)];
	char nulls[] = "       ";

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		bool isnull;

		values[i] = SPI_getbinval(row, columns, SPI_fnumber(columns, names[i]), &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	smsflow_spi_plan(&plan,
					 "SELECT p.policy_rule_id, p.value FROM  smsflow.policy_rule p WHERE p.jurisdiction = $1"
					 " AND p.purpose IS NOT DISTINCT FROM $2 AND p.kind = $3 AND p.builtin = $4 AND p.policy_rule_id <> $5 AND "
					 "p.effective && $6 AND p.segment IS NOT DISTINCT FROM $7 ORDER BY p.policy_rule_id",
					 lengthof(types), types);
	smsflow_spi_run(plan, values, nulls, false, SPI_OK_SELECT);
}

static void
check_others(Company company, const char *value, HeapTuple row, Relation rules)
{
	TupleDesc columns = RelationGetDescr(rules);

	DirectFunctionCall2(pg_advisory_xact_lock_int4, Int32GetDatum((int32) RelationGetRelid(rules)), Int32GetDatum(0));
	SPI_connect();
	find_others(row, columns);
	for (uint64 i = 0; i < SPI_processed; i++)
		if (collide(company, value, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)))
			refuse("value", value,
				   psprintf("Rule %s, \"%s\", holds for the same place, purpose and kind at the same time.",
							SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
							SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)),
				   "Change that rule, or end its effective range where this one begins.");
	SPI_finish();
}

/* ---- the trigger ---- */

/* A name that no brand knows would be a cap for nobody, which nobody would notice. */
static void
check_segment(const char *kind, const char *name)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID};
	Datum values[] = {(Datum) 0};
	bool known;

	if (name == NULL)
		return;
	if (strcmp(kind, "cap") != 0 && strcmp(kind, "subject_cap") != 0)
		refuse("segment", name, "Only a cap or subject_cap can be for the members of a segment.", "Leave the segment out.");
	values[0] = CStringGetTextDatum(name);
	SPI_connect();
	smsflow_spi_plan(&plan, "SELECT FROM smsflow.segment WHERE name = $1 LIMIT 1", lengthof(types), types);
	smsflow_spi_run(plan, values, NULL, false, SPI_OK_SELECT);
	known = SPI_processed > 0;
	SPI_finish();
	if (!known)
		refuse("segment", name, "No brand has a segment of this name.", "Create it with smsflow.create_segment().");
}

static void
check_purpose(const char *kind, PurposeUse use, const char *name)
{
	SmsflowPurpose purpose;

	if (name == NULL && use != PURPOSE_NEEDED)
		return;
	if (name == NULL || !smsflow_purpose_from_name(name, strlen(name), &purpose))
		refuse("purpose", name ? name : "NULL",
			   "Purposes are compliance, otp, transactional, conversational, cart and promotional.",
			   "Use one of these names, in small letters.");
	if (use == PURPOSE_NONE)
		refuse("purpose", name, psprintf("A rule of kind %s holds for all purposes.", kind), "Leave the purpose out.");
	if (strcmp(kind, "windowed") == 0 && purpose != SMSFLOW_PURPOSE_TRANSACTIONAL && purpose != SMSFLOW_PURPOSE_CONVERSATIONAL)
		refuse("purpose", name,
			   "Promotional and cart messages always keep quiet hours, one-time passwords and answers to STOP never.",
			   "Only transactional and conversational can be told to.");
}

static bool
says_else(HeapTuple before, HeapTuple row, TupleDesc columns)
{
	static const char *const names[] = {"jurisdiction", "purpose", "kind", "value", "effective", "segment"};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		char *was = SPI_getvalue(before, columns, SPI_fnumber(columns, names[i]));
		char *is = SPI_getvalue(row, columns, SPI_fnumber(columns, names[i]));

		if ((was == NULL) != (is == NULL) || (was && strcmp(was, is) != 0))
			return true;
	}
	return false;
}

/*
 * A shipped rule that the store changes becomes its own, under a new number: a dump takes it along, and beside the
 * shipped rule of the restored database it counts.
 */
static HeapTuple
make_own(HeapTuple before, HeapTuple row, TupleDesc columns)
{
	Oid sequence = get_relname_relid("policy_rule_policy_rule_id_seq", get_namespace_oid(SMSFLOW_SCHEMA, false));
	int numbers[] = {SPI_fnumber(columns, "policy_rule_id"), SPI_fnumber(columns, "builtin")};
	Datum values[] = {(Datum) 0, BoolGetDatum(false)};
	bool nulls[] = {false, false};
	bool isnull;

	if (!DatumGetBool(SPI_getbinval(before, columns, numbers[1], &isnull)) || !says_else(before, row, columns))
		return row;
	values[0] = Int32GetDatum((int32) DatumGetInt64(DirectFunctionCall1(nextval_oid, ObjectIdGetDatum(sequence))));
	return heap_modify_tuple_by_cols(row, columns, lengthof(numbers), numbers, values, nulls);
}

PG_FUNCTION_INFO_V1(smsflow_check_policy_rule);
Datum
smsflow_check_policy_rule(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	TupleDesc columns = RelationGetDescr(trigger->tg_relation);
	char *jurisdiction = SPI_getvalue(row, columns, SPI_fnumber(columns, "jurisdiction"));
	char *purpose = SPI_getvalue(row, columns, SPI_fnumber(columns, "purpose"));
	char *kind = SPI_getvalue(row, columns, SPI_fnumber(columns, "kind"));
	char *value = SPI_getvalue(row, columns, SPI_fnumber(columns, "value"));
	const char *problem;
	int i = 0;

	if (jurisdiction == NULL || kind == NULL || value == NULL)
		return PointerGetDatum(row); /* NOT NULL says it better */
	if (!known_jurisdiction(jurisdiction))
		refuse("jurisdiction", jurisdiction,
			   "It is a country by its ISO 3166 code, a state such as US-FL, US-* for a state that is not known, or *.",
			   "Use capital letters.");
	while (i < (int) lengthof(kinds) && strcmp(kind, kinds[i].name) != 0)
		i++;
	if (i == (int) lengthof(kinds))
		refuse("kind", kind, "There is no such kind of rule.", "The kinds are in the comment of the column.");
	check_purpose(kind, kinds[i].purpose, purpose);
	problem = kinds[i].check(value);
	if (problem)
		refuse("value", value, problem, psprintf("The kind of the rule is %s.", kind));
	check_segment(kind, SPI_getvalue(row, columns, SPI_fnumber(columns, "segment")));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		row = make_own(trigger->tg_trigtuple, row, columns);
	check_others(kinds[i].company, value, row, trigger->tg_relation);
	return PointerGetDatum(row);
}
