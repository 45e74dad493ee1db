/*
 * clock.h - the seam between the worker and time. A test module may put its
 * own clock in place through the rendezvous variable "smsflow_clock".
 */
#ifndef SMSFLOW_CLOCK_H
#define SMSFLOW_CLOCK_H

#include "postgres.h"

#include "utils/timestamp.h"

typedef struct SmsflowClock
{
	/* The time of day: quiet hours, due times, expiry. */
	TimestampTz (*now)(void);

	/* Microseconds that never jump: limits, pauses, back-off. */
	int64 (*monotonic)(void);
} SmsflowClock;

extern const SmsflowClock smsflow_system_clock;

#endif
