/*
 * hours.c - quiet hours: when it is a decent hour everywhere the phone may be.
 *
 * A claim asks for hundreds of people in a few dozen places, so what was found out is remembered with the rules: an answer
 * is good until the window that it found closes, or opens.
 */
#include "smsflow.h"

#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "message/gate.h"
#include "core/phone.h"
#include "types/types.h"

/* More rounds than zones differ in; more would mean that they have no hour in common. */
#define MAX_ROUNDS 64

#define MEMO_PLACES 128

/* All that hours depend on, besides the rules and the instant. Padding is zero, so that keys compare as bytes. */
typedef struct HoursKey
{
	const void *where[GATE_MAX_PLACES + SMSFLOW_ZONES_MAX]; /* places, then zones */
	int place_count;
	int zone_count;
	int purpose;
	int agreed; /* firmly enough for the consented profile */
} HoursKey;

/* The first open instant from any of these on is the same, or the instant itself. */
typedef struct HoursMemo
{
	HoursKey key;
	TimestampTz from;
	TimestampTz until; /* exclusive */
	TimestampTz opens; /* DT_NOBEGIN: it is open */
	TimestampTz open_until;
} HoursMemo;

static void
add_zone(GateQuestion *q, pg_tz *zone)
{
	if (zone != NULL && q->zone_count < SMSFLOW_ZONES_MAX)
		q->zones[q->zone_count++] = zone;
}

/* What the customer or an address says, else every zone of the area code, else those of the country's rule. */
static void
find_zones(GateQuestion *q)
{
	SmsflowJurisdiction *country;
	const char *const *names;
	int count;

	if (smsflow_gate_has_arg(q, ARG_TIME_ZONE) && (smsflow_gate_text_arg_is(q, ARG_TIME_ZONE_SOURCE, "customer") ||
												   smsflow_gate_text_arg_is(q, ARG_TIME_ZONE_SOURCE, "address")))
		add_zone(q, smsflow_time_zone(smsflow_gate_text_arg(q, ARG_TIME_ZONE)));
	if (q->zone_count > 0)
		return;
	names = smsflow_phone_time_zones(q->phone, &count);
	for (int i = 0; i < count; i++)
		add_zone(q, smsflow_time_zone(names[i]));
	country = smsflow_policy_find(q->policy, q->country);
	for (int i = 0; country && count == 0 && i < country->zone_count; i++)
		add_zone(q, country->zones[i]);
}

/* The window of a question: what is open in all places, before holidays. */
typedef struct Hours
{
	SmsflowWindow window;
	SmsflowJurisdiction *keeps_holidays[GATE_MAX_PLACES + 1];
	int holiday_places;
} Hours;

static bool
keeps_hours(const GateQuestion *q)
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
intersect(const GateQuestion *q, SmsflowJurisdiction *const *places, int count, bool consented, Hours *hours)
{
	bool found = false;

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
find_hours(const GateQuestion *q, Hours *hours)
{
	if (q->policy->consented[q->purpose] && q->level >= SMSFLOW_LEVEL_EXPRESS &&
		intersect(q, q->places, q->place_count, true, hours))
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
	bool any_state = strlen(place->name) > 3 && strcmp(place->name + 2, "-*") == 0;

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
closed_days(const GateQuestion *q, const Hours *hours, int64 today, int days)
{
	uint32 closed = 0;

	for (int ahead = 0; ahead < days; ahead++)
		for (int i = 0; i < hours->holiday_places; i++)
			if (holiday_at(q->policy, hours->keeps_holidays[i], today + ahead))
				closed |= (uint32) 1 << ahead;
	return closed;
}

/* The next instant at which the clocks of a zone change; DT_NOEND when they never do. */
static TimestampTz
clocks_change(pg_time_t seconds, pg_tz *zone)
{
	long before;
	long after;
	int is_dst;
	pg_time_t change;

	if (pg_next_dst_boundary(&seconds, &before, &is_dst, &change, &after, &is_dst, zone) != 1)
		return DT_NOEND;
	return time_t_to_timestamptz(change);
}

/*
 * When it is worth looking at a zone again: t itself when the window is open, then also until when; DT_NOEND when it
 * does not open within a month. Local minutes pass like all others until the clocks change, and then the clock is read
 * again, so an hour that is skipped or comes twice needs no thought.
 */
static TimestampTz
opens_at(const GateQuestion *q, const Hours *hours, pg_tz *zone, TimestampTz t, TimestampTz *open_until)
{
	pg_time_t seconds = timestamptz_to_time_t(t);
	TimestampTz change = clocks_change(seconds, zone);
	struct pg_tm tm = *pg_localtime(&seconds, zone);
	TimestampTz this_minute = time_t_to_timestamptz(seconds - tm.tm_sec);
	int64 today = smsflow_day_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	int minute = tm.tm_hour * 60 + tm.tm_min;
	int wait = smsflow_window_wait(&hours->window, tm.tm_wday, minute, closed_days(q, hours, today, 1));
	int left;

	if (wait == 0)
	{
		/* At midnight the gate is asked again: tomorrow may be a holiday. */
		left = smsflow_window_left(&hours->window, tm.tm_wday, minute, 0);
		left = left < 0 ? SMSFLOW_DAY_MINUTES - minute : Min(left, SMSFLOW_DAY_MINUTES - minute);
		*open_until = Min(*open_until, Min(this_minute + left * USECS_PER_MINUTE, change));
		return t;
	}
	wait = smsflow_window_wait(&hours->window, tm.tm_wday, minute, closed_days(q, hours, today, SMSFLOW_WINDOW_DAYS));
	return wait < 0 ? DT_NOEND : Min(this_minute + wait * USECS_PER_MINUTE, change);
}

/* From t on, the first instant at which the window is open in every zone. */
static TimestampTz
open_everywhere(const GateQuestion *q, const Hours *hours, TimestampTz t, TimestampTz *open_until)
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

static HoursMemo *
place_in_memo(const GateQuestion *q, HoursKey *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->where, q->places, sizeof(q->places[0]) * q->place_count);
	memcpy(key->where + q->place_count, q->zones, sizeof(q->zones[0]) * q->zone_count);
	key->place_count = q->place_count;
	key->zone_count = q->zone_count;
	key->purpose = q->purpose;
	key->agreed = q->level >= SMSFLOW_LEVEL_EXPRESS;
	if (q->policy->hours == NULL)
		q->policy->hours = MemoryContextAllocZero(q->policy->context, sizeof(HoursMemo) * MEMO_PLACES);
	return &q->policy->hours[hash_bytes((const unsigned char *) key, sizeof(*key)) % MEMO_PLACES];
}

static void
remember(HoursMemo *memo, const HoursKey *key, TimestampTz from, TimestampTz opens, TimestampTz open_until)
{
	memo->key = *key;
	memo->from = from;
	memo->until = opens == DT_NOEND ? from + 1 : opens > from ? opens : open_until;
	memo->opens = opens > from ? opens : DT_NOBEGIN;
	memo->open_until = open_until;
}

/* From an instant on, the first at which all hours of these places are open; DT_NOEND: none. */
static TimestampTz
first_open(GateQuestion *q, TimestampTz from, TimestampTz *open_until)
{
	HoursKey key;
	HoursMemo *memo = place_in_memo(q, &key);

	if (from < memo->from || from >= memo->until || memcmp(&memo->key, &key, sizeof(key)) != 0)
	{
		Hours hours;
		TimestampTz until = DT_NOEND;
		TimestampTz opens = find_hours(q, &hours) ? open_everywhere(q, &hours, from, &until) : from;

		remember(memo, &key, from, opens, until);
	}
	*open_until = memo->open_until;
	return memo->opens == DT_NOBEGIN ? from : memo->opens;
}

void
smsflow_gate_decide_hours(GateQuestion *q, GateDecision *decision)
{
	TimestampTz from = Max(decision->retry_at, q->at);
	TimestampTz open;

	if (!q->policy->has_windows || !keeps_hours(q))
		return;
	find_zones(q);
	if (q->zone_count == 0)
	{
		if (find_hours(q, &(Hours){0}))
			*decision = (GateDecision){"zone_unknown", DT_NOBEGIN, DT_NOEND};
		return;
	}
	open = first_open(q, from, &decision->open_until);
	if (open == DT_NOEND)
		*decision = (GateDecision){"no_common_hours", DT_NOBEGIN, DT_NOEND};
	else if (open > from)
	{
		decision->reason = decision->reason ? decision->reason : "quiet_hours";
		decision->retry_at = open;
	}
}
