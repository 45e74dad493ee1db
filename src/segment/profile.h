/*
 * profile.h - noting what changes the facts of a contact, for the rooms where it happens.
 */
#ifndef SMSFLOW_PROFILE_H
#define SMSFLOW_PROFILE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "append.h"

/* Opens smsflow.profile_delta; append_end() closes it. */
extern Appender *smsflow_profile_deltas(void);

/*
 * Notes that something happened to a contact: kind is contact, event (with the store's event), message, delivered, click
 * or reply. event_id is 0 for none.
 */
extern void smsflow_append_profile_delta(Appender *deltas, int64 contact_id, const char *kind, TimestampTz at, int64 event_id);

#endif /* SMSFLOW_PROFILE_H */
