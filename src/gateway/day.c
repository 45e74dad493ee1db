/*
 * day.c - see day.h. The end of a day is found by asking every quarter of an
 * hour for its date, since clocks are changed at such an instant everywhere:
 * a midnight that does not exist, or comes twice, needs no thought then.
 */
#include "gateway/day.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"

#include "core/limiter.h"
#include "errcodes.h"

#define QUARTER (15 * USECS_PER_MINUTE)

/* No day is longer, not even where a country moves over the date line. */
#define MOST_QUARTERS (50 * 4)

int32
smsflow_zone_day(const pg_tz *zone, TimestampTz at)
{
	pg_time_t seconds = timestamptz_to_time_t(at);
	struct pg_tm *local = pg_localtime(&seconds, zone);

	if (local == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return date2j(local->tm_year + 1900, local->tm_mon + 1, local->tm_mday) - POSTGRES_EPOCH_JDATE;
}

TimestampTz
smsflow_zone_day_end(const pg_tz *zone, TimestampTz at)
{
	TimestampTz quarter = at - (at % QUARTER + QUARTER) % QUARTER;
	int32 day = smsflow_zone_day(zone, at);

	for (int i = 0; i < MOST_QUARTERS; i++)
	{
		quarter += QUARTER;
		if (smsflow_zone_day(zone, quarter) > day)
			break;
	}
	return quarter;
}

static pg_tz *
zone_arg(text *name)
{
	pg_tz *zone = pg_tzset(text_to_cstring(name));

	if (zone == NULL)
		ereport(ERROR, (errcode(SMSFLOW_ERRCODE_INVALID_ARGUMENT), errmsg("unknown time zone"),
						errdetail("A limit that is counted by the day has a time zone in which the day begins."),
						errhint("Use an IANA name such as \"America/Los_Angeles\".")));
	return zone;
}

PG_FUNCTION_INFO_V1(smsflow_local_day);
Datum
smsflow_local_day(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATEADT(smsflow_zone_day(zone_arg(PG_GETARG_TEXT_PP(0)), PG_GETARG_TIMESTAMPTZ(1)));
}

PG_FUNCTION_INFO_V1(smsflow_day_ends);
Datum
smsflow_day_ends(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(smsflow_zone_day_end(zone_arg(PG_GETARG_TEXT_PP(0)), PG_GETARG_TIMESTAMPTZ(1)));
}

PG_FUNCTION_INFO_V1(smsflow_kept_of_day);
Datum
smsflow_kept_of_day(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(smsflow_limiter_kept_of_day(PG_GETARG_INT64(0)));
}
