/*
 * local.c - the instant at which clocks of a zone show a time. AT TIME ZONE does the same, but raises an error for a zone
 * that the server does not know (any more), and a contact's row must not stop a campaign.
 */
#include "campaign/local.h"

#include "pgtime.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "types/types.h"

bool
smsflow_local_instant(Timestamp local, const char *zone, TimestampTz *instant)
{
	pg_tz *known = smsflow_time_zone(zone);
	struct pg_tm tm;
	fsec_t fsec;
	int offset;

	if (known == NULL || timestamp2tm(local, NULL, &tm, &fsec, NULL, NULL) != 0)
		return false;
	offset = DetermineTimeZoneOffset(&tm, known);
	return tm2timestamp(&tm, fsec, &offset, instant) == 0;
}
