/*
 * local.h - wall-clock times where recipients are.
 */
#ifndef SMSFLOW_LOCAL_H
#define SMSFLOW_LOCAL_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* smsflow_local_instant finds the instant at which clocks of a zone show a time; false where the zone is not known. */
extern bool smsflow_local_instant(Timestamp local, const char *zone, TimestampTz *instant);

#endif
