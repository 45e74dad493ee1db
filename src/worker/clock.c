/*
 * clock.c - the system's clocks.
 */
#include "worker/clock.h"

#include <time.h>

static int64
monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

const SmsflowClock smsflow_system_clock = {
	.now = GetCurrentTimestamp,
	.monotonic = monotonic,
};
