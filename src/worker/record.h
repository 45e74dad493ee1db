/*
 * record.h - what record.c, touch.c and count.c share.
 */
#ifndef SMSFLOW_RECORD_H
#define SMSFLOW_RECORD_H

#include "worker/worker.h"

#include "append.h"

/* Appends whom jobs reached; in a transaction. */
extern void append_touches(Job **jobs, int count);

/* Appends what jobs change of the counters; in a transaction. */
extern void count_jobs(Job **jobs, int count);

/* A purpose as the value of an enum column of rows that are appended. */
extern Datum purpose_label(SmsflowPurpose purpose, const Appender *appender, int column);

#endif
