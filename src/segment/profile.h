/*
 * profile.h - counts by day, as the profile keeps them in tallies (core/tally.h).
 */
#ifndef SMSFLOW_PROFILE_H
#define SMSFLOW_PROFILE_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/timestamp.h"

/* Days of UTC since 2000, which tallies count by; -1 for what has none. */
extern int32 smsflow_tally_day(TimestampTz at);

/* Sum of the counts of a tally (integer[]) after a day. */
extern int64 smsflow_tally_after(ArrayType *tally, int32 day);

#endif /* SMSFLOW_PROFILE_H */
