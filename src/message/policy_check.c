/*
 * policy_check.c - the trigger that refuses a rule when it is written. A rule
 * that cannot be read would be no rule, and its absence nobody would notice.
 */
#include "smsflow.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "core/phone_plan.h"
#include "errcodes.h"
#include "message/policy.h"

static const char *check_flag(const char *value);
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
} kinds[] = {
	{"consent_level", PURPOSE_NEEDED, check_level},
	{"stop_ends", PURPOSE_NEEDED, check_stop_ends},
	{"double_opt_in", PURPOSE_NEEDED, check_double_opt_in},
	{"window", PURPOSE_OPTIONAL, check_window},
	{"consented_window", PURPOSE_OPTIONAL, check_window},
	{"profile", PURPOSE_OPTIONAL, check_profile},
	{"windowed", PURPOSE_NEEDED, check_flag},
	{"holiday", PURPOSE_NONE, check_holiday},
	{"zone", PURPOSE_NONE, check_zones},
	{"cap", PURPOSE_NEEDED, check_cap},
	{"subject_cap", PURPOSE_NEEDED, check_cap},
	{"cap_counts", PURPOSE_NEEDED, check_flag},
	{"cart_once", PURPOSE_OPTIONAL, check_flag},
	{"cart_within", PURPOSE_OPTIONAL, check_interval},
	{"registration", PURPOSE_NONE, check_flag},
	{"shortener", PURPOSE_NONE, check_domain},
	{"brand_named", PURPOSE_NEEDED, check_flag},
	{"opt_out_wording", PURPOSE_NEEDED, check_flag},
	{"max_parts", PURPOSE_NONE, check_parts},
	{"suspended", PURPOSE_NONE, check_kind},
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

	return smsflow_cap_parse(value, &cap) ? NULL : "It is a number of messages and a span, such as 10 per 7 days.";
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

static bool
listed(const char *code, const char *list)
{
	const char *found = strstr(list, code);

	return strlen(code) == 2 && found != NULL && (found - list) % 3 == 0;
}

static bool
known_part(const char *country, const char *part)
{
	if (strcmp(part, "*") == 0)
		return true;
	if (strcmp(country, "US") == 0)
		return listed(part, "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY "
							"NC ND OH OK OR "
							"PA RI SC SD TN TX UT VT VA WA WV WI WY");
	if (strcmp(country, "CA") == 0)
		return listed(part, "AB BC MB NB NL NS NT NU ON PE QC SK YT");
	return strlen(part) >= 1 && strlen(part) <= 3 && part[strspn(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] == '\0';
}

static bool
known_jurisdiction(const char *name)
{
	char country[3];

	if (strcmp(name, "*") == 0)
		return true;
	if (strlen(name) < 2 || !isupper((unsigned char) name[0]) || !isupper((unsigned char) name[1]))
		return false;
	strlcpy(country, name, sizeof(country));
	if (smsflow_plan_of_region(country) == NULL)
		return false;
	return name[2] == '\0' || (name[2] == '-' && known_part(country, name + 3));
}

/* ---- the trigger ---- */

static void
refuse(const char *what, const char *value, const char *detail, const char *hint)
{
	ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("policy rule with %s \"%s\" is refused", what, value),
					errdetail("%s", detail), errhint("%s", hint)));
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
	return PointerGetDatum(row);
}
