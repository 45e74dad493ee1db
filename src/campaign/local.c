/*
 * local.c - the instant at which clocks of a zone show a time. AT TIME ZONE does the same, but raises an error for a zone
 * that the server does not know (any more), and a contact's row must not stop a campaign.
 */
#include "postgres.h"

#include "fmgr.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "message/policy.h"

/* local_instant(local_at timestamp, time_zone text) returns timestamptz */
PG_FUNCTION_INFO_V1(smsflow_pg_local_instant);
Datum
smsflow_pg_local_instant(PG_FUNCTION_ARGS)
{
	pg_tz *zone = smsflow_time_zone(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	struct pg_tm tm;
	fsec_t fsec;
	TimestampTz instant;
	int offset;

	if (zone == NULL || timestamp2tm(PG_GETARG_TIMESTAMP(0), NULL, &tm, &fsec, NULL, NULL) != 0)
		PG_RETURN_NULL();
	offset = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, fsec, &offset, &instant) != 0)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(instant);
}
