/*
 * profile.h - noting what changes the facts of a contact, for the rooms where it happens.
 */
#ifndef SMSFLOW_PROFILE_H
#define SMSFLOW_PROFILE_H

#include "postgres.h"

#include "utils/array.h"
#include "utils/timestamp.h"

#include "append.h"

/* Opens smsflow.profile_delta; append_end() closes it. */
extern Appender *smsflow_profile_deltas(void);

/*
 * Notes that something happened to a contact: kind is contact, event (with the store's event), delivered, click or reply;
 * messages are noted by sent.h. event_id is 0 for none.
 */
extern void smsflow_append_profile_delta(Appender *deltas, int64 contact_id, const char *kind, TimestampTz at, int64 event_id);

/* Days of UTC since 2000, which tallies count by; -1 for what has none. */
extern int32 smsflow_tally_day(TimestampTz at);

/* Sum of the counts of a tally (integer[]) after a day. */
extern int64 smsflow_tally_after(ArrayType *tally, int32 day);

#endif /* SMSFLOW_PROFILE_H */
