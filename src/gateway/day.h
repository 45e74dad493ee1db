/*
 * day.h - days of a time zone, for limits that carriers count by the day.
 */
#ifndef SMSFLOW_DAY_H
#define SMSFLOW_DAY_H

#include "postgres.h"

#include "pgtime.h"
#include "utils/timestamp.h"

/* The date an instant has in a zone, as days since 2000-01-01. */
extern int32 smsflow_zone_day(const pg_tz *zone, TimestampTz at);

/* The first instant that has a later date there. */
extern TimestampTz smsflow_zone_day_end(const pg_tz *zone, TimestampTz at);

#endif
